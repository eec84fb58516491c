"""The loss on text that is not learned from, per character and per byte.

Held-out units are laid end to end after one end token, cut into lanes, and read with the state
carried. Only tokens of the text count (no label, no end of document); an unknown symbol costs
-log p(unknown) + 8 ln 2 for each of its bytes, as in `predict/score.py`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from memlm.models.foreign_shape import ForeignShape
from memlm.models.learning import LearningNetwork
from memlm.train.answers import Answers
from memlm.train.stretches import Stretches

_LANES = 16
_BLOCK = 256
_LARGEST_BLOCK_VALUES = 1 << 25


@dataclass(frozen=True)
class HeldOutLoss:
    """A loss over held-out text."""

    nats: float
    characters: float
    bytes: float

    @property
    def nats_per_character(self) -> float:
        return self.nats / max(1.0, self.characters)

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / max(1.0, self.bytes)


class HeldOutText:
    """Up to `most_tokens` held-out tokens of a store, ready to be read again and again.

    Where they are fewer than all, the lanes begin at even distances, so that the sample is as mixed
    as the text. What is `special` is no text: ends of documents, and labels. `labels` says which
    label the document of each unit carries, 0 being none. With `answers` only those count.
    """

    def __init__(
        self,
        tokens: npt.NDArray[np.generic],
        units: npt.NDArray[np.void],
        *,
        most_tokens: int,
        special: Collection[int],
        end: int,
        labels: npt.NDArray[np.int64] | None = None,
        answers: Answers | None = None,
    ) -> None:
        self._characters = self._bytes = self._unknown_nats = 0.0
        text = Stretches.of_units(units)
        total = len(text)
        self.num_tokens = min(total, most_tokens)
        lanes = max(1, min(_LANES, self.num_tokens // _BLOCK))
        length = -(-self.num_tokens // lanes)
        distance = length if self.num_tokens == total else total // lanes
        self._inputs = np.full((lanes, length), end)
        self._targets = np.full((lanes, length), -100)
        self._labels = None if labels is None else np.zeros((lanes, length), dtype=np.int64)
        for lane in range(lanes):
            start = lane * distance
            stop = min(start + length, total)
            self._count(text.part(start, stop), units, answers)
            targets = text.read(tokens, start, stop)
            # The first lane begins at an end of document, which has no label.
            begin = int(start == 0)
            where, of_unit = text.find(np.arange(start - 1 + begin, stop - 1))
            self._inputs[lane, begin : len(targets)] = tokens[where]
            if self._labels is not None and labels is not None:
                self._labels[lane, begin : len(targets)] = labels[of_unit]
            is_text = ~np.isin(targets, list(special))
            if answers is not None:
                place, unit = text.find(np.arange(start, stop))
                is_text &= place >= answers.first[unit]
            self._targets[lane, : len(targets)] = np.where(is_text, targets, -100)

    def _count(self, text: Stretches, units: npt.NDArray[np.void], answers: Answers | None) -> None:
        """Count the text of stretches of these units, or of their answers."""
        parts = (text.starts.tolist(), text.lengths.tolist(), text.units.tolist())
        for start, taken, number in zip(*parts, strict=True):
            unit = units[number]
            first = int(unit["token_start"]) if answers is None else int(answers.first[number])
            counted = max(0, start + taken - max(start, first))
            share = counted / max(1, int(unit["token_end"]) - first)
            sizes = unit if answers is None else answers.sizes(number)
            self._characters += share * float(sizes["characters"])
            self._bytes += share * float(sizes["bytes"])
            self._unknown_nats += share * float(sizes["unknown_bytes"]) * 8 * math.log(2)

    def even_loss(self, vocabulary_size: int) -> HeldOutLoss:
        """Return the loss of whoever holds every token of the vocabulary equally likely."""
        nats = int((self._targets != -100).sum()) * math.log(vocabulary_size)
        return HeldOutLoss(nats + self._unknown_nats, self._characters, self._bytes)

    @torch.no_grad()
    def loss(self, network: LearningNetwork) -> HeldOutLoss:
        """Return the loss of a network, which is left in the mode that it was in."""
        was_training = network.training
        network.eval()
        nats = sum(self._nats(network, lanes) for lanes in self._groups(network))
        network.train(was_training)
        return HeldOutLoss(nats + self._unknown_nats, self._characters, self._bytes)

    def _groups(self, network: LearningNetwork) -> Iterator[slice]:
        """Yield the lanes that are read side by side.

        That is all of them, but for a network that reads its past again with every block: short
        blocks of many lanes would be mostly that.
        """
        lanes, together = len(self._inputs), len(self._inputs)
        if isinstance(network.config, ForeignShape):
            values = _BLOCK * network.config.vocabulary_size
            together = max(1, min(lanes, _LARGEST_BLOCK_VALUES // values))
        for first in range(0, lanes, together):
            yield slice(first, min(first + together, lanes))

    def _nats(self, network: LearningNetwork, lanes: slice) -> float:
        """Return what the tokens of some lanes cost."""
        inputs, targets = self._inputs[lanes], self._targets[lanes]
        labels = None if self._labels is None else self._labels[lanes]
        number, length = inputs.shape
        device, vocabulary = network.device, network.config.vocabulary_size
        block = max(1, min(_BLOCK, _LARGEST_BLOCK_VALUES // (number * vocabulary)))
        state, nats = network.start(number), 0.0
        for start in range(0, length, block):
            stretch = slice(start, start + block)
            read = torch.from_numpy(inputs[:, stretch]).to(device)
            wanted = torch.from_numpy(targets[:, stretch]).to(device)
            told = None if labels is None else torch.from_numpy(labels[:, stretch]).to(device)
            found, state = network.losses(read, wanted, state, labels=told)
            nats += found.sum().item()
        return nats


def is_memorising(train_loss: float, held_out_loss: float, best_loss: float) -> bool:
    """Say whether a network learns its text by heart: held-out loss rises while the other falls."""
    return held_out_loss > 1.02 * best_loss and train_loss < 0.85 * held_out_loss
