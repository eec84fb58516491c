"""Networks as language models: build one, load one, and read with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from memlm.errors import CorruptArtefactError
from memlm.language_model import LogProbabilities, Tokens
from memlm.models.config import NetworkConfig
from memlm.models.recurrent import NetworkState, RecurrentNetwork
from memlm.storage import read_json

_WEIGHT_BYTES = 4


def build_network(config: NetworkConfig, *, seed: int = 0) -> RecurrentNetwork:
    """Return a freshly initialised network, the same for the same seed.

    >>> config = NetworkConfig(
    ...     kind="gru", vocabulary_size=9, embedding_width=4, hidden_width=5, layers=1)
    >>> sum(p.numel() for p in build_network(config).parameters()) == config.num_parameters
    True
    """
    # torch's layers initialise themselves from the global generator; it is left as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RecurrentNetwork(config)


def load_network(folder: Path, *, device: torch.device) -> RecurrentNetwork:
    """Return the network whose `config.json` and `model.safetensors` lie in `folder`."""
    path, weights = folder / "config.json", folder / "model.safetensors"
    config = NetworkConfig.from_json(read_json(path), path=path)
    # A wrong size is noticed before memory is taken for it.
    if not weights.is_file() or weights.stat().st_size < config.num_parameters * _WEIGHT_BYTES:
        raise CorruptArtefactError("artefact_unreadable", path=weights)
    network = RecurrentNetwork(config)
    load_weights(network, weights)
    return network.to(device).eval()


def load_weights(network: RecurrentNetwork, path: Path) -> None:
    """Fill a network with the weights in a file; CorruptArtefactError if they do not fit."""
    try:
        network.load_weights(load_file(path))
    except (SafetensorError, RuntimeError, KeyError, OSError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=path) from error


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

    def __init__(self, network: RecurrentNetwork) -> None:
        self.network = network.eval()
        self._device = network.embed.weight.device

    @property
    def vocabulary_size(self) -> int:
        return self.network.config.vocabulary_size

    def start(self, batch: int) -> NetworkState:
        return self.network.start(batch)

    @torch.no_grad()
    def read(self, state: NetworkState, tokens: Tokens) -> tuple[LogProbabilities, NetworkState]:
        logits, after = self.network(self._to_device(tokens), state)
        return F.log_softmax(logits, dim=-1).cpu().numpy(), after

    @torch.no_grad()
    def advance(self, state: NetworkState, tokens: Tokens) -> tuple[LogProbabilities, NetworkState]:
        # oneDNN prepares its weights anew for every call: 8 to 40 times slower for single steps.
        with _without_onednn():
            logits, after = self.network(self._to_device(tokens)[:, None], state)
        return F.log_softmax(logits[:, 0], dim=-1).cpu().numpy(), after

    def select(self, state: NetworkState, rows: Tokens) -> NetworkState:
        chosen = self._to_device(rows)
        return tuple(part.index_select(1, chosen) for part in state)

    def _to_device(self, values: Tokens) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(self._device)
