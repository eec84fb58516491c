"""The output layer: scores for every token, or for clusters of them (adaptive softmax).

Rare words are most of a large vocabulary and little of a text. The adaptive softmax (Grave et al.
2017) scores the frequent ones and the clusters first, and the words of a cluster only where it is
the right one; token ids must rise as words get rarer, as our tokenizers' do. Its `logits` are the
log-probabilities themselves, in float32 also where the arithmetic around it is bf16: they end in
logarithms, which three digits cannot tell apart.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memlm.models.config import NetworkConfig

IGNORED = -100
"""A target that costs nothing."""


class FullOutput(nn.Linear):
    """A score for every token."""

    def losses(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return what each target costs, in nats, (B, T) for hidden (B, T, H)."""
        counted = targets != IGNORED
        if 2 * int(counted.sum()) > counted.numel():
            return token_losses(self(hidden), targets)
        return _only_where(counted, lambda: token_losses(self(hidden[counted]), targets[counted]))


class AdaptiveOutput(nn.AdaptiveLogSoftmaxWithLoss):
    """Log-probabilities by clusters."""

    def forward(self, hidden: Tensor) -> Tensor:  # type: ignore[override]  # of one argument here
        """Return the log-probabilities (B, T, V)."""
        with _without_autocast(hidden):
            found: Tensor = self.log_prob(self._exact(hidden).flatten(0, -2))
        return found.reshape(*hidden.shape[:-1], self.n_classes)

    def losses(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Return what each target costs, in nats, (B, T) for hidden (B, T, H)."""
        counted = targets != IGNORED
        charge = super().forward
        with _without_autocast(hidden):
            return _only_where(
                counted, lambda: -charge(self._exact(hidden[counted]), targets[counted]).output
            )

    def _exact(self, hidden: Tensor) -> Tensor:
        """Return what autocast may have rounded in the type of the weights."""
        return hidden.to(self.head.weight.dtype)


def make_output(config: NetworkConfig) -> FullOutput | AdaptiveOutput:
    """Return the output layer that a network is described to have."""
    if config.cutoffs:
        return AdaptiveOutput(config.hidden_width, config.vocabulary_size, list(config.cutoffs))
    return FullOutput(config.hidden_width, config.vocabulary_size, bias=config.has_output_bias)


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return what each target costs, in nats, (...) for logits (..., V)."""
    nats = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    return nats.view_as(targets)


def _without_autocast(values: Tensor) -> AbstractContextManager[object]:
    return torch.autocast(values.device.type, enabled=False)


def _only_where(counted: Tensor, losses: Callable[[], Tensor]) -> Tensor:
    """Return the losses at the places counted, and 0 elsewhere: in float32, as they are summed."""
    nats = torch.zeros(counted.shape, device=counted.device)
    return nats.masked_scatter(counted, losses().float()) if counted.any() else nats


def label_logits(layer: FullOutput, bias: Tensor, hidden: Tensor, labels: Tensor) -> Tensor:
    """Return logits (B, T, V) with each position's label as a further bias (V, labels)."""
    # One product for both: the label in force is a further unit of the last layer.
    shown = F.one_hot(labels, bias.shape[1]).to(hidden.dtype)
    both = torch.cat([layer.weight, bias], dim=1)
    return F.linear(torch.cat([hidden, shown], dim=-1), both, layer.bias)
