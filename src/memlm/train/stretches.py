"""Stretches of a token store thought of as laid end to end, to be read from any position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


class Stretches:
    """Stretches of tokens end to end: where each starts, its length, and which unit it is of."""

    def __init__(self, starts: Integers, lengths: Integers, units: Integers) -> None:
        self.starts, self.lengths, self.units = starts, lengths, units
        self._ends = np.cumsum(lengths)

    @classmethod
    def of_units(cls, units: npt.NDArray[np.void]) -> Stretches:
        """Return whole units, as the records of a store name them, one after the other."""
        starts = units["token_start"].astype(np.int64)
        return cls(starts, units["token_end"] - starts, np.arange(len(units)))

    @classmethod
    def joined(cls, parts: Sequence[Stretches]) -> Stretches:
        """Return what all the parts hold, one after the other."""
        return cls(
            np.concatenate([part.starts for part in parts]),
            np.concatenate([part.lengths for part in parts]),
            np.concatenate([part.units for part in parts]),
        )

    def __len__(self) -> int:
        """Return how many tokens they hold together."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, order: Integers) -> Stretches:
        """Return the same stretches in another order."""
        return Stretches(self.starts[order], self.lengths[order], self.units[order])

    def part(self, start: int, stop: int) -> Stretches:
        """Return what lies from position `start` to `stop`."""
        if start >= stop:
            return self[np.arange(0)]
        first = int(np.searchsorted(self._ends, start, side="right"))
        last = int(np.searchsorted(self._ends, stop, side="left"))
        inside = slice(first, last + 1)
        starts, lengths = self.starts[inside].copy(), self.lengths[inside].copy()
        lengths[-1] -= int(self._ends[last]) - stop
        cut = start - (int(self._ends[first]) - int(self.lengths[first]))
        starts[0] += cut
        lengths[0] -= cut
        return Stretches(starts, lengths, self.units[inside])

    def find(self, positions: Integers) -> tuple[Integers, Integers]:
        """Return where in the store the tokens at these positions lie, and of which units."""
        number = np.searchsorted(self._ends, positions, side="right")
        begin = self._ends[number] - self.lengths[number]
        return self.starts[number] + positions - begin, self.units[number]

    def read(self, tokens: npt.NDArray[np.generic], start: int, stop: int) -> Integers:
        """Return the tokens from position `start` to `stop`."""
        where, _ = self.find(np.arange(start, stop))
        return tokens[where].astype(np.int64)
