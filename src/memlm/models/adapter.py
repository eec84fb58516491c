"""An adapter: a small change of some matrices is learned while all weights stay (Hu et al. 2022).

    W  ->  W + scale * B A        A (rank, inputs), B (outputs, rank), scale = 2 where B begins at 0

The change is laid over the weights in each call, so that it fits whatever uses them: layers that
multiply, gates of recurrent ones. The weights themselves are no parameters of the adapter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from memlm.models.learning import LearningNetwork, NetworkState

ALPHA_OF_RANK = 2
"""PEFT's `lora_alpha` by its `r`: the scale."""


@dataclass(frozen=True)
class AdapterTarget:
    """A matrix that an adapter changes."""

    name: str
    """Of the parameter, as its network calls it."""
    outputs: int
    inputs: int
    is_turned: bool = False
    """Whether it lies as (inputs, outputs)."""

    def change(self, down: Tensor, up: Tensor) -> Tensor:
        """Return what A (rank, inputs) and B (outputs, rank) add to the matrix as it lies."""
        found = ALPHA_OF_RANK * (up @ down)
        return found.T if self.is_turned else found


class AdaptedNetwork(LearningNetwork):
    """A network whose weights stay as they are, and the change that is learned."""

    def __init__(
        self, network: LearningNetwork, targets: Sequence[AdapterTarget], *, rank: int, seed: int
    ) -> None:
        super().__init__()
        # Kept from torch's sight: what is frozen is trained, saved and averaged by nobody.
        object.__setattr__(self, "_reader", _Reader(network.requires_grad_(False)))
        self.config, self.rank, self.targets = network.config, rank, tuple(targets)
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for target in self.targets:
                down = torch.empty(rank, target.inputs)
                nn.init.kaiming_uniform_(down, a=math.sqrt(5))  # as a linear layer begins
                self.down[_key(target)] = nn.Parameter(down)
                self.up[_key(target)] = nn.Parameter(torch.zeros(target.outputs, rank))

    @property
    def network(self) -> LearningNetwork:
        """The network beneath, without the change."""
        reader: _Reader = self.__dict__["_reader"]
        return reader.network

    @property
    def device(self) -> torch.device:
        return self.network.device

    def start(self, batch: int) -> NetworkState:
        return self.network.start(batch)

    def carried(self, state: NetworkState) -> NetworkState:
        return self.network.carried(state)

    def losses(
        self,
        tokens: Tensor,
        targets: Tensor,
        state: NetworkState,
        *,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, NetworkState]:
        weights = dict(self.network.named_parameters())
        changed = {
            f"network.{target.name}": weights[target.name] + self.change(target)
            for target in self.targets
        }
        read: tuple[Tensor, NetworkState] = functional_call(
            self.__dict__["_reader"], changed, (tokens, targets, state, labels)
        )
        return read

    def change(self, target: AdapterTarget) -> Tensor:
        """Return what is added to a matrix."""
        return target.change(self.down[_key(target)], self.up[_key(target)])

    def parts(self, target: AdapterTarget) -> tuple[Tensor, Tensor]:
        """Return A and B of a matrix."""
        return self.down[_key(target)].detach(), self.up[_key(target)].detach()

    @contextmanager
    @torch.no_grad()
    def merged(self) -> Iterator[LearningNetwork]:
        """Inside the block the network beneath has the change in its weights."""
        weights = dict(self.network.named_parameters())
        before = {target.name: weights[target.name].clone() for target in self.targets}
        for target in self.targets:
            weights[target.name].add_(self.change(target))
        try:
            yield self.network
        finally:
            for name, value in before.items():
                weights[name].copy_(value)

    def weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.named_parameters()}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        self.load_state_dict(dict(weights))

    def train(self, mode: bool = True) -> Self:
        self.network.train(mode)
        return super().train(mode)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:  # Any: torch's
        self.network._apply(fn, recurse)
        return super()._apply(fn, recurse)


class _Reader(nn.Module):
    """Lets a network be called with other weights, which torch does by `forward` alone."""

    def __init__(self, network: LearningNetwork) -> None:
        super().__init__()
        self.network: LearningNetwork = network

    def forward(
        self, tokens: Tensor, targets: Tensor, state: NetworkState, labels: Tensor | None
    ) -> tuple[Tensor, NetworkState]:
        return self.network.losses(tokens, targets, state, labels=labels)


def _key(target: AdapterTarget) -> str:
    return target.name.replace(".", "/")  # a dot parts modules
