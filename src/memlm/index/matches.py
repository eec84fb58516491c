"""All maximal spans of a text that occur in the index.

A span is maximal if no longer one around it occurs. The text is followed symbol by symbol: for each
place the longest suffix of what was read that occurs (the matching statistics of Chang and Lawler
1994, seen from the right). Its start never goes back, and just before it goes on, or at the end, a
maximal span ends. Spans may overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from memlm.index.suffix_index import Pattern, SuffixIndex


@dataclass(frozen=True)
class Match:
    """A maximal span: code points, or tokens, [start, end) of the text that was asked about."""

    start: int
    end: int


def maximal_matches(index: SuffixIndex, text: Pattern) -> Iterator[Match]:
    """Yield every maximal span of `text` that occurs in some entry, from left to right."""
    starts = index.longest_starts(text)
    ends = np.arange(1, len(starts) + 1)
    is_last = np.append(starts[1:] != starts[:-1], True)[: len(starts)]
    chosen = np.flatnonzero(is_last & (starts < ends))
    for start, end in zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True):
        yield Match(start, end)
