"""Networks that write, without torch: one token at a time, from the files of a trained model.

For one token of one text torch takes many times as long as the arithmetic does: it prepares weights
anew, and asks at every call what kind of call it is. Here the weights are laid down once as single
steps want them. What a network computes is the same, to rounding; only torch can teach it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from memlm.language_model import Hidden, LogProbabilities, Tokens
from memlm.models.config import BlockConfig, NetworkConfig, Precision
from memlm.models.matrix import Floats
from memlm.models.step_attention import AttentionStep, normed
from memlm.models.step_entrance import Entrance, LabelsInForce
from memlm.models.step_output import make_scores
from memlm.models.step_recurrent import RecurrentStep
from memlm.models.step_weights import read_weights, within
from memlm.runtime import KeptLoops

Ids = npt.NDArray[np.int64]
BlockState = Any
"""What a block carries on; only it looks inside."""
_WORTH_LOADING, _WORTH_COMPILING = 1 << 13, 1 << 16
"""Steps without the compiled loops that cost as much time as loading, and as compiling them."""


class BlockStep(Protocol):
    """One block of a network. `products` are what its input brings to it, where that is known."""

    def start(self, batch: int) -> BlockState:
        """Return the state before anything was read."""

    def select(self, state: BlockState, rows: Ids) -> BlockState:
        """Return the state of some texts."""

    def step(
        self,
        stream: Floats,
        state: BlockState,
        *,
        products: Floats | None = None,
        loops: ModuleType | None = None,
    ) -> tuple[Floats, BlockState]:
        """Return the outputs (B, H) for one input (B, I) of each text, and the state after it."""

    def read(
        self, stream: Floats, state: BlockState, *, products: Floats | None = None
    ) -> tuple[Floats, BlockState]:
        """Return the outputs (B, T, H) for inputs (B, T, I), and the state after them."""


@dataclass(frozen=True)
class SteppingState:
    """What is carried from token to token; nothing that it shows is ever changed."""

    blocks: tuple[BlockState, ...]
    label: Ids
    """The label in force, (B,); 0 is none."""


class SteppingModel:
    """A trained network as a `LanguageModel`: numpy all through, weights frozen."""

    def __init__(
        self,
        config: NetworkConfig,
        weights: Mapping[str, Floats],
        *,
        precision: Precision = "float32",
    ) -> None:
        """Lay down weights, by the names that they have in `model.safetensors`."""
        self.config, self.precision = config, precision
        self._blocks: list[BlockStep] = [
            make_step(block, within(weights, f"blocks.{number}."), precision)
            for number, block in enumerate(config.blocks)
        ]
        self._last_scale = weights.get("last_norm.weight")
        self._scores = make_scores(config, weights, precision)
        first = self._blocks[0]
        self._enter = Entrance(config, weights, first if isinstance(first, RecurrentStep) else None)
        self._labels = LabelsInForce(config)
        self._kept = KeptLoops(
            "memlm.models.step_kernels",
            "attend_step" if config.attends else f"{config.blocks[0].kind}_step",
            loading=_WORTH_LOADING,
            compiling=_WORTH_COMPILING,
        )

    @property
    def vocabulary_size(self) -> int:
        return self.config.vocabulary_size

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_width

    def start(self, batch: int) -> SteppingState:
        blocks = tuple(block.start(batch) for block in self._blocks)
        return SteppingState(blocks, np.zeros(batch, dtype=np.int64))

    def read(self, state: SteppingState, tokens: Tokens) -> tuple[LogProbabilities, SteppingState]:
        found, _, after = self.read_hidden(state, tokens)
        return found, after

    def read_hidden(
        self, state: SteppingState, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, SteppingState]:
        hidden, labels, after = self._read(state, np.asarray(tokens, dtype=np.int64))
        return self._scores(hidden, labels), hidden, after

    def advance(
        self, state: SteppingState, tokens: Tokens
    ) -> tuple[LogProbabilities, SteppingState]:
        found, _, after = self.advance_hidden(state, tokens)
        return found, after

    def advance_hidden(
        self, state: SteppingState, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, SteppingState]:
        loops = self._loops
        if loops is None:
            self._spend(1)
        hidden, after = self._step(state, np.asarray(tokens, dtype=np.int64), loops)
        return self._scores(hidden, after.label, loops), hidden, after

    def hidden_states(self, state: SteppingState, tokens: Tokens) -> tuple[Hidden, SteppingState]:
        hidden, _, after = self._read(state, np.asarray(tokens, dtype=np.int64))
        return hidden, after

    def select(self, state: SteppingState, rows: Tokens) -> SteppingState:
        chosen = np.asarray(rows, dtype=np.int64)
        blocks = tuple(
            block.select(part, chosen)
            for block, part in zip(self._blocks, state.blocks, strict=True)
        )
        return SteppingState(blocks, state.label[chosen])

    def expect(self, steps: int) -> None:
        """Hear that so many single steps will come, so that what makes them fast can be ready."""
        self._spend(steps)

    @cached_property
    def _loops(self) -> ModuleType | None:
        """What steps fast; None where it is not worth it yet, or is not to be had."""
        return self._kept.take()

    def _spend(self, steps: int) -> None:
        if self._kept.spend(steps):
            vars(self).pop("_loops", None)

    def _step(
        self, state: SteppingState, tokens: Ids, loops: ModuleType | None
    ) -> tuple[Hidden, SteppingState]:
        """Return what the output is given (B, H) after one token (B,) of each, and the state."""
        label = self._labels(tokens[:, None], state.label)[:, 0]
        stream, products = self._enter(tokens, label)
        after: list[BlockState] = []
        for block, part in zip(self._blocks, state.blocks, strict=True):
            stream, left = block.step(stream, part, products=products, loops=loops)
            products = None
            after.append(left)
        return self._last(stream), SteppingState(tuple(after), label)

    def _read(self, state: SteppingState, tokens: Ids) -> tuple[Hidden, Ids, SteppingState]:
        """Return what the output is given (B, T, H), the labels (B, T), and the state."""
        labels = self._labels(tokens, state.label)
        stream, products = self._enter(tokens, labels)
        after: list[BlockState] = []
        for block, part in zip(self._blocks, state.blocks, strict=True):
            stream, left = block.read(stream, part, products=products)
            products = None
            after.append(left)
        label = labels[:, -1] if tokens.shape[1] else state.label
        return self._last(stream), labels, SteppingState(tuple(after), label)

    def _last(self, stream: Floats) -> Floats:
        return stream if self._last_scale is None else normed(stream) * self._last_scale


def make_step(
    block: BlockConfig, weights: Mapping[str, Floats], precision: Precision
) -> RecurrentStep | AttentionStep:
    """Return one block, its weights by their names within it."""
    if block.attends:
        return AttentionStep(block, weights, precision)
    return RecurrentStep(block, weights, precision)


def load_stepping(folder: Path, *, precision: Precision = "float32") -> SteppingModel:
    """Return the network whose `config.json` and `model.safetensors` lie in `folder`.

    Raises CorruptArtefactError where one is damaged or they do not fit each other.
    """
    config, weights = read_weights(folder)
    return SteppingModel(config, weights, precision=precision)
