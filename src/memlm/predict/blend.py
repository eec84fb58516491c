"""Several predictors as one: weights, memories, and a gate that says whom to believe.

An *expert* predicts by itself: a network (`weights`), a memory (`counts`). A *companion* needs the
hidden states of the network beside it (`cache`, `vectors`), and may know nothing; then it counts
for nothing. A gate sees how sure each expert is and how well it has predicted just now (see
`gate_features`), never what comes next:

    linear      p(x) = sum_e w_e p_e(x),                    w = softmax(G f)
    geometric   p(x) = exp(sum_e w_e ln p_e(x)) / Z,        w = softplus(G f)

*Linear* with a gate that sees nothing is the plain mixture; with one that does it is a mixture of
experts (Jacobs et al. 1991), and the geometric one is what the best compressors do (Mahoney 2005).
Companions join last, one after the other, p <- (1 - s) p + s p_c with s = sigmoid(g_c . f): they
say 0 of most tokens. Every distribution sums to 1; weight 0 leaves the others as they are, to the
bit. `fit.py` fits the gates on held-out text, with a memory that has not read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from memlm.language_model import (
    Companion,
    Hidden,
    LanguageModel,
    LogProbabilities,
    ShowsHidden,
    State,
    Tokens,
)

Floats = npt.NDArray[np.float64]
Method = Literal["linear", "geometric"]

WEIGHTS = "weights"
COUNTS = "counts"
_KEPT = 0.9
"""How much of what was before a token stays in how well an expert predicts lately."""
_LEAST = -30.0
"""Nats that an expert says of a token at the least, where a gate sees it or it is multiplied."""
_NOTHING = -1e6
"""A score that no weight comes of."""
_MOST_VALUES = 1 << 21


@dataclass(frozen=True, kw_only=True)
class Blend:
    """How experts and companions are blended."""

    experts: tuple[str, ...]
    method: Method
    gate: tuple[tuple[float, ...], ...]
    """G, a row for each expert; as many columns as `num_features` says."""
    companions: tuple[str, ...] = ()
    companion_gate: tuple[tuple[float, ...], ...] = ()
    """g_c, a row for each companion."""

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return what `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Blend:  # Any: JSON
        """Return the blend that was written as JSON."""
        return cls(
            experts=tuple(map(str, values["experts"])),
            method=values["method"],
            gate=_rows(values["gate"]),
            companions=tuple(map(str, values["companions"])),
            companion_gate=_rows(values["companion_gate"]),
        )


def fixed_blend(weights: Mapping[str, float]) -> Blend:
    """Return the plain mixture of experts with these weights, which sum to 1 and may be 0."""
    width = num_features(len(weights))
    scores = [float(np.log(weight)) if weight > 0 else _NOTHING for weight in weights.values()]
    gate = tuple((score, *(0.0,) * (width - 1)) for score in scores)
    return Blend(experts=tuple(weights), method="linear", gate=gate)


def num_features(num_experts: int) -> int:
    """Return how many features the gate of so many experts sees."""
    return 1 + 4 * num_experts


def gate_features(said: Sequence[Floats], lately: Floats) -> Floats:
    """Return what a gate sees at each position, (T, F).

    A 1; of each expert its entropy and its largest log-probability, from `said` (T, V); and how
    well each predicted the last token and the last few, `lately` (T, 2 E). Nats, halved, so that
    all are of a size.
    """
    columns = []
    for one in said:
        seen = np.maximum(one, _LEAST)
        columns += [-np.einsum("tv,tv->t", np.exp(seen), seen), one.max(axis=1)]
    return np.column_stack([np.ones(len(lately)), 0.5 * np.column_stack(columns), 0.5 * lately])


def well_lately(gained: Floats, before: Floats) -> Floats:
    """Return how well each expert predicted the last token and the last few, (T, 2 E).

    `gained` (T, E) is the log-probability that each gave to the token at a position; `before`
    (2 E,) is the last row that this returned for the text.
    """
    num = gained.shape[1]
    found = np.empty((len(gained), 2 * num))
    recent = before[num:]
    for place, now in enumerate(np.maximum(gained, _LEAST)):
        recent = _KEPT * recent + (1 - _KEPT) * now
        found[place, :num], found[place, num:] = now, recent
    return found


def combine(said: Sequence[Floats], weights: Floats, method: Method) -> Floats:
    """Return the log-probabilities (T, V) of experts with these weights (T, E)."""
    if method == "linear":
        with np.errstate(divide="ignore"):
            logs = np.log(weights)
        found = said[0] + logs[:, :1]
        for place in range(1, len(said)):
            found = np.logaddexp(found, said[place] + logs[:, place : place + 1])
        return found
    found = np.zeros_like(said[0])
    for place, one in enumerate(said):
        found += weights[:, place : place + 1] * np.maximum(one, _LEAST)
    found -= found.max(axis=1, keepdims=True)
    return np.asarray(found - np.log(np.exp(found).sum(axis=1, keepdims=True)))


def weights_of(features: Floats, gate: Floats, method: Method) -> Floats:
    """Return the weight of each expert at each position, (T, E)."""
    scores = features @ gate.T
    if method == "geometric":
        return np.logaddexp(0.0, scores)
    found = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class _Lately:
    """What the gate has to know of one text; nothing in it is ever changed."""

    said: tuple[Floats, ...]
    """What each expert said of the token that comes next, (V,); empty before the first."""
    well: Floats
    """The last row of `well_lately`."""


@dataclass(frozen=True)
class BlendState:
    """What is carried on: each part's own state, and what the gates know of each text."""

    experts: tuple[State, ...]
    companions: tuple[State, ...]
    lately: tuple[_Lately, ...]


