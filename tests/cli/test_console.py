"""What is shown on a terminal cannot steer it."""

from memlm.cli.console import coloured, print_rejected, shorten, visible
from memlm.records import Rejected, Trace

ESCAPE = "a\x1b[2Jb\x07c\n"


def test_control_characters_are_drawn_one_for_one():
    assert visible(ESCAPE) == "a␛[2Jb␇c\n"


def test_name_that_turns_the_direction_of_writing_is_shown_as_it_is(capsys):
    rejected = Rejected(source="notes/\u202egnp.exe", position=None, reason="no \u2066reader\u2069")
    print_rejected((rejected,), path="rejected.jsonl")
    shown = capsys.readouterr().err
    assert "notes/\ufffdgnp.exe: no \ufffdreader\ufffd" in shown


def test_a_traced_text_keeps_its_length_when_drawn():
    shares = {"recited_share": 0.0, "recombined_share": 0.0, "new_share": 1.0}
    trace = Trace(text=ESCAPE, characters=len(ESCAPE), spans=(), **shares)
    assert len(coloured(trace).plain) == len(ESCAPE)


def test_a_long_span_is_shown_on_one_short_line():
    assert "\n" not in shorten("line\n" * 100)
    assert len(shorten("x" * 1000)) < 80
