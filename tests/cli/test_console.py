"""What is shown on a terminal cannot steer it."""

import pytest

from memlm.cli.console import (
    coloured,
    err,
    out,
    print_error,
    print_rejected,
    print_trace,
    say,
    shorten,
    visible,
)
from memlm.cli.generate import print_whole
from memlm.records import Generation, Rejected, Span, SpanSource, Trace

ESCAPE = "a\x1b[2Jb\x07c\n"


def test_control_characters_are_drawn_one_for_one():
    assert visible(ESCAPE) == "a␛[2Jb␇c\n"


@pytest.fixture
def terminal(monkeypatch):
    """Let memlm take what captures its output for a terminal."""
    for console in (out, err):
        monkeypatch.setattr(console, "_force_terminal", True)


@pytest.mark.parametrize("samples", [1, 2])
def test_texts_that_were_written_are_drawn(terminal, capsys, samples):
    written = Generation(
        prompt=ESCAPE, text=ESCAPE, label="\x1b[2J", tokens=1, tokens_per_second=1, ended_by="end"
    )
    print_whole(written, 1, samples)
    shown = capsys.readouterr().out
    assert shown.count("a␛[2Jb␇c") == 2
    assert "\x1b[2J" not in shown


def test_text_that_goes_to_a_file_is_what_was_written(capsys):
    written = Generation(
        prompt="", text=ESCAPE, label=None, tokens=1, tokens_per_second=1, ended_by="end"
    )
    print_whole(written, 1, 1)
    assert capsys.readouterr().out == ESCAPE + "\n"


@pytest.mark.parametrize(
    "show",
    [
        lambda name: print_rejected(
            (Rejected(source=name, position=2, reason=name),), count=1, path=name
        ),
        lambda name: print_error("code", name, name, as_json=False),
        lambda name: say("note.exported", documents=1, characters=1, file=name),
    ],
    ids=["rejected", "error", "result"],
)
def test_names_are_drawn(terminal, capsys, show):
    show("a\x1b[2Jb")
    shown = "".join(capsys.readouterr())
    assert "a␛[2Jb" in shown
    assert "\x1b[2J" not in shown


def test_name_that_turns_the_direction_of_writing_is_shown_as_it_is(capsys):
    rejected = Rejected(source="notes/\u202egnp.exe", position=None, reason="no \u2066reader\u2069")
    print_rejected((rejected,), count=1, path="rejected.jsonl")
    shown = capsys.readouterr().err
    assert "notes/\ufffdgnp.exe: no \ufffdreader\ufffd" in shown


def test_source_that_turns_the_direction_of_writing_is_shown_as_it_is(capsys):
    source = SpanSource(document_id="d", source="\u202egnp.exe", start=0, end=3)
    span = Span(
        start=0, end=3, text="a\u202eb", kind="recited", count=1, expected_by_chance=0.0,
        sources=(source,),
    )  # fmt: skip
    shares = {"recited_share": 1.0, "recombined_share": 0.0, "new_share": 0.0}
    print_trace(Trace(text="a\u202eb", characters=3, spans=(span,), **shares))
    shown = capsys.readouterr().out
    assert "\ufffdgnp.exe" in shown
    assert "\u202e" not in shown


def test_a_traced_text_keeps_its_length_when_drawn():
    shares = {"recited_share": 0.0, "recombined_share": 0.0, "new_share": 1.0}
    trace = Trace(text=ESCAPE, characters=len(ESCAPE), spans=(), **shares)
    assert len(coloured(trace).plain) == len(ESCAPE)


def test_a_long_span_is_shown_on_one_short_line():
    assert "\n" not in shorten("line\n" * 100)
    assert len(shorten("x" * 1000)) < 80
