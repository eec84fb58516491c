"""What is done to a distribution before a token is drawn from it: small steps, one after the other.

Each takes log-probabilities (B, V) and the tokens that its rows have so far (B, T), the prompt's
among them, and returns log-probabilities; those it forbids become minus infinity. They need not sum
to 1 any more: drawing normalises. What a person forbids and allows stands in `forbidding.py` and
`allowing.py`, penalties in `penalties.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from memlm.language_model import Tokens

LogWeights = npt.NDArray[np.float64]


class Transform(Protocol):
    """One step from log-weights to log-weights, both (B, V)."""

    def __call__(self, log_weights: LogWeights, so_far: Tokens) -> LogWeights:
        """Return the changed weights; the given ones stay as they are.

        `so_far` (B, T) are the tokens of the prompt, and after them those that were written.
        """


@dataclass(frozen=True)
class Forbid:
    """These tokens never; or not before a text has `until` tokens, the prompt's among them."""

    tokens: Sequence[int]
    until: int | None = None

    def __call__(self, log_weights: LogWeights, so_far: Tokens) -> LogWeights:
        changed = log_weights.copy()
        if self.until is None or so_far.shape[1] < self.until:
            changed[:, self._ids] = -np.inf
        return changed

    @cached_property
    def _ids(self) -> Tokens:
        return np.array(self.tokens, dtype=np.int64)


@dataclass(frozen=True)
class Temperature:
    """p^(1/temperature): sharper below 1, flatter above; 0 leaves only the likeliest."""

    temperature: float

    def __call__(self, log_weights: LogWeights, so_far: Tokens) -> LogWeights:
        if self.temperature == 0:
            return TopK(1)(log_weights, so_far)
        # From the likeliest down, so that a very low temperature cannot overflow all of them.
        below: LogWeights = log_weights - log_weights.max(axis=1, keepdims=True)
        with np.errstate(over="ignore"):
            below /= self.temperature
        return below


@dataclass(frozen=True)
class TopK:
    """The k likeliest tokens; among equals the lower id (Fan et al. 2018)."""

    k: int

    def __call__(self, log_weights: LogWeights, so_far: Tokens) -> LogWeights:
        order = np.argsort(-log_weights, axis=1, kind="stable")[:, self.k :]
        changed = log_weights.copy()
        np.put_along_axis(changed, order, -np.inf, axis=1)
        return changed


@dataclass(frozen=True)
class TopP:
    """The fewest likeliest tokens that together have probability p (Holtzman et al. 2020)."""

    p: float

    def __call__(self, log_weights: LogWeights, so_far: Tokens) -> LogWeights:
        return _keep_first(log_weights, np.argsort(-log_weights, axis=1, kind="stable"), self.p)


@dataclass(frozen=True)
class MinP:
    """Tokens at least `p` times as likely as the likeliest (Nguyen et al. 2024)."""

    p: float

    def __call__(self, log_weights: LogWeights, so_far: Tokens) -> LogWeights:
        least = log_weights.max(axis=1, keepdims=True) + np.log(self.p)
        return np.where(log_weights >= least, log_weights, -np.inf)


@dataclass(frozen=True)
class Typical:
    """The tokens about as surprising as is to be expected that together have probability p.

    Those whose -log p is nearest to the entropy come first, among equals the lower id (Meister et
    al. 2023): the likeliest token may be left out.
    """

    p: float

    def __call__(self, log_weights: LogWeights, so_far: Tokens) -> LogWeights:
        shares = normalise(log_weights)
        surprise = -np.log(shares, out=np.full_like(shares, -np.inf), where=shares > 0)
        entropy = (shares * np.where(shares > 0, surprise, 0.0)).sum(axis=1, keepdims=True)
        order = np.argsort(np.abs(surprise - entropy), axis=1, kind="stable")
        return _keep_first(log_weights, order, self.p)


def normalise(log_weights: LogWeights) -> npt.NDArray[np.float64]:
    """Return the probabilities (B, V) that log-weights stand for."""
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _keep_first(log_weights: LogWeights, order: npt.NDArray[np.int64], p: float) -> LogWeights:
    """Keep the fewest tokens of each row, taken in `order` (B, V), that have probability `p`."""
    if p >= 1:
        return log_weights.copy()
    ordered = np.take_along_axis(log_weights, order, axis=1)
    ranked = normalise(ordered)
    before = np.cumsum(ranked, axis=1) - ranked  # probability of all that come first
    changed = np.empty_like(log_weights)
    np.put_along_axis(changed, order, np.where(before < p, ordered, -np.inf), axis=1)
    return changed
