"""All segments of one index, asked as one: sums over the segments, and the longest of any.

Questions come in batches. Large ones go to compiled loops where numba is there; small ones stay in
numpy, so that nobody waits for a compiler over a few lines of text. The answers are the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.index import search
from memlm.index.segment import Integers, Segment, code_points, pack

Places = npt.NDArray[np.int64]
Pattern = str | Integers
WORTH_COMPILING = 1_000_000
"""Symbols asked about in one call from which on loops are compiled, or fetched from the disk."""
WORTH_CALLING = 64
"""And from which on they are taken where that was done before."""
_WORTH_SORTING = 1000


@dataclass(frozen=True)
class NextCounts:
    """What follows each of Q patterns, and how often; sparse.

    `symbols[offsets[q] : offsets[q + 1]]` are the code points, or token ids, that follow pattern q,
    ascending, and `counts` how often each does. Where an entry ends nothing follows.
    """

    offsets: Places
    symbols: Places
    counts: Places


@dataclass(frozen=True)
class LongestSuffixes:
    """For each place of a text (T,), the longest suffix of what was read that occurs."""

    lengths: Places
    counts: Places
    """How often it occurs; what is empty occurs once a character, or token, of the index."""
    following: NextCounts


class SuffixIndex:
    """All segments of one index, asked as one."""

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = segments
        self.characters = sum(segment.num_read for segment in segments)
        """Characters, or tokens, of all entries."""
        self._counts: dict[str, int] = {}

    @cached_property
    def num_symbols(self) -> int:
        """Distinct characters of all segments; the vocabulary's size of an index of tokens."""
        alphabets = [one.alphabet[1:] for one in self.segments if one.alphabet is not None]
        if alphabets:
            return len(np.unique(np.concatenate(alphabets)))
        return max((segment.vocabulary_size or 1 for segment in self.segments), default=1)

    def count(self, pattern: Pattern) -> int:
        """Return how often `pattern` occurs, overlapping occurrences included."""
        return int(self.counts([pattern])[0])

    def count_cached(self, text: str) -> int:
        """Return `count(text)`, remembering it: for the few short strings that are asked often."""
        found = self._counts.get(text)
        if found is None:
            found = self._counts[text] = self.count(text)
        return found

    def counts(self, patterns: Sequence[Pattern]) -> Places:
        """Return how often each pattern occurs (Q,)."""
        codes, starts, lengths = _flat(patterns)
        total = np.zeros(len(patterns), np.int64)
        for segment in self.segments:
            symbols = _encoded(segment, codes)
            low, high = find_intervals(segment, symbols, starts, lengths)
            total += np.where(lengths > 0, high - low, segment.num_read)
        return total

    def next_counts(self, patterns: Sequence[Pattern]) -> NextCounts:
        """Return what follows each pattern, and how often; the empty pattern stands everywhere."""
        codes, starts, lengths = _flat(patterns)
        parts = []
        for segment in self.segments:
            symbols = _encoded(segment, codes)
            low, high = find_intervals(segment, symbols, starts, lengths)
            parts.append(_following(segment, low, high, lengths))
        return _merged(parts, len(patterns))

    def longest_suffixes(self, text: Pattern) -> LongestSuffixes:
        """Return for each place of a text the longest suffix of what was read that occurs.

        With how often it does, and what follows it, all in one call.
        """
        codes = _codes(text)
        ends = np.arange(1, len(codes) + 1)
        encoded = [_encoded(segment, codes) for segment in self.segments]
        followed = [
            _follow(segment, symbols)
            for segment, symbols in zip(self.segments, encoded, strict=True)
        ]
        best = np.minimum.reduce([starts for starts, _, _ in followed], initial=len(codes))
        best = np.minimum(best, ends)
        lengths, counts, parts = ends - best, np.zeros(len(codes), np.int64), []
        for segment, (starts, low, high) in zip(self.segments, followed, strict=True):
            high = np.where(starts == best, high, low)
            counts += np.where(lengths > 0, high - low, segment.num_read)
            parts.append(_following(segment, low, high, lengths))
        return LongestSuffixes(lengths, counts, _merged(parts, len(codes)))

    def longest_starts(self, text: Pattern) -> Places:
        """Return where the longest suffix of what was read begins, for each place of a text (T,).

        Behind the place, where not even its own symbol occurs.
        """
        codes = _codes(text)
        best = np.arange(1, len(codes) + 1)
        for segment in self.segments:
            symbols, loop = _encoded(segment, codes), _loop("follow", segment, len(codes))
            if loop is None:
                starts = search.longest_starts(segment, symbols)
            else:
                starts = loop(*_arrays(segment), symbols)[0]
            best = np.minimum(best, starts)
        return best

    def places(self, text: Pattern, *, limit: int) -> tuple[int, list[tuple[str, int]]]:
        """Return how often `text` occurs and (key, offset in the entry) of the first places."""
        codes, starts, lengths = _flat([text])
        count = 0
        found: list[tuple[str, int]] = []
        for segment in self.segments:
            low, high = find_intervals(segment, _encoded(segment, codes), starts, lengths)
            count += int(high[0] - low[0])
            if high[0] > low[0] and len(found) < limit:
                interval = (int(low[0]), int(high[0]))
                found += segment.places(interval, limit=limit - len(found))
        return count, found


