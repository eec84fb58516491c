"""Stop strings: the same end however the text comes in pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memlm.generate.stopping import StopWatch

STOPS = st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3)


def _before_the_stop(text: str, stops: list[str]) -> tuple[str, bool]:
    """Add one character at a time; end when the text so far ends with a stop string."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))], True
    return text, False


@given(pieces=st.lists(st.text(alphabet="abc", max_size=5), max_size=8), stops=STOPS)
def test_the_text_ends_before_the_stop_that_is_complete_first(pieces, stops):
    watch = StopWatch(stops)
    passed = "".join([watch.feed(piece) for piece in pieces])
    expected, has_stopped = _before_the_stop("".join(pieces), stops)
    assert passed + watch.finish() == expected
    assert watch.has_stopped == has_stopped


@given(text=st.text(alphabet="ab", max_size=12), stops=STOPS)
def test_no_more_is_held_back_than_may_be_the_beginning_of_a_stop(text, stops):
    watch = StopWatch(stops)
    passed = "".join(watch.feed(character) for character in text)
    if not watch.has_stopped:
        held = text[len(passed) :]
        assert held == "" or any(stop.startswith(held) for stop in stops)


def test_without_stops_all_text_passes_at_once():
    assert StopWatch([]).feed("abc") == "abc"


def test_nothing_passes_after_a_stop():
    watch = StopWatch(["."])
    assert watch.feed("a.b") == "a"
    assert watch.feed("c") == ""
    assert watch.finish() == ""
