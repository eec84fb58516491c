"""What can be trained: our own networks, those of others, and adapters around either."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from memlm.models.config import NetworkConfig
from memlm.models.foreign_shape import ForeignShape

NetworkState = tuple[Tensor, ...]
"""What a network carries from stretch to stretch, the batch in dimension 1 throughout."""


class LearningNetwork(nn.Module, ABC):
    """A network that tells what text costs; its parameters are what is trained, and no others."""

    config: NetworkConfig | ForeignShape

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the weights are."""

    @abstractmethod
    def start(self, batch: int) -> NetworkState:
        """Return the state before anything was read, for `batch` texts."""

    @abstractmethod
    def carried(self, state: NetworkState) -> NetworkState:
        """Return what a training carries into the next stretch, without its gradient."""

    @abstractmethod
    def losses(
        self,
        tokens: Tensor,
        targets: Tensor,
        state: NetworkState,
        *,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, NetworkState]:
        """Return what each target costs in nats, (B, T), and the state; -100 costs nothing."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Return a copy of what is trained, by name."""

    @abstractmethod
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what `weights` returned."""
