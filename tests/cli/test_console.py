"""What is shown on a terminal cannot steer it."""

from memlm.cli.console import coloured, print_rejected, print_trace, shorten, visible
from memlm.records import Rejected, Span, SpanSource, Trace

ESCAPE = "a\x1b[2Jb\x07c\n"


def test_control_characters_are_drawn_one_for_one():
    assert visible(ESCAPE) == "a␛[2Jb␇c\n"


def test_name_that_turns_the_direction_of_writing_is_shown_as_it_is(capsys):
    rejected = Rejected(source="notes/\u202egnp.exe", position=None, reason="no \u2066reader\u2069")
    print_rejected((rejected,), path="rejected.jsonl")
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
