"""The order in which text is learned, a function of (seed, step): nothing is fast-forwarded.

In each epoch the units of the training split are laid end to end in a new order, the whole is
turned by a random amount, and cut into as many lanes as the batch has rows. A step reads the next
stretch of every lane, so that the network's state can be carried from step to step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memlm.runtime import stream_seed


@dataclass(frozen=True)
class Batch:
    """What one step reads: `targets` is `inputs` one token on, both (B, T)."""

    inputs: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    starts_epoch: bool
    """The lanes begin anew: the state that was carried means nothing here."""


def steps_per_epoch(tokens: int, *, batch_size: int, sequence_length: int) -> int:
    """Return how many steps it takes to read so many tokens once; the last one may be short."""
    lane = tokens // batch_size
    return max(1, math.ceil((lane - 1) / sequence_length))  # its first token is never a target


class TokenStream:
    """Batches of the training split of a token store."""

    def __init__(
        self,
        tokens: npt.NDArray[np.generic],
        units: npt.NDArray[np.void],
        *,
        batch_size: int,
        sequence_length: int,
        seed: int,
    ) -> None:
        self._tokens, self._seed = tokens, seed
        self._starts = units["token_start"].astype(np.int64)
        self._lengths = (units["token_end"] - units["token_start"]).astype(np.int64)
        self._total = int(self._lengths.sum())
        self._batch_size, self._sequence_length = batch_size, sequence_length
        self._lane = self._total // batch_size
        self.steps_per_epoch = steps_per_epoch(
            self._total, batch_size=batch_size, sequence_length=sequence_length
        )
        self._epoch = -1

    def batch(self, step: int) -> Batch:
        """Return what step `step` (from 0) reads."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._lay_out(epoch)
        done = within * self._sequence_length
        length = min(self._sequence_length, self._lane - 1 - done)  # an epoch's last may be short
        rows = np.empty((self._batch_size, length + 1), dtype=np.int64)
        for lane in range(self._batch_size):
            start = self._turn + lane * self._lane + done
            self._fill(rows[lane], start % self._total)
        return Batch(rows[:, :-1], rows[:, 1:], starts_epoch=within == 0)

    def _lay_out(self, epoch: int) -> None:
        random = np.random.Generator(np.random.Philox(stream_seed(self._seed, "order", epoch)))
        self._order = random.permutation(len(self._lengths))
        self._ends = np.cumsum(self._lengths[self._order])
        self._turn = int(random.integers(self._total))
        self._epoch = epoch

    def _fill(self, row: npt.NDArray[np.int64], start: int) -> None:
        """Copy the tokens from position `start` of the epoch's text on, going round at its end."""
        filled = 0
        place = int(np.searchsorted(self._ends, start, side="right"))
        while filled < len(row):
            unit = self._order[place]
            begin = start - (int(self._ends[place]) - int(self._lengths[unit]))
            count = min(len(row) - filled, int(self._lengths[unit]) - begin)
            source = int(self._starts[unit]) + begin
            row[filled : filled + count] = self._tokens[source : source + count]
            filled += count
            start += count
            place += 1
            if place == len(self._order):
                start, place = 0, 0
