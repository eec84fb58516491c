"""Fit a blend on text that nobody in it has read.

Each way of blending is fitted on two thirds of the text and compared on the rest; the one that
predicts that best is fitted again on all of it. A companion that does not help there is left out.
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
_MOST_VALUES = 1 << 25
"""Log-probabilities of whole vocabularies that are kept for the geometric way, 4 bytes each."""
_BLOCK = 512
_MOST_AT_ONCE = 1 << 21
"""Log-probabilities of one expert that are looked at together."""
_SELDOM = -3.0
"""Where the share of a companion begins: the logit of a twentieth."""
_LEAST_GAIN = 1e-3  # nats


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
    """Loss of what was chosen there, companions included."""


@dataclass
class _Told:
    """What everyone said of the targets of a text."""

    features: Floats
    """(N, F)."""
    experts: Floats
    """(N, E) log-probabilities of the target."""
    companions: Floats
    """(N, C) probabilities of the target."""
    knows: Floats
    """(N, C) 1 where a companion knows anything, else 0."""
    rows: list[npt.NDArray[np.float32]] = field(default_factory=list)
    """(N, V) log-probabilities of each expert; none where that would be too much to keep."""
    targets: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.features)

    def part(self, start: int, stop: int) -> _Told:
        """Return some positions of it."""
        at = slice(start, stop)
        rows = [one[at] for one in self.rows]
        return _Told(
            self.features[at],
            self.experts[at],
            self.companions[at],
            self.knows[at],
            rows,
            self.targets[at],
        )


_Loss = Callable[[Floats, _Told], tuple[float, Floats]]


def fit_blend(
    experts: Mapping[str, LanguageModel],
    streams: Sequence[Ints],
    companions: Mapping[str, Companion] | None = None,
    *,
    ways: Sequence[str] = WAYS,
) -> BlendFit:
    """Return the blend of experts (in order) and companions that predicts the streams best.

    Each stream begins with a token that is only read. Raises ModuleNotFoundError without scipy.
    """
    names, beside = tuple(experts), dict(companions or {})
    even = _even(names, tuple(beside))
    told = _listen(BlendedModel(even, experts, beside), streams)
    if not told.rows:
        ways = [way for way in ways if way != "geometric"]
    cut = int(len(told) * _FITTED_SHARE)
    fitted, compared = told.part(0, cut), told.part(cut, len(told))
    tried = {way: _fit_way(way, fitted, even) for way in ways}
    nats_by_way = {way: _nats(compared, blend) for way, blend in tried.items()}
    best = min(nats_by_way, key=lambda way: nats_by_way[way])
    chosen, nats = _fit_companions(tried[best], fitted, compared, tuple(beside))
    final = _fit_way(best, told, even)
    final, _ = _fit_companions(final, told, told, tuple(beside), chosen.companions)
    alone = -compared.experts.mean(axis=0)
    return BlendFit(
        blend=final,
        tokens=len(told),
        nats_alone=dict(zip(names, map(float, alone), strict=True)),
        nats_by_way=nats_by_way,
        nats=nats,
    )


def _even(names: tuple[str, ...], companions: tuple[str, ...]) -> Blend:
    width = num_features(len(names))
    seldom = (_SELDOM, *(0.0,) * (width - 1))
    return Blend(
        experts=names,
        method="linear",
        gate=((0.0,) * width,) * len(names),
        companions=companions,
        companion_gate=(seldom,) * len(companions),
    )


def _listen(model: BlendedModel, streams: Sequence[Ints]) -> _Told:
    """Return what everyone says of the tokens of some texts, each before it is read."""
    features, experts, beside, knows, targets = [], [], [], [], []
    rows: list[list[npt.NDArray[np.float32]]] = [[] for _ in model.blend.experts]
    total = sum(len(stream) - 1 for stream in streams)
    if total * model.vocabulary_size * len(rows) > _MOST_VALUES:
        rows = []
    width = max(1, min(_BLOCK, _MOST_AT_ONCE // model.vocabulary_size))
    for stream in streams:
        state = model.start(1)
        for start in range(0, len(stream) - 1, width):
            block = stream[start : min(start + width, len(stream) - 1)]
            wanted = stream[start + 1 : start + 1 + len(block)]
            said, state = model.said(state, block)
            at = np.arange(len(block))
            features.append(said.features)
            experts.append(np.stack([one[at, wanted] for one in said.experts], axis=1))
            none = np.empty((len(block), 0))
            beside.append(np.column_stack([none, *(one[at, wanted] for one in said.companions)]))
            knows.append(np.column_stack([none, *(one.any(axis=1) for one in said.companions)]))
            targets.append(wanted)
            for kept, one in zip(rows, said.experts, strict=False):
                kept.append(one.astype(np.float32))
    return _Told(
        np.concatenate(features),
        np.concatenate(experts),
        np.concatenate(beside),
        np.concatenate(knows).astype(np.float64),
        [np.concatenate(kept) for kept in rows],
        np.concatenate(targets),
    )


def _fit_way(way: str, told: _Told, even: Blend) -> Blend:
    """Return the experts blended in one way, their gate fitted; companions left out."""
    alone = replace(even, companions=(), companion_gate=())
    if way == "even" or len(even.experts) == 1:
        return alone
    first = np.asarray(even.gate)
    if way != "geometric":
        width = 1 if way == "linear" else first.shape[1]
        gate = np.zeros_like(first)
        gate[:, :width] = _minimised(_linear_loss, first[:, :width], told)
        return _with_gate(alone, "linear", gate)
    begun = np.zeros_like(first)
    begun[:, 0] = np.log(np.expm1(1 / len(first)))  # softplus of it: all alike, of sum 1
    return _with_gate(alone, "geometric", _minimised(_geometric_loss, begun, told))


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
    parts = weights * np.exp(told.experts)
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


def _fit_companions(
    blend: Blend,
    fitted: _Told,
    compared: _Told,
    names: tuple[str, ...],
    wanted: tuple[str, ...] | None = None,
) -> tuple[Blend, float]:
    """Return the blend with those companions that help, and its loss on the compared part.

    `names` are those that were listened to; of these only the wanted are tried.
    """
    nats = _nats(compared, blend)
    for place, name in enumerate(names):
        if wanted is not None and name not in wanted:
            continue
        first = np.zeros((1, fitted.features.shape[1]))
        first[0, 0] = _SELDOM
        below = _chances(fitted, blend, names)
        one = fitted.companions[:, place], fitted.knows[:, place], below

        def loss(gate: Floats, told: _Told, one: tuple[Floats, ...] = one) -> tuple[float, Floats]:
            return _joining_loss(gate, told.features, *one)

        gate = _minimised(loss, first, fitted)
        row = tuple(float(value) for value in gate[0])
        tried = replace(
            blend,
            companions=(*blend.companions, name),
            companion_gate=(*blend.companion_gate, row),
        )
        found = _nats(compared, tried, names)
        if found < nats - _LEAST_GAIN:
            blend, nats = tried, found
    return blend, nats


def _joining_loss(
    gate: Floats, features: Floats, companion: Floats, knows: Floats, below: Floats
) -> tuple[float, Floats]:
    """Return the loss where a companion joins, and its gradient by the gate (1, F)."""
    share = knows / (1 + np.exp(-(features @ gate[0])))
    whole = np.maximum((1 - share) * below + share * companion, 1e-300)
    slope = (below - companion) / whole * share * (1 - share) / len(below)
    return float(-np.log(whole).mean()), (slope @ features)[None]


def _nats(told: _Told, blend: Blend, names: tuple[str, ...] = ()) -> float:
    """Return the loss of a blend, in nats per token."""
    return float(-np.log(np.maximum(_chances(told, blend, names), 1e-300)).mean())


def _chances(told: _Told, blend: Blend, names: tuple[str, ...] = ()) -> Floats:
    """Return the probability (N,) of each target; `names` are the companions that `told` has."""
    chances = _chances_of_experts(told, blend)
    for name, row in zip(blend.companions, blend.companion_gate, strict=True):
        place = names.index(name)
        score = told.features @ np.asarray(row)
        share = told.knows[:, place] / (1 + np.exp(-score))
        chances = (1 - share) * chances + share * told.companions[:, place]
    return chances


def _chances_of_experts(told: _Told, blend: Blend) -> Floats:
    """Return the probability (N,) of each target by the experts of a blend."""
    weights = weights_of(told.features, np.asarray(blend.gate), blend.method)
    if blend.method == "linear":
        return np.asarray((weights * np.exp(told.experts)).sum(axis=1))
    found = np.empty(len(told.rows[0]))
    for start in range(0, len(found), _BLOCK):
        part = slice(start, min(start + _BLOCK, len(found)))
        said = [one[part].astype(np.float64) for one in told.rows]
        mixed = combine(said, weights[part], "geometric")
        found[part] = np.exp(mixed[np.arange(len(mixed)), told.targets[part]])
    return found
