"""Find the discounts and gates that predict a text best which the memory has not read.

The loss is the mean of -ln p over the text's tokens, its gradient is exact, and L-BFGS (Liu and
Nocedal 1989) descends it: a few dozen numbers, a few seconds. Gates are pulled to where they begin,
so that a short text changes little.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memlm.memory.smoothing import (
    FEATURES,
    NEAREST_TO_CERTAIN,
    Evidence,
    Floats,
    Ints,
    Smoothing,
    features_of,
)

_MOST_STEPS = 100
_PULL = 1e-4
_FARTHEST = 7.0  # of a discount from the middle: it is never all of a count
_LARGEST_DISCOUNTS = np.array([1.0, 2.0, 3.0])


@dataclass(frozen=True)
class FittedSmoothing:
    """What a fit came to."""

    smoothing: Smoothing
    nats_per_token: float
    """Of the text that it was fitted on."""
    tokens: int


def fit_smoothing(told: Iterable[tuple[Evidence, Ints]], first: Smoothing) -> FittedSmoothing:
    """Return the smoothing under which evidence predicts its targets best.

    Both come in blocks: after each position of the evidence comes its target.
    Raises ModuleNotFoundError without scipy.
    """
    from scipy.optimize import minimize

    data = _Data.of(told, first)
    begin = np.concatenate(
        [_raw(np.asarray(first.discounts)).ravel(), np.asarray(first.gates).ravel()]
    )
    found = minimize(
        data.loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": _MOST_STEPS}
    )
    discounts, gates = data.parts(found.x)
    smoothing = Smoothing(
        orders=first.orders,
        discounts=tuple((float(a), float(b), float(c)) for a, b, c in _discounts(discounts)),
        gates=tuple(tuple(float(weight) for weight in row) for row in gates),
    )
    loss = data.nats(found.x)
    return FittedSmoothing(smoothing, loss, len(data.hits))


def _discounts(raw: Floats) -> Floats:
    return np.asarray(_LARGEST_DISCOUNTS / (1 + np.exp(-np.clip(raw, -_FARTHEST, _FARTHEST))))


def _raw(discounts: Floats) -> Floats:
    share = np.clip(discounts / _LARGEST_DISCOUNTS, 1e-3, 1 - 1e-3)
    return np.asarray(np.log(share / (1 - share)))


@dataclass(frozen=True)
class _Data:
    """What the loss is made of: of every context (T, O) its sums, and the count of the target."""

    hits: Floats
    """c of the target, 0 where it never followed."""
    classes: npt.NDArray[np.bool_]
    """(3, T, O): which discount that count has; none where it is 0."""
    sums: Floats
    kinds: Floats
    values: Floats
    uniform: float
    home: Floats
    """(O, F): where the gates are pulled to."""

    @classmethod
    def of(cls, told: Iterable[tuple[Evidence, Ints]], first: Smoothing) -> _Data:
        num_orders = len(first.orders)
        parts, largest = [], 0
        for block, wanted in told:  # of which only what the gates see is kept: one may be large
            features = features_of(block, num_orders)
            hits = _hits(block, wanted, num_orders)
            parts.append((hits, features.sums, features.kinds.swapaxes(0, 1), features.values))
            largest = max(largest, int(block.tokens.max(initial=0)))
        hits, sums, kinds, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        classes = np.stack([(hits > 0) & (hits < 1.5), (hits > 1.5) & (hits < 2.5), hits > 2.5])
        return cls(
            hits,
            classes,
            sums,
            np.ascontiguousarray(kinds.swapaxes(0, 1)),
            values,
            1.0 / (largest + 1),
            np.asarray(first.gates),
        )

    def parts(self, point: Floats) -> tuple[Floats, Floats]:
        """Return the raw discounts (O, 3) and the gates (O, F) of a point."""
        num_orders, width = self.hits.shape[1], len(FEATURES)
        return (
            point[: 3 * num_orders].reshape(num_orders, 3),
            point[3 * num_orders :].reshape(num_orders, width),
        )

    def nats(self, point: Floats) -> float:
        """Return the mean loss of a target at a point."""
        return float(
            self.loss(point)[0] - _PULL * np.square(self.parts(point)[1] - self.home).sum()
        )

    def loss(self, point: Floats) -> tuple[float, Floats]:
        """Return the loss at a point, and its gradient."""
        raw, gates = self.parts(point)
        discounts = _discounts(raw)
        removed = np.einsum("cto,oc->to", self.kinds, discounts)
        is_seen = self.sums > 0
        sums = np.where(is_seen, self.sums, 1.0)
        removed = np.clip(removed, 0.0, sums * (1 - NEAREST_TO_CERTAIN))
        left = sums - removed
        rest = np.where(
            self.hits > 0, self.hits - np.einsum("cto,oc->to", self.classes, discounts), 0.0
        )
        said = np.maximum(rest, 0.0) / left
        share = np.clip(removed / sums, NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN)
        logits = np.log(share / (1 - share)) + np.einsum("tof,of->to", self.values, gates)
        passed = np.where(is_seen, 1 / (1 + np.exp(-logits)), 1.0)
        below = np.empty((len(said), said.shape[1] + 1))
        below[:, 0] = self.uniform
        for place in range(said.shape[1]):
            below[:, place + 1] = (1 - passed[:, place]) * said[:, place] + passed[
                :, place
            ] * below[:, place]
        found = below[:, -1]
        # What reaches each order from above; its change changes the end by as much.
        reached = np.cumprod(
            np.concatenate([np.ones((len(said), 1)), passed[:, :0:-1]], axis=1), axis=1
        )
        scale = (-1 / (found * len(found)))[:, None] * reached[:, ::-1]
        by_logit = scale * (below[:, :-1] - said) * passed * (1 - passed) * is_seen
        by_said = scale * (1 - passed) * (rest > 0)
        by_discount = np.empty_like(discounts)
        for kind in range(3):
            change = (said * self.kinds[kind] - self.classes[kind]) / left
            shift = self.kinds[kind] / (sums * share * (1 - share))
            by_discount[:, kind] = (by_said * change + by_logit * shift).sum(axis=0)
        slope = discounts * (1 - discounts / _LARGEST_DISCOUNTS) * (np.abs(raw) < _FARTHEST)
        by_gate = np.einsum("to,tof->of", by_logit, self.values) + 2 * _PULL * (gates - self.home)
        loss = -np.log(found).mean() + _PULL * np.square(gates - self.home).sum()
        return float(loss), np.concatenate([(by_discount * slope).ravel(), by_gate.ravel()])


def _hits(evidence: Evidence, targets: Ints, num_orders: int) -> Floats:
    """Return the count of its target after each context, (T, O)."""
    total = len(evidence.starts) - 1
    contexts = np.repeat(np.arange(total), np.diff(evidence.starts))
    is_target = evidence.tokens == targets[contexts // num_orders]
    found = np.bincount(contexts[is_target], evidence.counts[is_target], minlength=total)
    return found.reshape(-1, num_orders).astype(np.float64)
