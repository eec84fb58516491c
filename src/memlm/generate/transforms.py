"""What is done to a distribution before a token is drawn from it: small steps, one after the other.

Each takes and returns log-probabilities (B, V); those it forbids become minus infinity. They need
not sum to 1 any more: drawing normalises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

LogWeights = npt.NDArray[np.float64]


class Transform(Protocol):
    """One step from log-weights to log-weights, both (B, V)."""

    def __call__(self, log_weights: LogWeights) -> LogWeights:
        """Return the changed weights; the given ones stay as they are."""


@dataclass(frozen=True)
class Forbid:
    """These tokens never."""

    tokens: Sequence[int]

    def __call__(self, log_weights: LogWeights) -> LogWeights:
        changed = log_weights.copy()
        changed[:, list(self.tokens)] = -np.inf
        return changed


@dataclass(frozen=True)
class Temperature:
    """p^(1/temperature): sharper below 1, flatter above; 0 leaves only the likeliest."""

    temperature: float

    def __call__(self, log_weights: LogWeights) -> LogWeights:
        if self.temperature == 0:
            return TopK(1)(log_weights)
        # From the likeliest down, so that a very low temperature cannot overflow all of them.
        below = log_weights - log_weights.max(axis=1, keepdims=True)
        with np.errstate(over="ignore"):
            return np.asarray(below / self.temperature)


@dataclass(frozen=True)
class TopK:
    """The k likeliest tokens; among equals the lower id (Fan et al. 2018)."""

    k: int

    def __call__(self, log_weights: LogWeights) -> LogWeights:
        order = np.argsort(-log_weights, axis=1, kind="stable")[:, self.k :]
        changed = log_weights.copy()
        np.put_along_axis(changed, order, -np.inf, axis=1)
        return changed


@dataclass(frozen=True)
class TopP:
    """The fewest likeliest tokens that together have probability p (Holtzman et al. 2020)."""

    p: float

    def __call__(self, log_weights: LogWeights) -> LogWeights:
        if self.p >= 1:
            return log_weights.copy()
        order = np.argsort(-log_weights, axis=1, kind="stable")
        ranked = normalise(np.take_along_axis(log_weights, order, axis=1))
        before = np.cumsum(ranked, axis=1) - ranked  # probability of all likelier ones
        changed = np.empty_like(log_weights)
        kept = np.where(before < self.p, np.take_along_axis(log_weights, order, axis=1), -np.inf)
        np.put_along_axis(changed, order, kept, axis=1)
        return changed


def normalise(log_weights: LogWeights) -> npt.NDArray[np.float64]:
    """Return the probabilities (B, V) that log-weights stand for."""
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
