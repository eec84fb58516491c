"""The loss on text that is not learned from, per character and per byte.

Held-out units are laid end to end after one end token, cut into lanes, and read with the state
carried. Only tokens of the text count (no label, no end of document); an unknown symbol costs
-log p(unknown) + 8 ln 2 for each of its bytes, as in `predict/score.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from memlm.models.recurrent import RecurrentNetwork

_LANES = 16
_BLOCK = 256
_LARGEST_BLOCK_VALUES = 1 << 25
_FEWEST_UNITS = 8


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

    Where they are fewer than all, they come from units in a fixed random order, and none gives more
    than an eighth, so that the sample is about as mixed as the text.
    """

    def __init__(
        self,
        tokens: npt.NDArray[np.generic],
        units: npt.NDArray[np.void],
        *,
        most_tokens: int,
        first_text_token: int,
        unknown: int | None,
        end: int,
    ) -> None:
        parts: list[npt.NDArray[np.int64]] = [np.array([end])]
        self._characters = self._bytes = self._unknown_nats = 0.0
        left, most_of_one = most_tokens, _most_of_one(units, most_tokens)
        for unit in units[np.random.Generator(np.random.Philox(0)).permutation(len(units))]:
            start, stop = int(unit["token_start"]), int(unit["token_end"])
            taken = min(stop - start, most_of_one, left)
            if taken <= 0:
                break
            share, stop = taken / (stop - start), start + taken
            parts.append(np.asarray(tokens[start:stop], dtype=np.int64))
            left -= stop - start
            self._characters += share * int(unit["characters"])
            self._bytes += share * int(unit["bytes"])
            self._unknown_nats += share * int(unit["unknown_bytes"]) * 8 * math.log(2)
        stream = np.concatenate(parts)
        self.num_tokens = len(stream) - 1
        lanes = max(1, min(_LANES, self.num_tokens // _BLOCK))
        length = -(-self.num_tokens // lanes)
        self._inputs = np.full((lanes, length), end)
        self._targets = np.full((lanes, length), -100)
        for lane in range(lanes):
            piece = stream[lane * length : (lane + 1) * length + 1]
            self._inputs[lane, : len(piece) - 1] = piece[:-1]
            targets = piece[1:]
            is_text = (targets >= first_text_token) | (
                targets == (-1 if unknown is None else unknown)
            )
            self._targets[lane, : len(targets)] = np.where(is_text, targets, -100)

    @torch.no_grad()
    def loss(self, network: RecurrentNetwork) -> HeldOutLoss:
        """Return the loss of a network, which is left in the mode that it was in."""
        was_training, device = network.training, network.embed.weight.device
        network.eval()
        lanes, length = self._inputs.shape
        state, nats = network.start(lanes), 0.0
        vocabulary = network.config.vocabulary_size
        block = max(1, min(_BLOCK, _LARGEST_BLOCK_VALUES // (lanes * vocabulary)))
        for start in range(0, length, block):
            inputs = torch.from_numpy(self._inputs[:, start : start + block]).to(device)
            targets = torch.from_numpy(self._targets[:, start : start + block]).to(device)
            logits, state = network(inputs, state)
            nats += F.cross_entropy(
                logits.reshape(-1, vocabulary), targets.reshape(-1), reduction="sum"
            ).item()
        network.train(was_training)
        return HeldOutLoss(nats + self._unknown_nats, self._characters, self._bytes)


def _most_of_one(units: npt.NDArray[np.void], most_tokens: int) -> int:
    """Return how many tokens of one unit are taken: all where everything is read."""
    lengths = units["token_end"] - units["token_start"]
    if int(lengths.sum()) <= most_tokens or len(units) < _FEWEST_UNITS:
        return most_tokens
    return max(1, most_tokens // _FEWEST_UNITS)
