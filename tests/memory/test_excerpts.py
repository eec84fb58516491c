"""Excerpts hold every place with what stands around it, each document read once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memlm.memory import cut_excerpts
from memlm.memory.excerpts import AROUND
from memlm.records import Excerpt, SpanSource

TEXTS = {"a": "".join(chr(0x4E00 + n) for n in range(5000)), "b": "short"}


def source(identity: str, start: int, end: int) -> SpanSource:
    return SpanSource(document_id=identity, source=identity, start=start, end=end)


def has(excerpts: tuple[Excerpt, ...], identity: str, start: int, end: int) -> bool:
    start, end = max(0, start), min(end, len(TEXTS[identity]))
    return any(
        one.document_id == identity and one.start <= start and end <= one.start + len(one.text)
        for one in excerpts
    )


@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 900)), max_size=12))
def test_places_are_shown_with_what_stands_around_them(places: list[tuple[int, int]]) -> None:
    read: list[str] = []

    def text_of(identity: str) -> str:
        read.append(identity)
        return TEXTS[identity]

    sources = [source("a", start, start + size) for start, size in places]
    excerpts = cut_excerpts(sources, text_of)
    assert len(read) == len(set(read))
    for start, size in places:
        assert has(excerpts, "a", start - AROUND, start + min(size, 200))
        assert has(excerpts, "a", start + size - min(size, 200), start + size + AROUND)
    ends = 0
    for one in excerpts:
        assert one.text == TEXTS["a"][one.start : one.start + len(one.text)]
        assert one.start > ends or one.start == ends == 0  # they do not overlap
        ends = one.start + len(one.text)


def test_the_middle_of_a_long_place_is_left_out() -> None:
    excerpts = cut_excerpts([source("a", 1000, 4000)], TEXTS.__getitem__)
    assert sum(len(one.text) for one in excerpts) < 1000
    assert len(excerpts) == 2


def test_excerpt_ends_with_its_document() -> None:
    (one,) = cut_excerpts([source("b", 1, 3)], TEXTS.__getitem__)
    assert (one.start, one.text) == (0, "short")
