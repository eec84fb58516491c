"""From counts to probabilities: each order is believed as far as it deserves, the rest goes down.

With the counts c of the tokens that followed a context of order k, N their sum, n the number of
different ones, and n_1, n_2, n_3 how many of these have a count of 1, 2, or more,

    p_k(w) = (1 - g) (c(w) - D(c(w))) / (N - M) + g p_(k-1)(w),     p_(-1) uniform
    M      = n_1 D_1 + n_2 D_2 + n_3 D_3
    logit g = logit(M / N) + v_k . f

is exactly normalised for any gate g between 0 and 1. With v = 0 it is modified Kneser-Ney smoothing
(Chen and Goodman 1999); the features f of the context (see `FEATURES`) make of its escape what
secondary estimation is in PPMd (Shkarin 2002). The longest order has counts, those below it
varieties (see `contexts.py`). Discounts D and gates v are fitted on text that was not counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FEATURES = ("one", "log_sum", "log_kinds", "only_kind", "log_occurrences", "once", "seen_once")
"""1; ln N; ln n; n = 1; ln of the occurrences of the context; n_1 / n; N = 1."""
NEAREST_TO_CERTAIN = 1e-6
_USUAL_DISCOUNTS = (0.7, 1.2, 1.6)


@dataclass(frozen=True, kw_only=True)
class Smoothing:
    """How counts of several orders become one distribution."""

    orders: tuple[int, ...]
    """Lengths of the contexts, from 0 up."""
    discounts: tuple[tuple[float, float, float], ...]
    """For each order: of a count of 1, of 2, of more; each between 0 and its count (3 for more)."""
    gates: tuple[tuple[float, ...], ...]
    """For each order: the weights of `FEATURES`."""

    def up_to(self, place: int) -> Smoothing:
        """Return the smoothing of the orders up to the one at `place`."""
        end = place + 1
        return Smoothing(
            orders=self.orders[:end], discounts=self.discounts[:end], gates=self.gates[:end]
        )

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return what `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Smoothing:  # Any: JSON
        """Return the smoothing that was written as JSON."""
        return cls(
            orders=tuple(values["orders"]),
            discounts=tuple(tuple(row) for row in values["discounts"]),
            gates=tuple(tuple(row) for row in values["gates"]),
        )


def plain_smoothing(orders: tuple[int, ...]) -> Smoothing:
    """Return modified Kneser-Ney smoothing with discounts that do for most texts."""
    return Smoothing(
        orders=orders,
        discounts=(_USUAL_DISCOUNTS,) * len(orders),
        gates=((0.0,) * len(FEATURES),) * len(orders),
    )


def usual_smoothing(vocabulary_size: int) -> Smoothing:
    """Return the smoothing for tokens of this kind where none was fitted: `smoothing.json`.

    It was fitted on public texts, of characters of an alphabet, of Chinese, and of words.
    """
    kinds = json.loads((resources.files("memlm.memory") / "smoothing.json").read_text("utf-8"))
    for kind in kinds:
        if kind["largest_vocabulary"] is None or vocabulary_size <= kind["largest_vocabulary"]:
            return Smoothing.from_json(kind["smoothing"])
    raise AssertionError("the last kind has no largest vocabulary")


@dataclass(frozen=True)
class Evidence:
    """What followed the contexts of some positions: T positions times O orders, order by order."""

    starts: Ints
    """(T * O + 1,): the tokens that followed context i are at [starts[i], starts[i + 1])."""
    tokens: Ints
    counts: Floats
    """What stands for c in the formula."""
    occurrences: Floats
    """(T * O,): how often each context occurs."""


@dataclass(frozen=True)
class Mixture:
    """How the orders share the prediction at each of T positions."""

    shares: Floats
    """(T, O + 1): of the uniform distribution, then of each order; they sum to 1."""
    entries: Floats
    """For each token of the evidence its probability within its order's share."""


def mix(evidence: Evidence, smoothing: Smoothing) -> Mixture:
    """Return how the orders share each prediction, and what each says."""
    num_orders = len(smoothing.orders)
    features = features_of(evidence, num_orders)
    discounts = np.asarray(smoothing.discounts)
    gates = np.asarray(smoothing.gates)
    entry_orders = features.owners % num_orders
    taken = discounts[entry_orders, features.classes]
    sums, removed = features.sums, _removed(features, discounts)
    logits = _logit(removed / np.maximum(sums, 1e-12)) + np.einsum(
        "tof,of->to", features.values, gates
    )
    passed = np.where(sums > 0, 1 / (1 + np.exp(-logits)), 1.0)
    left = np.maximum(sums - removed, 1e-12)
    entries = np.maximum(evidence.counts - taken, 0.0) / left.ravel()[features.owners]
    return Mixture(shares_of(passed), entries)


def shares_of(passed: Floats) -> Floats:
    """Return the share (T, O + 1) of the uniform distribution and of each order.

    `passed` (T, O) is what each order passes on to the one below it.
    """
    # From the longest order down: what has reached each of them, and what reaches the bottom.
    reached = np.cumprod(
        np.concatenate([np.ones((len(passed), 1)), passed[:, ::-1]], axis=1), axis=1
    )
    kept = reached[:, :-1] * (1 - passed[:, ::-1])
    return np.concatenate([reached[:, -1:], kept[:, ::-1]], axis=1)


@dataclass(frozen=True)
class Features:
    """What the gates see of the evidence."""

    owners: Ints
    """Context of each token of the evidence."""
    classes: Ints
    """0, 1 or 2 for each token of the evidence: a count of 1, of 2, of more."""
    sums: Floats
    """(T, O): N."""
    kinds: Floats
    """(3, T, O): n_1, n_2, n_3."""
    values: Floats
    """(T, O, F)."""


def features_of(evidence: Evidence, num_orders: int) -> Features:
    """Return what the gates see."""
    total = len(evidence.starts) - 1
    shape = (total // num_orders, num_orders)
    owners = np.repeat(np.arange(total), np.diff(evidence.starts))
    classes = np.digitize(evidence.counts, (1.5, 2.5))
    sums: Floats = (
        np.bincount(owners, evidence.counts, minlength=total).reshape(shape).astype(float)
    )
    kinds = (
        np.bincount(classes * total + owners, minlength=3 * total).reshape(3, *shape).astype(float)
    )
    number = kinds.sum(axis=0)
    log_sums = np.log(np.maximum(sums, 1.0))
    occurrences = np.log(np.maximum(evidence.occurrences, 1.0)).reshape(shape)
    values = np.stack(
        [
            np.ones(shape),
            log_sums,
            np.log(np.maximum(number, 1.0)),
            number == 1,
            occurrences,
            kinds[0] / np.maximum(number, 1.0),
            sums == 1,
        ],
        axis=-1,
    )
    return Features(owners, classes, sums, kinds, values)


def _removed(features: Features, discounts: Floats) -> Floats:
    """Return M (T, O): what the discounts take of each context's sum, never all of it."""
    removed: Floats = np.einsum("cto,oc->to", features.kinds, discounts)
    return np.asarray(np.clip(removed, 0.0, features.sums * (1 - NEAREST_TO_CERTAIN)))


def _logit(share: Floats) -> Floats:
    share = np.clip(share, NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN)
    return np.asarray(np.log(share) - np.log1p(-share))
