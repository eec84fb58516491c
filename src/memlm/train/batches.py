"""The order in which text is learned, a function of (seed, step): nothing is fast-forwarded.

In each epoch the units of the training split are laid end to end in a new order, the whole is
turned by a random amount, and cut into as many lanes as the batch has rows. A step reads the next
stretch of every lane, so that the network's state can be carried from step to step. Long units are
cut into pieces first: a training that is shorter than an epoch would otherwise know a few places of
a book well and the rest of it not at all (see benchmarks/LOG.md).

Where a phase has another batch size than the one before it, what the epoch still holds unread is
laid end to end and cut into lanes anew, so that no token is read twice before all are read once.

A lane or a piece may begin far from its document's label, so each token comes with the label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from memlm.runtime import stream_seed
from memlm.train.schedule import Phase, phase_at
from memlm.train.stretches import Stretches

_LONGEST_PIECE = 1024
"""Tokens: long beside what a state remembers, short beside a book."""


@dataclass(frozen=True)
class Batch:
    """What one step reads: `targets` is `inputs` one token on, both (B, T); -100 does not count."""

    inputs: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    begins_anew: bool
    """The lanes begin anew: the state that was carried means nothing here."""
    labels: npt.NDArray[np.int64] | None = None
    """Which label the document of each input carries, (B, T), 0 being none; None: ask the text."""

    @property
    def weight(self) -> float:
        """What the mean over all targets is multiplied by to be that of those that count."""
        counted = int((self.targets >= 0).sum())
        return self.targets.size / counted if counted else 0.0


def steps_per_epoch(tokens: int, *, batch_size: int, sequence_length: int) -> int:
    """Return how many steps it takes to read so many tokens once; the last one may be short."""
    lane = tokens // batch_size
    return max(1, math.ceil((lane - 1) / sequence_length))  # its first token is never a target


class TokenStream:
    """Batches of the training split of a token store.

    `labels` says which label the document of each unit carries (see `learned.labels_of_units`),
    `counts_from` at which token of the store each unit begins to count (see `answers.py`).
    """

    def __init__(
        self,
        tokens: npt.NDArray[np.generic],
        units: npt.NDArray[np.void],
        *,
        batch_size: int,
        sequence_length: int,
        seed: int,
        labels: npt.NDArray[np.int64] | None = None,
        counts_from: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._tokens, self._seed, self._labels = tokens, seed, labels
        self._counts_from = counts_from
        self._pieces = _pieces(Stretches.of_units(units))
        self._total = len(self._pieces)
        self._whole = (Phase(share=1.0, batch_size=batch_size, sequence_length=sequence_length),)
        self.steps_per_epoch = steps_per_epoch(
            self._total, batch_size=batch_size, sequence_length=sequence_length
        )
        self._laid_out: tuple[int, Stretches] | None = None
        self._begun: tuple[Sequence[Phase], list[_Position]] = ((), [])

    def batch(self, step: int, phases: Sequence[Phase] = ()) -> Batch:
        """Return what step `step` (from 0) reads, in a training of these phases.

        Only the last phase may be without an end. No phases: all steps are of the stream's size.
        """
        phases = phases or self._whole
        number, step = phase_at(phases, step)
        position = self._position(self._beginnings(phases)[number], phases[number], step)
        return self._read(position, phases[number])

    def _beginnings(self, phases: Sequence[Phase]) -> list[_Position]:
        """Return where each phase begins whose predecessors have an end."""
        known, found = self._begun
        if known == phases:
            return found
        found = [_Position(0, self._text(0), phases[0].batch_size, begins_anew=True)]
        for before, phase in pairwise(phases):
            if before.steps is None:
                break
            end = self._position(found[-1], before, before.steps)
            found.append(end if end.lanes == phase.batch_size else end.cut_anew(phase.batch_size))
        self._begun = phases, found
        return found

    def _position(self, begin: _Position, phase: Phase, step: int) -> _Position:
        """Return where a phase that began at `begin` is before its step `step`."""
        length = phase.sequence_length
        left = max(0, math.ceil((begin.lane - 1 - begin.done) / length))
        if step < left:
            anew = begin.begins_anew and step == 0
            return replace(begin, done=begin.done + step * length, begins_anew=anew)
        per_epoch = steps_per_epoch(
            self._total, batch_size=phase.batch_size, sequence_length=length
        )
        epochs, within = divmod(step - left, per_epoch)
        epoch = begin.epoch + 1 + epochs
        text, done = self._text(epoch), within * length
        return _Position(epoch, text, phase.batch_size, done=done, begins_anew=within == 0)

    def _read(self, position: _Position, phase: Phase) -> Batch:
        # The last step of an epoch may be short.
        length = min(phase.sequence_length, position.lane - 1 - position.done)
        firsts = np.arange(position.lanes) * position.lane + position.done
        where, units = position.text.find(firsts[:, None] + np.arange(length + 1))
        rows = self._tokens[where].astype(np.int64)
        targets = rows[:, 1:]
        if self._counts_from is not None:
            does_count = where[:, 1:] >= self._counts_from[units[:, 1:]]
            targets = np.where(does_count, targets, -100)
        return Batch(
            rows[:, :-1],
            targets,
            begins_anew=position.begins_anew,
            labels=None if self._labels is None else self._labels[units[:, :-1]],
        )

    def _text(self, epoch: int) -> Stretches:
        """Return the text of an epoch: all units in its order, turned by its random amount."""
        if self._laid_out is not None and self._laid_out[0] == epoch:
            return self._laid_out[1]
        random = np.random.Generator(np.random.Philox(stream_seed(self._seed, "order", epoch)))
        whole = self._pieces[random.permutation(len(self._pieces.starts))]
        turn = int(random.integers(self._total))
        text = Stretches.joined([whole.part(turn, self._total), whole.part(0, turn)])
        self._laid_out = epoch, text
        return text


@dataclass(frozen=True)
class _Position:
    """How far a training is in the text of an epoch."""

    epoch: int
    text: Stretches
    lanes: int
    done: int = 0
    """Tokens that every lane has read."""
    begins_anew: bool = False

    @property
    def lane(self) -> int:
        """Tokens of each lane."""
        return len(self.text) // self.lanes

    def cut_anew(self, lanes: int) -> _Position:
        """Return the same position with what is unread in other lanes."""
        ends = [(number + 1) * self.lane for number in range(self.lanes)]
        unread = [self.text.part(end - self.lane + self.done, end) for end in ends]
        rest = self.text.part(ends[-1], len(self.text))
        return _Position(self.epoch, Stretches.joined([*unread, rest]), lanes, begins_anew=True)


def _pieces(units: Stretches) -> Stretches:
    """Return the pieces that units are cut into, in their order."""
    counts = -(-units.lengths // _LONGEST_PIECE)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    start = number * _LONGEST_PIECE
    lengths = np.minimum(np.repeat(units.lengths, counts) - start, _LONGEST_PIECE)
    return Stretches(
        np.repeat(units.starts, counts) + start, lengths, np.repeat(units.units, counts)
    )
