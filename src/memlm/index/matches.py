"""All maximal spans of a text that occur in the index.

A span is maximal if no longer one around it occurs: for each start the longest match counts, and
only where its right end passes every earlier right end. Spans may overlap. (The right ends are the
matching statistics of Chang and Lawler 1994.) Starts that cannot pass the end reached so far are
skipped, so that a long copy costs about as much as a short one for each of its characters.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from memlm.index.segment import Segment
from memlm.index.store import SuffixIndex


@dataclass(frozen=True)
class Match:
    """A maximal span: code points [start, end) of the text that was asked about."""

    start: int
    end: int


def maximal_matches(index: SuffixIndex, text: str) -> Iterator[Match]:
    """Yield every maximal span of `text` that occurs in some document, from left to right."""
    queries = [(segment, segment.encode(text)) for segment in index.segments]
    start = end = 0
    while end < len(text):
        start = _next_start(queries, start, end)
        if start > end:  # the character at `end` stands in no document
            end = start
            continue
        end = max(start + segment.longest_match(query, start) for segment, query in queries)
        yield Match(start, end)
        start += 1


def _next_start(queries: list[tuple[Segment, bytes]], start: int, end: int) -> int:
    """Return the first place from `start` on from which the text occurs beyond `end`.

    It is `end + 1` where there is none. If the text occurs from one place to beyond `end`, it does
    from every later one: steps that double, then halve, find it in few looks, however long the span
    before was (galloping search, Bentley and Yao 1976).
    """

    def occurs_from(place: int) -> bool:
        return any(
            segment.occurs(segment.slice(query, place, end + 1)) for segment, query in queries
        )

    low, step = start, 1  # nothing before `low` will do
    while low <= end and not occurs_from(min(low + step - 1, end)):
        low, step = low + step, 2 * step
    high = min(low + step - 1, end + 1)
    return bisect_left(range(end + 1), True, lo=min(low, end + 1), hi=high, key=occurs_from)
