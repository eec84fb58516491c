"""Networks that write, without torch: one token at a time, from the files of a trained model.

For one token of one text torch takes many times as long as the arithmetic does: it prepares weights
anew, and asks at every call what kind of call it is. Here the weights are laid down once as single
steps want them. What a network computes is the same, to rounding; only torch can teach it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memlm.language_model import Hidden, LogProbabilities, Tokens
from memlm.models.config import NetworkConfig, Precision
from memlm.models.matrix import Floats
from memlm.models.step_attention import AttentionStep, normed
from memlm.models.step_entrance import Entrance, LabelsInForce
from memlm.models.step_fused import MOST_TOKENS, FusedBlocks
from memlm.models.step_output import make_scores
from memlm.models.step_past import Carried, start
from memlm.models.step_recurrent import RecurrentStep
from memlm.models.step_weights import read_weights, within
from memlm.runtime import KeptLoops

Ids = npt.NDArray[np.int64]
BlockStep = RecurrentStep | AttentionStep
_WORTH_LOADING, _WORTH_COMPILING = 1 << 13, 1 << 17
"""Steps without the compiled loops that cost as much time as loading, and as compiling them, where
a step is short; a large network that attends loses more with each."""
_LOST_TWICE = 300_000
"""Parameters of one that loses twice as much as the shortest step does."""


class SteppingState(NamedTuple):
    """What is carried from token to token; nothing that it shows is ever changed."""

    carried: Carried
    labels: Ids
    """The labels in force before its last block and after each token of it, (B, T + 1); 0: none."""


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
        self._blocks, self._attended, self._recurrent = _make_blocks(config, weights, precision)
        self._window = max(
            (block.window for block in self._blocks if isinstance(block, AttentionStep)), default=0
        )
        self._last_scale = weights.get("last_norm.weight")
        self._scores = make_scores(config, weights, precision)
        first = self._blocks[0]
        self._enter = Entrance(config, weights, first if isinstance(first, RecurrentStep) else None)
        self._labels = LabelsInForce(config)
        lost = 1 + config.num_parameters // _LOST_TWICE if self._attended else 1
        self._kept = KeptLoops(
            "memlm.models.step_kernels",
            "read_blocks",
            loading=_WORTH_LOADING // lost,
            compiling=_WORTH_COMPILING // lost,
        )

    @property
    def vocabulary_size(self) -> int:
        return self.config.vocabulary_size

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_width

    def start(self, batch: int) -> SteppingState:
        carried = start(batch, self._attended, self._recurrent)
        return SteppingState(carried, np.zeros((batch, 1), dtype=np.int64))

    def read(self, state: SteppingState, tokens: Tokens) -> tuple[LogProbabilities, SteppingState]:
        found, _, after = self.read_hidden(state, tokens)
        return found, after

    def read_hidden(
        self, state: SteppingState, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, SteppingState]:
        given = np.asarray(tokens, dtype=np.int64)
        loops = self._loops_for(given)
        hidden, after = self._read(state, given, loops)
        return self._scores(hidden, after.labels[:, 1:], loops), hidden, after

    def advance(
        self, state: SteppingState, tokens: Tokens
    ) -> tuple[LogProbabilities, SteppingState]:
        found, _, after = self.advance_hidden(state, tokens)
        return found, after

    def advance_hidden(
        self, state: SteppingState, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, SteppingState]:
        if self._loops is None:
            self._spend(1)
        found, hidden, after = self.read_hidden(state, tokens[:, None])
        return found[:, 0], hidden[:, 0], after

    def hidden_states(self, state: SteppingState, tokens: Tokens) -> tuple[Hidden, SteppingState]:
        given = np.asarray(tokens, dtype=np.int64)
        return self._read(state, given, self._loops_for(given))

    def select(self, state: SteppingState, rows: Tokens) -> SteppingState:
        chosen = np.asarray(rows, dtype=np.int64)
        return SteppingState(state.carried.select(chosen), state.labels[chosen])

    @property
    def can_rewind(self) -> bool:
        """Whether what was read can be taken back: where all blocks attend."""
        return not self._recurrent

    def rewound(self, state: SteppingState, tokens: int) -> SteppingState | None:
        """Return the state as it was before the last tokens of its last block; see `Rewinds`."""
        attended = state.carried.attended
        assert attended is not None, "recurrence cannot be taken back"
        before = attended.rewound(tokens, self._window)
        if before is None:
            return None
        labels = state.labels[:, : state.labels.shape[1] - tokens]
        return SteppingState(Carried(before, state.carried.recurrent), labels)

    def expect(self, steps: int) -> None:
        """Hear that so many single steps will come, so that what makes them fast can be ready."""
        self._spend(steps)

    def will_have_loops(self, steps: int) -> bool:
        """Say whether a block of a few tokens will cost less than they do, in so many steps."""
        return self._loops is not None or self._kept.are_worth_it(steps)

    @cached_property
    def _loops(self) -> ModuleType | None:
        """What steps fast; None where it is not worth it yet, or is not to be had."""
        return self._kept.take()

    def _spend(self, steps: int) -> None:
        if self._kept.spend(steps):
            vars(self).pop("_loops", None)

    def _loops_for(self, tokens: Ids) -> ModuleType | None:
        """Return what reads such tokens (B, T) fastest: loops for a few of one text."""
        return self._loops if len(tokens) == 1 and tokens.shape[1] <= MOST_TOKENS else None

    @cached_property
    def _fused(self) -> FusedBlocks | None:
        if not FusedBlocks.can_take(self._blocks):
            return None
        return FusedBlocks(self._blocks, self._last_scale)

    def _read(
        self, state: SteppingState, tokens: Ids, loops: ModuleType | None
    ) -> tuple[Hidden, SteppingState]:
        """Return what the output is given (B, T, H) after tokens (B, T), and the state."""
        labels, count = self._labels(tokens, state.labels[:, -1]), tokens.shape[1]
        stream, products = self._enter(tokens, labels[:, 1:])
        attended, recurrent = state.carried
        carried = Carried(attended and attended.extended(count), recurrent.copy())
        if loops is not None and self._fused is not None:
            first = None if products is None else products[0]
            stream = self._fused(stream[0], first, carried, loops)[None]
        else:
            for block in self._blocks:
                stream = block.read(stream, carried, products=products)
                products = None
            if self._last_scale is not None:
                stream = normed(stream) * self._last_scale
        if carried.attended is not None:
            carried = Carried(carried.attended.with_more(count, self._window), carried.recurrent)
        return stream, SteppingState(carried, labels)


def _make_blocks(
    config: NetworkConfig, weights: Mapping[str, Floats], precision: Precision
) -> tuple[list[BlockStep], int, int]:
    """Return the blocks, and the units that a past and a recurrent state have of each text."""
    blocks: list[BlockStep] = []
    attended = recurrent = 0
    for number, block in enumerate(config.blocks):
        own = within(weights, f"blocks.{number}.")
        if block.attends:
            blocks.append(AttentionStep(block, own, precision, place=attended))
            attended += block.width
        else:
            blocks.append(RecurrentStep(block, own, precision, place=recurrent))
            recurrent += block.width * (2 if block.kind == "lstm" else 1)
    return blocks, attended, recurrent


def load_stepping(folder: Path, *, precision: Precision = "float32") -> SteppingModel:
    """Return the network whose `config.json` and `model.safetensors` lie in `folder`.

    Raises CorruptArtefactError where one is damaged or they do not fit each other.
    """
    config, weights = read_weights(folder)
    return SteppingModel(config, weights, precision=precision)
