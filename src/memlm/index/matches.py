"""All maximal spans of a text that occur in the index.

A span is maximal if no longer one around it occurs: for each start the longest match counts, and
only where its right end passes every earlier right end. Spans may overlap. (The right ends are the
matching statistics of Chang and Lawler 1994.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memlm.index.store import SuffixIndex


@dataclass(frozen=True)
class Match:
    """A maximal span: code points [start, end) of the text that was asked about."""

    start: int
    end: int


def maximal_matches(index: SuffixIndex, text: str) -> Iterator[Match]:
    """Yield every maximal span of `text` that occurs in some document, from left to right."""
    queries = [(segment, segment.encode(text)) for segment in index.segments]
    reached = 0
    for start in range(len(text)):
        end = max(reached, start)
        for segment, query in queries:
            # One look tells whether this start can pass the end that is reached already.
            needed = segment.slice(query, start, end + 1)
            low, high = segment.interval(needed)
            if high > low:
                end = start + segment.longest_match(query, start)
        if end > max(reached, start):
            yield Match(start, end)
            reached = end
        if reached == len(text):
            return
