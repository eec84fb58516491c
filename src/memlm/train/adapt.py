"""Learning while reading: score a segment, then learn from it, then score the next.

Dynamic evaluation (Krause et al. 2018, "Dynamic evaluation of neural sequence models"). After the
n tokens of a segment have been scored with the weights w as they were before it, the gradient g of
their mean loss changes the weights once, and the trained ones w0 pull them back:

    sgd   w <- w - rate * g                      + decay * (w0 - w)
    rms   w <- w - rate * g / (r + r_mean / 10)  + min(1, decay * r / r_mean) * (w0 - w)

No step is longer than the rate (sgd), or than twice the rate for each weight (rms: root of the mean
square), so that one rare word does not throw everything over. r is the root of the mean squared
gradient of each weight over the training text, gathered once (`train/adapt_fit.py`): a weight that
seldom matters may move as far as the others. The state goes on through the segments. The trained
network is copied and never written to.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from memlm.errors import DivergedError
from memlm.language_model import Hidden, LogProbabilities, Tokens
from memlm.models.learning import NetworkState
from memlm.models.network import Network

Weights = tuple[Tensor, ...]
_LONGEST_STEP = {"sgd": 1.0, "rms": 2.0}  # in rates; of all weights together, and of each
_SMALLEST_ROOT = 1e-12
_SMOOTHED = 0.1  # of the mean root, so that a weight without a gradient does not leap at its first


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """How a network learns while it reads."""

    rule: Literal["sgd", "rms"] = "rms"
    """Plain steps, or steps scaled by the gradients that the training text gave."""
    learning_rate: float = 5e-4
    """Size of a step."""
    decay: float = 1e-3
    """Share of the way back to the trained weights that each step goes."""
    segment: int = 32
    """Tokens scored between two steps."""


PLAIN_STEPS = AdaptConfig(rule="sgd", learning_rate=0.1)
"""What needs nothing but the network."""


@dataclass(frozen=True)
class _Row:
    """What is carried for one text; nothing in it is ever changed."""

    weights: Weights
    begin: NetworkState
    """Before the segment that is being read."""
    state: NetworkState
    """After the last token that was read."""
    segment: Tensor
    """Tokens of the segment that were read so far, (t,)."""
    tokens_read: int = 0


AdaptingState = tuple[_Row, ...]


class AdaptingModel:
    """A network that learns from what it has scored, as a `LanguageModel`.

    Every text has weights of its own, which are part of its state: those side by side do not learn
    from each other, and are read one after the other.
    """

    def __init__(
        self,
        network: Network,
        config: AdaptConfig,
        *,
        squares: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.config = config
        self._learns = config.learning_rate > 0
        self._network = copy.deepcopy(network).eval().requires_grad_()
        named = dict(self._network.named_parameters())
        self._parameters = list(named.values())
        self._trained: Weights = tuple(value.detach().clone() for value in self._parameters)
        self._held = self._trained
        self._device = self._trained[0].device
        if config.rule == "rms":
            assert squares is not None  # what the rule is made of
            roots = [squares[name].to(self._device).sqrt() for name in named]
            self._rates, self._pulls = _scaled_by(roots, config)
        else:
            self._rates, self._pulls = _same_for_all(self._trained, config)
        num_weights = sum(weight.numel() for weight in self._trained)
        self._longest = _LONGEST_STEP[config.rule] * config.learning_rate
        self._longest *= math.sqrt(num_weights) if config.rule == "rms" else 1.0

    @property
    def vocabulary_size(self) -> int:
        return self._network.config.vocabulary_size

    def start(self, batch: int) -> AdaptingState:
        state = self._network.start(1)
        none = torch.empty(0, dtype=torch.long, device=self._device)
        return (_Row(self._trained, state, state, none),) * batch

    @property
    def hidden_size(self) -> int:
        return self._network.config.hidden_width

    def read(self, state: AdaptingState, tokens: Tokens) -> tuple[LogProbabilities, AdaptingState]:
        found, _, after = self.read_hidden(state, tokens)
        return found, after

    def read_hidden(
        self, state: AdaptingState, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, AdaptingState]:
        values = torch.from_numpy(np.ascontiguousarray(tokens, dtype=np.int64)).to(self._device)
        read = [self._read_row(row, line) for row, line in zip(state, values, strict=True)]
        found, hidden, after = zip(*read, strict=True)
        return np.stack(found), np.stack(hidden), after

    def advance(
        self, state: AdaptingState, tokens: Tokens
    ) -> tuple[LogProbabilities, AdaptingState]:
        found, after = self.read(state, np.asarray(tokens)[:, None])
        return found[:, 0], after

    def advance_hidden(
        self, state: AdaptingState, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, AdaptingState]:
        found, hidden, after = self.read_hidden(state, np.asarray(tokens)[:, None])
        return found[:, 0], hidden[:, 0], after

    def hidden_states(self, state: AdaptingState, tokens: Tokens) -> tuple[Hidden, AdaptingState]:
        _, hidden, after = self.read_hidden(state, tokens)  # it learns from what it scores
        return hidden, after

    def select(self, state: AdaptingState, rows: Tokens) -> AdaptingState:
        return tuple(state[int(row)] for row in rows)

    def _read_row(self, row: _Row, tokens: Tensor) -> tuple[LogProbabilities, Hidden, _Row]:
        found: list[LogProbabilities] = []
        shown: list[Hidden] = []
        logits: Tensor | None = None
        while len(tokens):
            if len(row.segment) == self.config.segment:
                # The token that comes now is the segment's last target: all of it is scored.
                row = self._learn(row, tokens[:1], logits)
            room = self.config.segment - len(row.segment) if self._learns else len(tokens)
            piece, tokens = tokens[:room], tokens[room:]
            logits, hidden, row = self._score(row, piece)
            scored = F.log_softmax(logits.detach()[0], dim=-1)
            if bool(torch.isnan(scored).any()):
                raise DivergedError(
                    "adapting_diverged", token=row.tokens_read, rate=self.config.learning_rate
                )
            found.append(scored.cpu().numpy())
            shown.append(hidden.detach()[0].float().cpu().numpy())
        return np.concatenate(found), np.concatenate(shown), row

    def _score(self, row: _Row, piece: Tensor) -> tuple[Tensor, Tensor, _Row]:
        """Read on inside a segment; return logits, hidden states and the row after it.

        The logits know their gradient if they are all of the segment. Without one the recurrent
        layers round a little differently: what learns nothing asks for none, and scores as the
        frozen network does, to the bit.
        """
        self._hold(row.weights)
        is_whole = self._learns and len(piece) == self.config.segment
        with torch.set_grad_enabled(is_whole), differentiable(self._device):
            logits, hidden, state = self._network.forward_hidden(piece[None], row.state)
        after = replace(
            row,
            state=tuple(part.detach() for part in state),
            segment=torch.cat([row.segment, piece]) if self._learns else row.segment,
            tokens_read=row.tokens_read + len(piece),
        )
        return logits, hidden, after

    def _learn(self, row: _Row, target: Tensor, logits: Tensor | None) -> _Row:
        """Return the row with weights that have learned from its segment, ready for the next."""
        with differentiable(self._device):
            if logits is None or not logits.requires_grad:  # it was read in pieces
                self._hold(row.weights)
                logits, _ = self._network(row.segment[None], row.begin)
            loss = F.cross_entropy(logits[0], torch.cat([row.segment[1:], target]))
            gradients = torch.autograd.grad(
                loss, self._parameters, allow_unused=True, materialize_grads=True
            )
        return replace(
            row,
            weights=self._stepped(row.weights, gradients),
            begin=row.state,
            segment=row.segment[:0],
        )

    @torch.no_grad()
    def _stepped(self, weights: Weights, gradients: Weights) -> Weights:
        steps = [rate * gradient for rate, gradient in zip(self._rates, gradients, strict=True)]
        norms = torch.stack([torch.linalg.vector_norm(step) for step in steps])
        length = torch.linalg.vector_norm(norms).item()
        share = self._longest / length if length > self._longest else 1.0
        parts = zip(weights, self._trained, steps, self._pulls, strict=True)
        return tuple(
            torch.lerp(weight, trained, pull).sub_(step, alpha=share)
            for weight, trained, step, pull in parts
        )

    @torch.no_grad()
    def _hold(self, weights: Weights) -> None:
        """Put these weights into the network, unless it has them."""
        if weights is self._held:
            return
        for parameter, weight in zip(self._parameters, weights, strict=True):
            parameter.copy_(weight)
        self._held = weights


def _same_for_all(weights: Weights, config: AdaptConfig) -> tuple[Weights, Weights]:
    """Return the rate and the pull back of every weight, the same for all."""
    rates = tuple(weight.new_tensor(config.learning_rate) for weight in weights)
    pulls = tuple(weight.new_tensor(config.decay) for weight in weights)
    return rates, pulls


def _scaled_by(roots: list[Tensor], config: AdaptConfig) -> tuple[Weights, Weights]:
    """Return the rate and the pull back of every weight, by the size of its gradients."""
    total = sum(root.sum().item() for root in roots)
    mean = max(_SMALLEST_ROOT, total / sum(root.numel() for root in roots))
    rates = tuple(config.learning_rate / (root + _SMOOTHED * mean) for root in roots)
    pulls = tuple((config.decay / mean * root).clamp(max=1.0) for root in roots)
    return rates, pulls


@contextmanager
def differentiable(device: torch.device) -> Iterator[None]:
    """Let a network that is not in training mode have gradients: cuDNN's recurrence has none."""
    cudnn: Any = torch.backends.cudnn  # Any: its attributes are properties that mypy misreads
    before = cudnn.enabled
    cudnn.enabled = before and device.type != "cuda"
    try:
        yield
    finally:
        cudnn.enabled = before