@dataclass(frozen=True)
class Said:
    """What everyone said after each token of one text."""

    experts: tuple[Floats, ...]
    """Log-probabilities (T, V) of each."""
    companions: tuple[Floats, ...]
    """Probabilities (T, V) of each; rows of 0 where it knows nothing."""
    features: Floats
    """(T, F)."""


class BlendedModel:
    """Experts and companions as one `LanguageModel`."""

    def __init__(
        self,
        blend: Blend,
        experts: Mapping[str, LanguageModel],
        companions: Mapping[str, Companion] | None = None,
    ) -> None:
        self.blend = blend
        self._experts = [experts[name] for name in blend.experts]
        self._companions = [(companions or {})[name] for name in blend.companions]
        self._gate = np.asarray(blend.gate)
        self._companion_gate = np.asarray(blend.companion_gate)
        self._vocabulary_size = self._experts[0].vocabulary_size
        parts: list[LanguageModel | Companion] = [*self._experts, *self._companions]
        sizes = {part.vocabulary_size for part in parts}
        assert sizes == {self._vocabulary_size}, "all have the same vocabulary"

    @property
    def vocabulary_size(self) -> int:
        return self._vocabulary_size

    def start(self, batch: int) -> BlendState:
        fresh = _Lately((), np.zeros(2 * len(self._experts)))
        return BlendState(
            tuple(part.start(batch) for part in self._experts),
            tuple(part.start(batch) for part in self._companions),
            (fresh,) * batch,
        )

    def read(self, state: BlendState, tokens: Tokens) -> tuple[LogProbabilities, BlendState]:
        values, blocks = np.asarray(tokens), []
        width = self._block(len(values))
        for start in range(0, values.shape[1], width):
            said, state = self._say(state, values[:, start : start + width])
            blocks.append(np.stack([self._together(one)[0] for one in said]).astype(np.float32))
        return np.concatenate(blocks, axis=1), state

    def advance(self, state: BlendState, tokens: Tokens) -> tuple[LogProbabilities, BlendState]:
        said, state = self._say(state, np.asarray(tokens)[:, None], is_step=True)
        found = np.concatenate([self._together(one)[0] for one in said])
        return found.astype(np.float32), state

    def select(self, state: BlendState, rows: Tokens) -> BlendState:
        return BlendState(
            tuple(
                part.select(one, rows)
                for part, one in zip(self._experts, state.experts, strict=True)
            ),
            tuple(
                part.select(one, rows)
                for part, one in zip(self._companions, state.companions, strict=True)
            ),
            tuple(state.lately[int(row)] for row in rows),
        )

    def said(self, state: BlendState, tokens: Tokens) -> tuple[Said, BlendState]:
        """Return what everyone says after each of some tokens (T,) of one text."""
        (found,), state = self._say(state, np.asarray(tokens)[None])
        return found, state

    def shares(self, stream: Tokens) -> dict[str, Floats]:
        """Return, by name, everyone's share of each token of a text but the first, (T - 1,).

        In a linear blend that is the part of the token's probability that came from there; in a
        geometric one, where none comes from one alone, the part of the weights. They sum to 1.
        """
        names = (*self.blend.experts, *self.blend.companions)
        parts: list[Floats] = []
        state, width = self.start(1), self._block(1)
        values = np.asarray(stream, dtype=np.int64)
        for start in range(0, len(values) - 1, width):
            targets = values[start + 1 : start + 1 + width]
            said, state = self.said(state, values[start : start + len(targets)])
            parts.append(self._shares_of(said, targets))
        found = np.concatenate(parts) if parts else np.empty((0, len(names)))
        return {name: found[:, place] for place, name in enumerate(names)}

    def _shares_of(self, said: Said, targets: Tokens) -> Floats:
        rows = np.arange(len(targets))
        _, weights, joins = self._together(said)
        if self.blend.method == "linear":
            told = np.stack([np.exp(one[rows, targets]) for one in said.experts], axis=1)
            base = weights * told
        else:
            mixed = combine(said.experts, weights, self.blend.method)[rows, targets]
            base = np.exp(mixed)[:, None] * weights / weights.sum(axis=1, keepdims=True)
        columns = [*base.T]
        for join, one in zip(joins, said.companions, strict=True):
            columns = [(1 - join) * column for column in columns]
            columns.append(join * one[rows, targets])
        found = np.stack(columns, axis=1)
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    def _together(self, said: Said) -> tuple[Floats, Floats, list[Floats]]:
        """Return log-probabilities (T, V), experts' weights (T, E), and companions' shares (T,)."""
        weights = weights_of(said.features, self._gate, self.blend.method)
        found = combine(said.experts, weights, self.blend.method)
        joins = []
        for place, one in enumerate(said.companions):
            score = said.features @ self._companion_gate[place]
            join = 1 / (1 + np.exp(-score)) * (one.any(axis=1))
            found = np.logaddexp(found + np.log1p(-join)[:, None], _log(join)[:, None] + _log(one))
            joins.append(join)
        return found, weights, joins

    def _block(self, rows: int) -> int:
        """Return how many tokens of so many texts are read at once."""
        return max(1, _MOST_VALUES // (rows * self._vocabulary_size))

    def _say(
        self, state: BlendState, tokens: Tokens, *, is_step: bool = False
    ) -> tuple[list[Said], BlendState]:
        """Return what everyone says after each token, for every row, and the state behind them."""
        hidden: Hidden | None = None
        told, states = [], []
        for name, part, one in zip(self.blend.experts, self._experts, state.experts, strict=True):
            if name == WEIGHTS and self._companions:
                shows = cast(ShowsHidden, part)
                if is_step:
                    step, last, after = shows.advance_hidden(one, tokens[:, 0])
                    found, hidden = step[:, None], last[:, None]
                else:
                    found, hidden, after = shows.read_hidden(one, tokens)
            elif is_step:
                step, after = part.advance(one, tokens[:, 0])
                found = step[:, None]
            else:
                found, after = part.read(one, tokens)
            told.append(found)
            states.append(after)
        beside, beside_states = [], []
        for companion, one in zip(self._companions, state.companions, strict=True):
            assert hidden is not None  # a blend with companions has the network
            probabilities, after = companion.read(one, tokens, hidden)
            beside.append(probabilities)
            beside_states.append(after)
        said, lately = [], []
        for row, before in enumerate(state.lately):
            experts = tuple(one[row].astype(np.float64) for one in told)
            well = _well(experts, before, tokens[row])
            said.append(
                Said(
                    experts,
                    tuple(one[row].astype(np.float64) for one in beside),
                    gate_features(experts, well),
                )
            )
            lately.append(_Lately(tuple(one[-1].copy() for one in experts), well[-1].copy()))
        return said, BlendState(tuple(states), tuple(beside_states), tuple(lately))


def _well(experts: Sequence[Floats], before: _Lately, tokens: Tokens) -> Floats:
    """Return how well each expert predicted lately, at each token of one text, (T, 2 E)."""
    rows = np.arange(len(tokens) - 1)
    gained = np.zeros((len(tokens), len(experts)))
    for place, one in enumerate(experts):
        if before.said:
            gained[0, place] = before.said[place][tokens[0]]
        gained[1:, place] = one[rows, tokens[1:]]
    return well_lately(gained, before.well)


def _log(values: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values))


def _rows(values: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in values)
