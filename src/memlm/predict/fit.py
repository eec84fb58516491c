"""Fit a blend on text that nobody in it has read.

Each way of blending is fitted on two thirds of the text and compared on the rest; companions that
do not help there are left out; what predicts it best is fitted again on all of it.
Losses are smooth in the gates: L-BFGS with exact gradients, and a light pull to gates that see
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from memlm.language_model import Companion, LanguageModel
from memlm.predict.blend import (
    Blend,
    BlendedModel,
    Floats,
    Method,
    combine,
    num_features,
    weights_of,
)

Ints = npt.NDArray[np.int64]

WAYS = ("even", "linear", "gated", "geometric")
"""All alike; fixed weights; weights by what a gate sees; the same in the log domain."""
_FITTED_SHARE = 2 / 3
_PULL = 1e-4
_MOST_STEPS = 80
_MOST_VALUES = 1 << 24
"""Log-probabilities of whole vocabularies that are kept for the geometric way, 4 bytes each."""
_BLOCK = 512
_MOST_AT_ONCE = 1 << 21
"""Log-probabilities of one expert that are looked at together."""
_LEAST_GAIN = 1e-3
"""Nats that a companion must be worth."""


@dataclass(frozen=True)
class BlendFit:
    """What a fit came to."""

    blend: Blend
    tokens: int
    """Those that it was fitted and compared on."""
    nats_alone: Mapping[str, float]
    """Loss of each expert alone, in nats per token of the compared part."""
    nats_by_way: Mapping[str, float]
    """Loss of each way of blending there."""
    nats: float
    """Loss of what was chosen there, without companions that were left out."""


@dataclass
class _Told:
    """What everyone said of the targets of a text; M of them, experts first."""

    features: Floats
    """(N, F)."""
    of_target: Floats
    """(N, M) log-probabilities of the target."""
    targets: Ints
    rows: list[npt.NDArray[np.float32]] = field(default_factory=list)
    """(N, V) log-probabilities of each; none where that would be too much to keep."""

    def __len__(self) -> int:
        return len(self.features)

    def part(self, start: int, stop: int) -> _Told:
        """Return some positions of it."""
        at = slice(start, stop)
        rows = [one[at] for one in self.rows]
        return _Told(self.features[at], self.of_target[at], self.targets[at], rows)

    def of(self, members: Sequence[int]) -> _Told:
        """Return what some of them said, as a gate sees it that knows no others."""
        count = self.of_target.shape[1]
        columns = [0, *(1 + 2 * one + which for one in members for which in (0, 1))]
        columns += [1 + (2 + which) * count + one for which in (0, 1) for one in members]
        rows = [self.rows[one] for one in members] if self.rows else []
        return _Told(
            self.features[:, columns], self.of_target[:, list(members)], self.targets, rows
        )


_Loss = Callable[[Floats, _Told], tuple[float, Floats]]
Progress = Callable[[int, int], None]


def fit_blend(
    experts: Mapping[str, LanguageModel],
    streams: Sequence[Ints],
    companions: Mapping[str, Companion] | None = None,
    *,
    ways: Sequence[str] = WAYS,
    progress: Progress = lambda done, total: None,
) -> BlendFit:
    """Return the blend of experts (in order) and companions that predicts the streams best.

    Each stream begins with a token that is only read; `progress` hears how many tokens were, of how
    many. Raises ModuleNotFoundError without scipy.
    """
    names, beside = tuple(experts), tuple(companions or {})
    told = _listen(BlendedModel(_even(names, beside), experts, companions), streams, progress)
    if not told.rows:
        ways = [way for way in ways if way != "geometric"]
    cut = int(len(told) * _FITTED_SHARE)
    fitted, compared = told.part(0, cut), told.part(cut, len(told))
    tried = {way: _fit_way(way, fitted, names, beside) for way in ways}
    nats_by_way = {way: float(_losses(compared, one).mean()) for way, one in tried.items()}
    best = min(nats_by_way, key=lambda way: nats_by_way[way])
    kept, nats = _needed(best, fitted, compared, names, beside)
    final = _fit_way(best, told.of(_places(names, beside, kept)), names, kept)
    alone = -compared.of_target[:, : len(names)].mean(axis=0)
    return BlendFit(
        blend=final,
        tokens=len(told),
        nats_alone=dict(zip(names, map(float, alone), strict=True)),
        nats_by_way=nats_by_way,
        nats=nats,
    )


def _needed(
    way: str, fitted: _Told, compared: _Told, names: tuple[str, ...], beside: tuple[str, ...]
) -> tuple[tuple[str, ...], float]:
    """Return the companions without which a blend is worse, and its loss on the compared part."""
    nats = float(_losses(compared, _fit_way(way, fitted, names, beside)).mean())
    without: dict[str, float] = {}
    for name in beside:
        others = tuple(other for other in beside if other != name)
        members = _places(names, beside, others)
        blend = _fit_way(way, fitted.of(members), names, others)
        without[name] = float(_losses(compared.of(members), blend).mean())
    least = min(without, key=lambda name: without[name], default="")
    if not least or without[least] >= nats + _LEAST_GAIN:
        return beside, nats
    others = tuple(other for other in beside if other != least)
    members = _places(names, beside, others)
    return _needed(way, fitted.of(members), compared.of(members), names, others)


def _places(names: tuple[str, ...], beside: tuple[str, ...], kept: tuple[str, ...]) -> list[int]:
    """Return which of all the experts, and those companions that are kept, are."""
    return [*range(len(names)), *(len(names) + beside.index(name) for name in kept)]


def _even(names: tuple[str, ...], beside: tuple[str, ...]) -> Blend:
    count = len(names) + len(beside)
    gate = ((0.0,) * num_features(count),) * count
    return Blend(experts=names, companions=beside, method="linear", gate=gate)


def _listen(model: BlendedModel, streams: Sequence[Ints], progress: Progress) -> _Told:
    """Return what everyone says of the tokens of some texts, each before it is read."""
    count = len(model.blend.gate)
    rows: list[list[npt.NDArray[np.float32]]] = [[] for _ in range(count)]
    total = sum(len(one) - 1 for one in streams)
    if total * model.vocabulary_size * count > _MOST_VALUES:
        rows = []
    features, of_target, targets = [], [], []
    width = max(1, min(_BLOCK, _MOST_AT_ONCE // model.vocabulary_size))
    for stream in streams:
        state = model.start(1)
        for start in range(0, len(stream) - 1, width):
            block = stream[start : min(start + width, len(stream) - 1)]
            wanted = stream[start + 1 : start + 1 + len(block)]
            said, state = model.said(state, block)
            at = np.arange(len(block))
            features.append(said.features)
            of_target.append(np.stack([one[at, wanted] for one in said.members], axis=1))
            targets.append(wanted)
            progress(sum(map(len, targets)), total)
            for kept, one in zip(rows, said.members, strict=False):
                kept.append(one.astype(np.float32))
    return _Told(
        np.concatenate(features),
        np.concatenate(of_target),
        np.concatenate(targets),
        [np.concatenate(kept) for kept in rows],
    )


def _fit_way(way: str, told: _Told, names: tuple[str, ...], beside: tuple[str, ...]) -> Blend:
    """Return experts and companions blended in one way, their gate fitted."""
    even = _even(names, beside)
    first = np.asarray(even.gate)
    if way == "even" or len(first) == 1:
        return even
    if way != "geometric":
        width = 1 if way == "linear" else first.shape[1]
        gate = np.zeros_like(first)
        gate[:, :width] = _minimised(_linear_loss, first[:, :width], told)
        return _with_gate(even, "linear", gate)
    begun = np.zeros_like(first)
    begun[:, 0] = np.log(np.expm1(1 / len(first)))  # softplus of it: all alike, of sum 1
    return _with_gate(even, "geometric", _minimised(_geometric_loss, begun, told))


def _with_gate(blend: Blend, method: Method, gate: Floats) -> Blend:
    rows = tuple(tuple(float(value) for value in row) for row in gate)
    return replace(blend, method=method, gate=rows)


def _minimised(loss: _Loss, first: Floats, told: _Told) -> Floats:
    from scipy.optimize import minimize

    def pulled(point: Floats) -> tuple[float, Floats]:
        gate = point.reshape(first.shape)
        value, slope = loss(gate, told)
        pull = gate - first
        pull[..., 0] = 0.0
        return value + _PULL * float(np.square(pull).sum()), (slope + 2 * _PULL * pull).ravel()

    found = minimize(
        pulled, first.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _MOST_STEPS}
    )
    return np.asarray(found.x).reshape(first.shape)


def _linear_loss(gate: Floats, told: _Told) -> tuple[float, Floats]:
    """Return the loss of a linear mixture and its gradient by the gate (E, F')."""
    features = told.features[:, : gate.shape[1]]
    weights = weights_of(features, gate, "linear")
    parts = weights * np.exp(told.of_target)
    whole = np.maximum(parts.sum(axis=1, keepdims=True), 1e-300)
    slope = (weights - parts / whole) / len(features)
    return float(-np.log(whole).mean()), slope.T @ features


def _geometric_loss(gate: Floats, told: _Told) -> tuple[float, Floats]:
    """Return the loss of a geometric mixture and its gradient by the gate (E, F)."""
    scores = told.features @ gate.T
    weights = np.logaddexp(0.0, scores)
    at = np.arange(len(told))
    loss, slopes = 0.0, np.empty_like(weights)
    for start in range(0, len(told), _BLOCK):
        part = slice(start, start + _BLOCK)
        said = [one[part].astype(np.float64) for one in told.rows]
        mixed = combine(said, weights[part], "geometric")
        wanted = told.targets[part]
        loss -= mixed[at[: len(wanted)], wanted].sum()
        likely = np.exp(mixed)
        for place, one in enumerate(said):
            seen = np.maximum(one, -30.0)
            expected = np.einsum("tv,tv->t", likely, seen)
            slopes[part, place] = expected - seen[at[: len(wanted)], wanted]
    slopes *= 1 / (1 + np.exp(-scores)) / len(told)
    return loss / len(told), slopes.T @ told.features


def _losses(told: _Told, blend: Blend) -> Floats:
    """Return the loss of a blend at each target, in nats (N,)."""
    return np.asarray(-np.log(np.maximum(_chances(told, blend), 1e-300)))


def _chances(told: _Told, blend: Blend) -> Floats:
    """Return the probability (N,) of each target."""
    weights = weights_of(told.features, np.asarray(blend.gate), blend.method)
    if blend.method == "linear":
        return np.asarray((weights * np.exp(told.of_target)).sum(axis=1))
    found = np.empty(len(told.rows[0]))
    for start in range(0, len(found), _BLOCK):
        part = slice(start, min(start + _BLOCK, len(found)))
        said = [one[part].astype(np.float64) for one in told.rows]
        mixed = combine(said, weights[part], "geometric")
        found[part] = np.exp(mixed[np.arange(len(mixed)), told.targets[part]])
    return found
