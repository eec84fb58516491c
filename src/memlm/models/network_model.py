"""A network as a language model: numpy in, numpy out.

On a GPU the single steps of a longer text are recorded (`recorded.py`); on a processor they are
taken without oneDNN.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from memlm.language_model import Hidden, LogProbabilities, Tokens
from memlm.models.learning import NetworkState
from memlm.models.network import Network
from memlm.models.recorded import RecordedSteps

_WORTH_RECORDING = 64
"""From so many single steps on a GPU, recording them takes less time than it saves."""


@contextmanager
def _without_onednn() -> Iterator[None]:
    """Turn oneDNN off; `torch.backends.mkldnn.flags` does too, but warns about other settings."""
    mkldnn: Any = torch.backends.mkldnn  # Any: its attributes are properties that mypy misreads
    before = mkldnn.enabled
    mkldnn.enabled = False
    try:
        yield
    finally:
        mkldnn.enabled = before


class NetworkModel:
    """A network as a `LanguageModel`: numpy in, numpy out, weights frozen."""

    def __init__(self, network: Network) -> None:
        self.network = network.eval()
        self._recorded: RecordedSteps | None = None

    @property
    def vocabulary_size(self) -> int:
        return self.network.config.vocabulary_size

    def start(self, batch: int) -> NetworkState:
        return self.network.start(batch)

    def expect(self, steps: int) -> None:
        """Hear that so many single steps will come, so that what makes them fast can be ready."""
        is_worth_it = self.network.device.type == "cuda" and steps >= _WORTH_RECORDING
        if is_worth_it and self._recorded is None:
            self._recorded = RecordedSteps(self.network)

    @property
    def hidden_size(self) -> int:
        return self.network.config.hidden_width

    def read(self, state: NetworkState, tokens: Tokens) -> tuple[LogProbabilities, NetworkState]:
        found, _, after = self._read(state, tokens)
        return found.cpu().numpy(), after

    def read_hidden(
        self, state: NetworkState, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, NetworkState]:
        found, hidden, after = self._read(state, tokens)
        return found.cpu().numpy(), hidden.float().cpu().numpy(), after

    def advance(self, state: NetworkState, tokens: Tokens) -> tuple[LogProbabilities, NetworkState]:
        found, _, after = self._step(state, tokens)
        return found.cpu().numpy(), after

    def advance_hidden(
        self, state: NetworkState, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, NetworkState]:
        found, hidden, after = self._step(state, tokens)
        return found.cpu().numpy(), hidden.float().cpu().numpy(), after

    @torch.no_grad()
    def hidden_states(self, state: NetworkState, tokens: Tokens) -> tuple[Hidden, NetworkState]:
        hidden, after = self.network.hidden_states(self._to_device(tokens), state)
        return hidden.float().cpu().numpy(), after

    def select(self, state: NetworkState, rows: Tokens) -> NetworkState:
        chosen = self._to_device(rows)
        return tuple(part.index_select(1, chosen) for part in state)

    @torch.no_grad()
    def _read(self, state: NetworkState, tokens: Tokens) -> tuple[Tensor, Tensor, NetworkState]:
        """Return log-probabilities (B, T, V), hidden states (B, T, H) and the state."""
        logits, hidden, after = self.network.forward_hidden(self._to_device(tokens), state)
        return F.log_softmax(logits, dim=-1), hidden, after

    def _step(self, state: NetworkState, tokens: Tokens) -> tuple[Tensor, Tensor, NetworkState]:
        """Return log-probabilities (B, V), hidden states (B, H) and the state."""
        tokens = np.asarray(tokens)[:, None]
        if self._recorded is not None:
            logits, hidden, after = self._recorded.step(self._to_device(tokens), state)
            return F.log_softmax(logits[:, 0], dim=-1), hidden[:, 0], after
        # oneDNN prepares its weights anew for every call: 8 to 40 times slower for single steps.
        with _without_onednn():
            found, hidden, after = self._read(state, tokens)
        return found[:, 0], hidden[:, 0], after

    def _to_device(self, values: Tokens) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(
            self.network.device
        )
