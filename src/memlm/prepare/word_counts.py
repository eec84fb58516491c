"""How often each word occurs in a text of any length, in bounded memory, and the laws of counting.

All words are counted exactly until there are more different ones than a limit. From then on the
rarest are forgotten whenever the limit is reached, as in lossy counting (Manku and Motwani 2002): a
count is never too high, and too low by at most `most_missed`.

Zipf's law says that the word of rank r occurs about C / r^s times; Heaps' law that the first n
words of a text hold about K n^b different ones. Both are lines on paper with logarithmic axes, and
are fitted there by least squares, at points that lie evenly on those axes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

LIMIT = 2_000_000
"""Different words held at once: about 250 MB of memory."""
_COUNTED_AT_ONCE = 100_000
_STEP = 10 ** (1 / 16)  # between two points of a plot
_FIRST_HEAPS = 10
_FIRST_IN_FIT = 100  # nearly every word of a beginning is new
_LEAST_FOR_FIT = 8
_RAREST_IN_FIT = 3  # the ends of Zipf's tail are steps, not a line


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """Points of a plot and the line through them: y = factor * x ** exponent."""

    points: tuple[tuple[int, int], ...]
    exponent: float | None
    """None where there are too few points for a line."""
    factor: float | None


class WordCounts:
    """Counts words; see the module."""

    def __init__(self, *, limit: int = LIMIT) -> None:
        self.counts: Counter[str] = Counter()
        self.total = 0
        self.most_missed = 0
        self._limit = limit
        self._growth: list[tuple[int, int]] = []
        self._next_point = float(_FIRST_HEAPS)

    def add(self, words: Iterable[str]) -> None:
        """Count the words of one text."""
        for word in words:
            self.counts[word] += 1
            self.total += 1
            if self.total >= self._next_point:
                self._note_growth()
            if len(self.counts) > self._limit:
                self._forget_rarest()

    def common(self, count: int, is_wanted: Callable[[str], bool]) -> list[tuple[str, int]]:
        """Return the commonest of the wanted words; equal counts in the order of the alphabet."""
        wanted = ((word, n) for word, n in self.counts.items() if is_wanted(word))
        return heapq.nsmallest(count, wanted, key=lambda pair: (-pair[1], pair[0]))

    def zipf(self) -> PowerLaw:
        """Return counts by rank, thinned out evenly, and the line through them."""
        ordered = np.sort(np.fromiter(self.counts.values(), dtype=np.int64))[::-1]
        ranks = _even_ranks(len(ordered))
        points = [(rank, int(ordered[rank - 1])) for rank in ranks]
        return _fit(points, [point for point in points if point[1] >= _RAREST_IN_FIT])

    def heaps(self) -> PowerLaw:
        """Return how many different words the text had shown after so many, while that is known."""
        points = list(self._growth)
        if not self.most_missed and self.total and (not points or points[-1][0] != self.total):
            points.append((self.total, len(self.counts)))
        return _fit(points, [point for point in points if point[0] >= _FIRST_IN_FIT])

    def _note_growth(self) -> None:
        if not self.most_missed:
            self._growth.append((self.total, len(self.counts)))
        self._next_point = self.total * _STEP

    def _forget_rarest(self) -> None:
        self.counts, missed = _without_rarest(self.counts)
        self.most_missed += missed


def count_symbols(texts: Iterable[Iterable[str]], *, limit: int) -> Counter[str]:
    """Return how often each symbol of some texts occurs, in the same bounded memory.

    Quicker than `WordCounts`, which also follows how many there are.
    """
    counts: Counter[str] = Counter()
    for symbols in texts:
        rest = iter(symbols)
        while some := list(islice(rest, _COUNTED_AT_ONCE)):
            counts.update(some)
            if len(counts) > limit:
                counts, _ = _without_rarest(counts)
    return counts


def _without_rarest(counts: Counter[str]) -> tuple[Counter[str], int]:
    """Return the counts of all but the rarest words, and the largest count that was forgotten."""
    values = np.fromiter(counts.values(), dtype=np.int64)
    tenth = len(values) // 10  # at the least, or this would be done for every new word
    bar = int(np.partition(values, tenth)[tenth])
    return Counter({word: n for word, n in counts.items() if n > bar}), bar


def _even_ranks(count: int) -> list[int]:
    if count == 0:
        return []
    steps = int(np.log(count) / np.log(_STEP)) + 1
    return sorted({*(round(_STEP**step) for step in range(steps)), count})


def _fit(points: list[tuple[int, int]], used: list[tuple[int, int]]) -> PowerLaw:
    if len(used) < _LEAST_FOR_FIT:
        return PowerLaw(points=tuple(points), exponent=None, factor=None)
    x, y = np.log(np.array(used, dtype=np.float64)).T
    slope, intercept = np.polyfit(x, y, 1)
    return PowerLaw(points=tuple(points), exponent=float(slope), factor=float(np.exp(intercept)))
