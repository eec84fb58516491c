"""Which tokens followed each context of a stream, and after how many different tokens before it.

The *context* of order k at a position is the k tokens up to it. Its occurrences are one interval of
each segment's sorted suffixes; the interval of order k at one position comes from that of order
k - 1 at the position before by one more symbol (interval refinement), so that a stream is followed,
never searched afresh.

For each context the tokens that followed it are counted twice: how often (*count*), and after how
many different tokens before the context (*variety*: the continuation counts of Kneser and Ney 1995,
which are also what update exclusion leaves in PPM). Variety over several segments is that of their
union; each beginning of a document counts as a token of its own. A context that occurs more than
`LARGEST_COUNTED` times is only counted: its two numbers are the same, for there they say the same.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Protocol

import numpy as np
import numpy.typing as npt

LARGEST_COUNTED = 1 << 20
_SMALL = 64
"""Occurrences up to which a context is counted anew each time, not remembered."""
_MOST_REMEMBERED = 1 << 22
_WORTH_COMPILING = 100_000
"""Steps of a loop from which on a first call may wait for the compiler, or for what it kept."""

Ints = npt.NDArray[np.int64]


class SuffixArrays(Protocol):
    """What is asked of a segment: token ids + 1, a 0 after each stretch, and sorted suffixes."""

    @property
    def symbols(self) -> npt.NDArray[np.integer]:
        """(N,)"""

    @property
    def suffixes(self) -> npt.NDArray[np.integer]:
        """(N,), the start of each suffix, in sorted order."""


@dataclass(frozen=True)
class Followers:
    """The tokens that followed some contexts: those of context i at [starts[i], starts[i + 1])."""

    starts: Ints
    tokens: Ints
    counts: Ints
    varieties: Ints


class Contexts:
    """All contexts in some segments, up to a longest."""

    def __init__(self, segments: Sequence[SuffixArrays], *, vocabulary_size: int) -> None:
        self._segments = [
            _Segment(segment.symbols, segment.suffixes, vocabulary_size) for segment in segments
        ]
        self._base = vocabulary_size + 1
        self._remembered: dict[tuple[int, ...], tuple[Ints, Ints, Ints]] = {}
        self._size = 0

    def start(self, longest: int) -> tuple[Ints, Ints]:
        """Return the intervals (S, longest + 1), low and high, of a text without any token yet."""
        lows = np.zeros((len(self._segments), longest + 1), dtype=np.int64)
        highs = np.zeros_like(lows)
        highs[:, 0] = [segment.size for segment in self._segments]
        return lows, highs

    def follow(self, stream: Ints, lows: Ints, highs: Ints) -> tuple[Ints, Ints]:
        """Return the intervals (S, T, longest + 1), low and high, of each position's contexts.

        `stream` (T,) holds token ids; the intervals (S, longest + 1) of the position before it are
        those of `start`, or the last that were returned.
        """
        symbols = stream.astype(np.int64) + 1
        found = [
            segment.follow(symbols, low, high)
            for segment, low, high in zip(self._segments, lows, highs, strict=True)
        ]
        shape = (0, len(stream), lows.shape[1])
        return (
            np.stack([low for low, _ in found]) if found else np.zeros(shape, np.int64),
            np.stack([high for _, high in found]) if found else np.zeros(shape, np.int64),
        )

    def followers(self, orders: Ints, lows: Ints, highs: Ints) -> Followers:
        """Return what followed the contexts (C,) with these orders and intervals (S, C)."""
        sizes = (highs - lows).sum(axis=0)
        counted = np.flatnonzero((sizes > 0) & (sizes <= _SMALL))
        parts = [self._count(counted, orders[counted], lows[:, counted], highs[:, counted])]
        for context in np.flatnonzero(sizes > _SMALL).tolist():
            key = (int(orders[context]), *lows[:, context].tolist(), *highs[:, context].tolist())
            found = self._remembered.get(key)
            if found is None:
                found = self._remember(key, lows[:, context], highs[:, context])
            tokens, counts, varieties = found
            parts.append((np.full(len(tokens), context), tokens, counts, varieties))
        owners, tokens, counts, varieties = (
            np.concatenate([part[column] for part in parts]) for column in range(4)
        )
        order = np.argsort(owners, kind="stable")
        edges = np.searchsorted(owners[order], np.arange(len(orders) + 1))
        return Followers(edges, tokens[order], counts[order], varieties[order])

    def _remember(self, key: tuple[int, ...], lows: Ints, highs: Ints) -> tuple[Ints, Ints, Ints]:
        """Return (token, count, variety) of what followed one context, and remember it."""
        order = key[0]
        ranges = list(zip(self._segments, lows.tolist(), highs.tolist(), strict=True))
        if (highs - lows).sum() > LARGEST_COUNTED:
            runs = [segment.runs(order, low, high) for segment, low, high in ranges]
            counts = np.sum(runs, axis=0)
            tokens = np.flatnonzero(counts)
            found = (tokens, counts[tokens], counts[tokens])
        else:
            pairs = [segment.pairs(order, low, high) for segment, low, high in ranges]
            found = _told_apart(np.concatenate(pairs), self._base)
        if self._size > _MOST_REMEMBERED:
            self._remembered.clear()
            self._size = 0
        self._size += len(found[0])
        self._remembered[key] = found
        return found

    def _count(
        self, owners: Ints, orders: Ints, lows: Ints, highs: Ints
    ) -> tuple[Ints, Ints, Ints, Ints]:
        """Return (owner, token, count, variety) of everything that followed some contexts."""
        if not self._segments:
            none = np.zeros(0, dtype=np.int64)
            return none, none, none, none
        if len(self._segments) == 1:
            places, tokens, counts, varieties = self._segments[0].count(orders, lows[0], highs[0])
            return owners[places], tokens, counts, varieties
        places, followed, before = (
            np.concatenate(columns)
            for columns in zip(
                *(
                    segment.occurrences(orders, low, high)
                    for segment, low, high in zip(self._segments, lows, highs, strict=True)
                ),
                strict=True,
            )
        )
        return _summed(owners, places, followed, before, self._base)


def _loops(steps: int) -> ModuleType | None:
    """Return the compiled loops, where there are any and so many steps are worth it.

    Once they are here, they are faster however few the steps are.
    """
    if steps < _WORTH_COMPILING and "memlm.memory.kernels" not in sys.modules:
        return None
    return _compiled()


@cache
def _compiled() -> ModuleType | None:
    try:
        from memlm.memory import kernels
    except (ImportError, RuntimeError):  # without numba, or with nowhere to keep what it compiles
        return None
    return kernels


class _Segment:
    def __init__(
        self,
        symbols: npt.NDArray[np.integer],
        suffixes: npt.NDArray[np.integer],
        vocabulary_size: int,
    ) -> None:
        self._symbols, self._suffixes = symbols, suffixes
        self._base = vocabulary_size + 1
        ends = np.cumsum(np.bincount(symbols, minlength=self._base))
        self._firsts = np.concatenate([[0], ends]).astype(np.int64)
        """Where the suffixes begin that begin with each symbol."""

    @property
    def size(self) -> int:
        return len(self._suffixes)

    def follow(self, symbols: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints]:
        """Return intervals (T, longest + 1), given those (longest + 1,) of the position before."""
        longest = len(low) - 1
        loops = _loops(len(symbols) * longest)
        if loops is not None:
            found: tuple[Ints, Ints] = loops.follow(
                self._symbols, self._suffixes, self._firsts, symbols, low, high
            )
            return found
        lows = np.zeros((len(symbols) + 1, longest + 1), dtype=np.int64)
        highs = np.zeros_like(lows)
        lows[0], highs[0] = low, high
        highs[1:, 0] = self.size
        if longest:
            lows[1:, 1], highs[1:, 1] = self._firsts[symbols], self._firsts[symbols + 1]
        # Context k of a place is context k - 1 of the place before it and one symbol more: a round
        # refines all places of an order, or all orders of a place, whichever takes fewer rounds.
        if len(symbols) < longest:
            orders = np.arange(2, longest + 1)
            rounds = [(np.full_like(orders, place), orders) for place in range(len(symbols))]
        else:
            places = np.arange(len(symbols))
            rounds = [(places, np.full_like(places, order)) for order in range(2, longest + 1)]
        for places, orders in rounds:
            low, high = lows[places, orders - 1], highs[places, orders - 1]
            rows = np.flatnonzero(low < high)
            # Both ends in one search: for few rows numpy's calls cost more than their work.
            twice = np.tile(rows, 2)
            wanted = symbols[places[twice]]
            wanted[len(rows) :] += 1
            begins, ends = np.split(
                self._lower(low[twice], high[twice], orders[twice] - 1, wanted), 2
            )
            lows[places[rows] + 1, orders[rows]] = begins
            highs[places[rows] + 1, orders[rows]] = ends
        is_none = lows >= highs
        lows[is_none] = highs[is_none] = 0
        return lows[1:], highs[1:]

    def count(self, orders: Ints, lows: Ints, highs: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """Return (context, token, count, variety) of what followed the contexts (C,)."""
        loops = _loops(int((highs - lows).sum()))
        if loops is not None:
            found: tuple[Ints, Ints, Ints, Ints] = loops.count_followers(
                self._symbols, self._suffixes, orders, lows, highs, self._base
            )
            return found
        places, followed, before = self.occurrences(orders, lows, highs)
        return _summed(np.arange(len(orders)), places, followed, before, self._base)

    def occurrences(self, orders: Ints, lows: Ints, highs: Ints) -> tuple[Ints, Ints, Ints]:
        """Return (context, symbol after, symbol before) of each occurrence of the contexts (C,)."""
        sizes = highs - lows
        places = np.repeat(np.arange(len(orders)), sizes)
        ranks = np.arange(len(places)) + np.repeat(lows - np.cumsum(sizes) + sizes, sizes)
        positions = self._suffixes[ranks].astype(np.int64)
        after = np.minimum(positions + orders[places], len(self._symbols) - 1)
        followed = self._symbols[after].astype(np.int64)
        before = np.where(positions > 0, self._symbols[positions - 1], 0).astype(np.int64)
        # Nothing comes after the end of a stretch; its first token is a context only.
        holds = (followed > 0) & ((orders[places] > 0) | (before > 0))
        return places[holds], followed[holds], before[holds]

    def pairs(self, order: int, low: int, high: int) -> Ints:
        """Return (symbol after) * base + (symbol before) of each occurrence of one context."""
        positions = self._suffixes[low:high].astype(np.int64)
        last = len(self._symbols) - 1
        followed = self._symbols[np.minimum(positions + order, last)].astype(np.int64)
        # The first position has none before it: the last symbol, there, is 0 as well.
        before = self._symbols[positions - 1].astype(np.int64)
        holds = (followed > 0) & (before > 0) if order == 0 else followed > 0
        return (followed * self._base + before)[holds]

    def runs(self, order: int, low: int, high: int) -> Ints:
        """Return how often each token (V,) follows one context."""
        if order == 0:
            edges = self._firsts
        else:
            wanted = np.arange(self._base + 1)
            begin, end, depth = (np.full(len(wanted), value) for value in (low, high, order))
            edges = self._lower(begin, end, depth, wanted)
        return np.diff(edges)[1:]

    def _lower(self, low: Ints, high: Ints, depth: Ints, wanted: Ints) -> Ints:
        """Return the first rank from `low` on whose suffix has at least `wanted` at `depth`."""
        low, high = low.copy(), high.copy()
        last = len(self._symbols) - 1
        while True:
            rows = np.flatnonzero(low < high)
            if not len(rows):
                return low
            middle = (low[rows] + high[rows]) >> 1
            # A suffix that ends before `depth` ends with the last symbol, 0, as it should compare.
            symbols = self._symbols[np.minimum(self._suffixes[middle] + depth[rows], last)]
            is_before = symbols < wanted[rows]
            low[rows] = np.where(is_before, middle + 1, low[rows])
            high[rows] = np.where(is_before, high[rows], middle)


def _summed(
    owners: Ints, places: Ints, followed: Ints, before: Ints, base: int
) -> tuple[Ints, Ints, Ints, Ints]:
    """Return (owner, token, count, variety) of occurrences, each context's tokens in order."""
    pairs = (places * base + followed) * base + before
    pairs.sort()
    is_new = np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)] | (pairs % base == 0)
    keys = pairs // base
    firsts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    counts = np.diff(np.append(firsts, len(keys)))
    varieties = np.add.reduceat(is_new, firsts) if len(firsts) else counts
    found = keys[firsts]
    return owners[found // base], found % base - 1, counts, varieties.astype(np.int64)


def _told_apart(pairs: Ints, base: int) -> tuple[Ints, Ints, Ints]:
    """Return (token, count, variety) of the occurrences of one context."""
    if base * base <= 4 * len(pairs):
        table = np.bincount(pairs, minlength=base * base).reshape(base, base)
        counts = table.sum(axis=1)
        varieties = table[:, 0] + (table[:, 1:] > 0).sum(axis=1)
        tokens = np.flatnonzero(counts)
        return tokens - 1, counts[tokens], varieties[tokens]
    none = np.zeros(1, dtype=np.int64)
    _, tokens, counts, varieties = _summed(
        none, np.zeros_like(pairs), pairs // base, pairs % base, base
    )
    return tokens, counts, varieties
