"""One token at a time, fast: what `counts.py` does for blocks, for a text that is being written.

Segments that fit are laid end to end in memory, about five bytes a token, so that one compiled loop
follows all of them. The orders whose contexts occur often are the same few again and again: what
they come to is remembered as one distribution, and only the rare ones above them are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np
import numpy.typing as npt

from memlm.memory.contexts import SuffixArrays
from memlm.memory.smoothing import NEAREST_TO_CERTAIN, Smoothing

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LARGEST = 1 << 24
"""Tokens of all segments together, up to which they are laid end to end."""
_SMALL = 4096
"""Occurrences up to which a context is counted anew each time."""
_MOST_REMEMBERED = 1 << 22


class Stepper:
    """Follows contexts through all segments, and mixes what followed them."""

    def __init__(
        self,
        loops: ModuleType,
        segments: Sequence[SuffixArrays],
        smoothing: Smoothing,
        *,
        vocabulary_size: int,
        common: Callable[[int, Ints, Ints], Floats],
    ) -> None:
        """`common(place, lows, highs)` is the distribution of the orders up to one (S,)."""
        self._loops, self._common = loops, common
        self._orders = np.asarray(smoothing.orders)
        self._discounts = np.asarray(smoothing.discounts)
        self._gates = np.asarray(smoothing.gates)
        self._base = vocabulary_size + 1
        sizes = [len(segment.suffixes) for segment in segments]
        self._offsets = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)[:, None]
        self._symbols = np.concatenate([segment.symbols for segment in segments])
        self._suffixes = np.concatenate(
            [
                segment.suffixes + np.int32(offset)
                for segment, (offset,) in zip(segments, self._offsets, strict=True)
            ]
        ).astype(np.int32)
        self._firsts = np.stack(
            [
                np.concatenate([[0], np.cumsum(np.bincount(segment.symbols, minlength=self._base))])
                for segment in segments
            ]
        )
        self._firsts = (self._firsts + self._offsets).astype(np.int64)
        self._remembered: dict[tuple[int, ...], Floats] = {}

    def step(self, lows: Ints, highs: Ints, token: int) -> tuple[Floats, Ints, Ints]:
        """Return the distribution (V,) after one more token, and the intervals (S, K + 1)."""
        lows, highs = self._loops.refine(
            self._symbols,
            self._suffixes,
            self._firsts,
            lows + self._offsets,
            highs + self._offsets,
            token + 1,
        )
        at = self._orders
        own_lows, own_highs = lows[:, at], highs[:, at]
        sizes = (own_highs - own_lows).sum(axis=0)
        first = int(np.count_nonzero(sizes > _SMALL))
        found = self._of_common(first, own_lows, own_highs).copy()
        self._loops.mix_above(
            self._symbols,
            self._suffixes,
            at,
            own_lows,
            own_highs,
            first,
            self._discounts,
            self._gates,
            NEAREST_TO_CERTAIN,
            self._base,
            found,
        )
        return found / found.sum(), lows - self._offsets, highs - self._offsets

    def _of_common(self, first: int, lows: Ints, highs: Ints) -> Floats:
        """Return the distribution of the orders before `first`, remembered."""
        if first == 0:
            size = self._base - 1
            return np.full(size, 1.0 / size)
        key = (first, *lows[:, first - 1].tolist(), *highs[:, first - 1].tolist())
        found = self._remembered.get(key)
        if found is None:
            if len(self._remembered) * self._base > _MOST_REMEMBERED:
                self._remembered.clear()
            own = np.maximum(lows - self._offsets, 0), np.maximum(highs - self._offsets, 0)
            found = self._remembered[key] = self._common(first - 1, *own)
        return found