@cache
def _compiled() -> ModuleType | None:
    try:
        from memlm.index import kernels
    except (ImportError, RuntimeError):  # without numba, or with nowhere to keep what it compiles
        return None
    return kernels


def _loop(
    name: str, segment: Segment, size: int
) -> Callable[..., Any] | None:  # Any: as its twin in `search`
    """Return a compiled loop, where there is one and the work is worth it."""
    if size < min(WORTH_CALLING, WORTH_COMPILING):
        return None
    if size < WORTH_COMPILING and "memlm.index.kernels" not in sys.modules:
        return None
    kernels = _compiled()
    if kernels is None:
        return None
    if size < WORTH_COMPILING and not kernels.is_compiled(name, segment.symbols, segment.suffixes):
        return None
    return getattr(kernels, name)  # type: ignore[no-any-return]  # numba has no types


def _arrays(segment: Segment) -> tuple[Integers, Integers, Integers]:
    keys = segment.keys
    return segment.symbols, segment.suffixes, np.empty(0, np.uint64) if keys is None else keys


def find_intervals(
    segment: Segment, symbols: Integers, starts: Places, lengths: Places
) -> tuple[Places, Places]:
    """Return the ranges of suffixes that begin with each stretch, as `search` does, or faster."""
    loop = _loop("find_intervals", segment, len(symbols) + len(starts))
    if loop is None:
        return search.find_intervals(segment, symbols, starts, lengths)
    if len(starts) < _WORTH_SORTING:
        low, high = loop(*_arrays(segment), symbols, starts, lengths)
        return low, high
    # In the order of the suffixes each question finds in the cache what the one before it read.
    order = np.argsort(pack(np.append(symbols, symbols.dtype.type(0)), starts))
    low, high = np.empty_like(starts), np.empty_like(starts)
    low[order], high[order] = loop(*_arrays(segment), symbols, starts[order], lengths[order])
    return low, high


def _follow(segment: Segment, symbols: Integers) -> tuple[Places, Places, Places]:
    loop = _loop("follow", segment, len(symbols))
    if loop is not None:
        starts, low, high = loop(*_arrays(segment), symbols)
        return starts, low, high
    starts = search.longest_starts(segment, symbols)
    lengths = np.arange(1, len(symbols) + 1) - starts
    low, high = search.find_intervals(segment, symbols, starts, lengths, occurs=True)
    return starts, low, high


def _following(segment: Segment, low: Places, high: Places, depths: Places) -> NextCounts:
    loop = _loop("successors", segment, int(depths.sum()) + len(low))
    if loop is None:
        offsets, symbols, counts = search.successors(segment, low, high, depths)
    else:
        offsets, symbols, counts = loop(segment.symbols, segment.suffixes, low, high, depths)
    return NextCounts(offsets, segment.decode(symbols), counts)


def _merged(parts: list[NextCounts], size: int) -> NextCounts:
    """Return the sum of what several segments answered."""
    if len(parts) == 1:
        return parts[0]
    none = NextCounts(*[np.zeros(size + 1, np.int64)], *[np.empty(0, np.int64)] * 2)
    parts = [none, *parts]
    owners = np.concatenate([np.repeat(np.arange(size), np.diff(one.offsets)) for one in parts])
    symbols = np.concatenate([one.symbols for one in parts])
    pairs, numbers = np.unique((owners << 32) | symbols, return_inverse=True)
    counts = np.zeros(len(pairs), np.int64)
    np.add.at(counts, numbers, np.concatenate([one.counts for one in parts]))
    offsets = np.searchsorted(pairs, np.arange(size + 1) << 32)
    return NextCounts(offsets, pairs & 0xFFFFFFFF, counts)


def _codes(text: Pattern) -> Integers:
    return code_points(text) if isinstance(text, str) else np.asarray(text)


def _flat(patterns: Sequence[Pattern]) -> tuple[Integers, Places, Places]:
    """Return all patterns, which are all texts or all ids, end to end; their starts and lengths."""
    codes: Integers = np.empty(0, np.uint32)
    if len(patterns) and isinstance(patterns[0], str):
        codes = code_points("".join(patterns))  # type: ignore[arg-type]  # all are, or it says so
    elif len(patterns):
        codes = np.concatenate(patterns)
    lengths = np.fromiter(map(len, patterns), np.int64, len(patterns))
    return codes, np.cumsum(lengths) - lengths, lengths


def _encoded(segment: Segment, codes: Integers) -> Integers:
    return segment.encode(codes) if segment.alphabet is None else segment.encode_codes(codes)
