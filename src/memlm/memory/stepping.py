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
_SMALL = 256
"""Occurrences up to which a context is counted anew each time; more where there are many tokens."""
_LARGE = 1 << 16
"""Occurrences from which on a context is counted with the others of its kind, in `contexts.py`."""
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
        self._offsets = np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)
        self._symbols = np.concatenate([segment.symbols for segment in segments])
        self._suffixes = np.concatenate(
            [
                segment.suffixes + np.int32(offset)
                for segment, offset in zip(segments, self._offsets, strict=True)
            ]
        ).astype(np.int32)
        self._firsts = np.stack(
            [
                np.concatenate([[0], np.cumsum(np.bincount(segment.symbols, minlength=self._base))])
                for segment in segments
            ]
        )
        self._firsts = (self._firsts + self._offsets[:, None]).astype(np.int64)
        self._small = max(_SMALL, vocabulary_size // 4)
        self._uniform = np.full(vocabulary_size, 1.0 / vocabulary_size)
        self._remembered: dict[bytes, Floats] = {}

    def step(
        self, lows: Ints, highs: Ints, tail: Ints, token: int
    ) -> tuple[Floats, Ints, Ints, Ints]:
        """Return the distribution (V,) after one more token, and what comes of what was before.

        That are intervals (S, K + 1), and the last tokens: at least K before, K + 1 afterwards.
        """
        lows, highs, tail, key = self._loops.refine(
            self._symbols,
            self._suffixes,
            self._firsts,
            self._offsets,
            lows,
            highs,
            tail,
            token,
            self._orders,
            self._small,
        )
        common = int(key[0])
        found = self._of_common(common, key.tobytes(), lows, highs)
        return self._mix(common, len(self._orders), lows, highs, found), lows, highs, tail

    def _mix(self, first: int, last: int, lows: Ints, highs: Ints, below: Floats) -> Floats:
        """Return the distribution of the orders before `last`, given that before `first`."""
        found: Floats = self._loops.mix_above(
            self._symbols,
            self._suffixes,
            self._orders,
            self._offsets,
            lows,
            highs,
            first,
            last,
            self._discounts,
            self._gates,
            NEAREST_TO_CERTAIN,
            below,
        )
        return found

    def _of_common(self, first: int, key: bytes, lows: Ints, highs: Ints) -> Floats:
        """Return the distribution of the orders before `first`, remembered by `key`."""
        if first == 0:
            return self._uniform
        found = self._remembered.get(key)
        if found is None:
            found = self._distribution(first, lows, highs)
            if len(self._remembered) * self._base > _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = found
        return found

    def _distribution(self, first: int, lows: Ints, highs: Ints) -> Floats:
        """Return the distribution of the orders before `first`, the last of them counted anew."""
        own_lows, own_highs = lows[:, self._orders[first - 1]], highs[:, self._orders[first - 1]]
        if (own_highs - own_lows).sum() > _LARGE:
            return self._common(first - 1, lows[:, self._orders], highs[:, self._orders])
        at = self._orders[first - 2]
        key = np.concatenate([[first - 1], lows[:, at], highs[:, at]]).tobytes()
        below = self._of_common(first - 1, key, lows, highs)
        return self._mix(first - 1, first, lows, highs, below)
