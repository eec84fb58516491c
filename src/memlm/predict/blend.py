"""Several predictors as one: weights, memories, and a gate that says whom to believe.

An *expert* predicts by itself: a network (`weights`), a memory (`counts`). A *companion* needs the
hidden states of the network beside it (`cache`, `vectors`), gives most tokens no probability, and
may know nothing: so it is heard together with the network, p_c <- 0.95 p_c + 0.05 p_weights, and
where it knows nothing it says what the network says. A gate sees how sure each member is and how
well it has predicted just now (see `gate_features`), never what comes next:

    linear      p(x) = sum_m w_m p_m(x),                    w = softmax(G f)
    geometric   p(x) = exp(sum_m w_m ln p_m(x)) / Z,        w = softplus(G f)

*Linear* with a gate that sees nothing is the plain mixture; with one that does it is a mixture of
experts (Jacobs et al. 1991), and the geometric one is what the best compressors do (Mahoney 2005).
Every distribution sums to 1; in a linear blend weight 0 leaves the others as they are, to the bit.
`fit.py` fits the gate on held-out text, with a memory that has not read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from memlm.language_model import (
    Companion,
    ExpectsSteps,
    Hidden,
    LanguageModel,
    LogProbabilities,
    Probabilities,
    ShowsHidden,
    State,
    Tokens,
)
from memlm.runtime import KeptLoops

Floats = npt.NDArray[np.float64]
AnyFloats = npt.NDArray[np.floating]
Method = Literal["linear", "geometric"]
WEIGHTS = "weights"
COUNTS = "counts"
_KEPT = 0.9
"""How much of what was before a token stays in how well a member predicts lately."""
_LEAST = -30.0
"""Nats that a member says of a token at the least, where a gate sees it or it is multiplied."""
_OWN = 0.95
"""How much of what a companion is heard to say is its own."""
_NOTHING = -1e6
"""A score that no weight comes of."""
_LOWEST = -1e30
"""Below all that is ever said, but not infinite."""
_MOST_VALUES = 1 << 21
_WORTH_LOADING, _WORTH_COMPILING = 1 << 12, 1 << 15
"""Steps without the compiled loop that cost as much time as loading it, and as compiling it."""
_LARGEST_LOOPED = 1 << 12
"""Vocabulary up to which a compiled loop beats numpy, which has exp and log of many at once."""


@dataclass(frozen=True, kw_only=True)
class Blend:
    """How experts and companions are blended."""

    experts: tuple[str, ...]
    method: Method
    gate: tuple[tuple[float, ...], ...]
    """G, a row for each expert, then for each companion; as many columns as `num_features` says."""
    companions: tuple[str, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """Experts and companions, in the order of the gate."""
        return (*self.experts, *self.companions)

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
        )


def fixed_blend(weights: Mapping[str, float]) -> Blend:
    """Return the plain mixture of experts with these weights, which sum to 1 and may be 0."""
    width = num_features(len(weights))
    scores = [float(np.log(weight)) if weight > 0 else _NOTHING for weight in weights.values()]
    gate = tuple((score, *(0.0,) * (width - 1)) for score in scores)
    return Blend(experts=tuple(weights), method="linear", gate=gate)


def num_features(num_members: int) -> int:
    """Return how many features the gate of so many members sees."""
    return 1 + 4 * num_members


def gate_features(said: Sequence[AnyFloats], lately: Floats) -> Floats:
    """Return what a gate sees at each position, (T, F).

    A 1; of each member its entropy and its largest log-probability, from `said` (T, V); and how
    well each predicted the last token and the last few, `lately` (T, 2 E). Nats, halved, so that
    all are of a size.
    """
    found = np.empty((len(lately), num_features(len(said))))
    found[:, 0] = 2.0
    for place, one in enumerate(said):
        seen = np.maximum(one, _LEAST)
        found[:, 2 * place + 2] = one.max(axis=1)
        likely = np.exp(seen)
        likely *= seen
        found[:, 2 * place + 1] = -likely.sum(axis=1)
    found[:, 2 * len(said) + 1 :] = lately
    found *= 0.5
    return found


def well_lately(gained: Floats, before: Floats) -> Floats:
    """Return how well each expert predicted the last token and the last few, (T, 2 E).

    `gained` (T, E) is the log-probability that each gave to the token at a position; `before`
    (2 E,) is the last row that this returned for the text.
    """
    found = np.empty((len(gained), 2 * gained.shape[1]))
    for place, now in enumerate(gained):
        before = found[place] = _well_after(now, before)
    return found


def _well_after(gained: Floats, before: Floats) -> Floats:
    """Return `well_lately` (..., 2 E) after one more token that each gave `gained` (..., E)."""
    now = np.maximum(gained, _LEAST)
    recent = _KEPT * before[..., now.shape[-1] :] + (1 - _KEPT) * now
    return np.concatenate([now, recent], axis=-1)


def combine(said: Sequence[AnyFloats], weights: Floats, method: Method) -> AnyFloats:
    """Return the log-probabilities (T, V) of experts with these weights (T, E)."""
    if method == "linear":
        logs = _log(weights).astype(said[0].dtype)
        return _log_sum([one + logs[:, place, None] for place, one in enumerate(said)])
    powers = weights.astype(said[0].dtype)
    found = powers[:, :1] * np.maximum(said[0], _LEAST)
    for place in range(1, len(said)):
        found += powers[:, place, None] * np.maximum(said[place], _LEAST)
    found -= found.max(axis=1, keepdims=True)
    found -= np.log(np.exp(found).sum(axis=1, keepdims=True))
    return found


def _log_sum(terms: Sequence[AnyFloats]) -> AnyFloats:
    """Return ln(e^a + e^b + ...), of which one alone comes out as it is, to the bit.

    What `np.logaddexp` does, which takes a value at a time and ten times as long.
    """
    if len(terms) == 1:
        return terms[0]
    top = terms[0]
    for one in terms[1:]:
        top = np.maximum(top, one)
    top = np.maximum(top, _LOWEST)  # where all are -inf, so is their sum
    total = np.exp(terms[0] - top)
    for one in terms[1:]:
        total += np.exp(one - top)
    return np.asarray(_log(total) + top)


def weights_of(features: Floats, gate: Floats, method: Method) -> Floats:
    """Return the weight of each expert at each position, (T, E)."""
    scores = features @ gate.T
    if method == "geometric":
        return np.logaddexp(0.0, scores)
    found = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class _Lately:
    """What the gates have to know of some texts; nothing in it is ever changed."""

    said: tuple[LogProbabilities, ...]
    """What each member said of the token that comes next, (B, V); empty before the first."""
    well: Floats
    """The last row of `well_lately` of each text, (B, 2 E)."""

    def gained(self, tokens: Tokens) -> Floats:
        """Return what each member gave to the token that came next, (B, M)."""
        if not self.said:
            return np.zeros((len(self.well), self.well.shape[1] // 2))
        rows = np.arange(len(tokens))
        return np.stack([one[rows, tokens] for one in self.said], axis=1, dtype=np.float64)

    def select(self, rows: Tokens) -> _Lately:
        """Return what belongs to some texts."""
        return _Lately(tuple(one[rows] for one in self.said), self.well[rows])


@dataclass(frozen=True)
class BlendState:
    """What is carried on: each part's own state, and what the gates know of each text."""

    members: tuple[State, ...]
    lately: _Lately


@dataclass(frozen=True)
class _Heard:
    """What everyone said of some texts, and the states behind it."""

    members: tuple[LogProbabilities, ...]
    """(B, T, V) each, or (B, V) of a single step."""
    own: Floats
    """(B, T, M), or (B, M): see `Said`."""
    states: tuple[State, ...]


@dataclass(frozen=True)
class Said:
    """What everyone said at some positions: after each token of a text, or after many texts."""

    members: tuple[AnyFloats, ...]
    """Log-probabilities (T, V) of each; of companions, together with the network."""
    own: Floats
    """(T, M): how much of that is a member's own; the rest is the network's."""
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
        self.blend, self._named = blend, dict(experts)
        self._beside = dict(companions or {})
        self._experts = [experts[name] for name in blend.experts]
        self._companions = [(companions or {})[name] for name in blend.companions]
        self._gate = np.asarray(blend.gate)
        self._kept = KeptLoops(
            "memlm.predict.kernels",
            "blend_step",
            loading=_WORTH_LOADING,
            compiling=_WORTH_COMPILING,
        )
        self._vocabulary_size = self._experts[0].vocabulary_size
        sizes = {part.vocabulary_size for part in self._parts}
        assert sizes == {self._vocabulary_size}, "all have the same vocabulary"

    @property
    def vocabulary_size(self) -> int:
        return self._vocabulary_size

    def with_expert(self, name: str, model: LanguageModel) -> BlendedModel:
        """Return the same blend with another model in the place of one of its experts."""
        return BlendedModel(self.blend, {**self._named, name: model}, self._beside)

    @property
    def _parts(self) -> list[LanguageModel | Companion]:
        return [*self._experts, *self._companions]

    def start(self, batch: int) -> BlendState:
        fresh = _Lately((), np.zeros((batch, 2 * len(self._gate))))
        return BlendState(tuple(part.start(batch) for part in self._parts), fresh)

    def read(self, state: BlendState, tokens: Tokens) -> tuple[LogProbabilities, BlendState]:
        values, blocks = np.asarray(tokens), []
        width = self._block(len(values))
        for start in range(0, values.shape[1], width):
            said, state = self._say(state, values[:, start : start + width])
            blocks.append(np.stack([self._together(one)[0] for one in said]).astype(np.float32))
        return np.concatenate(blocks, axis=1), state

    def advance(self, state: BlendState, tokens: Tokens) -> tuple[LogProbabilities, BlendState]:
        values = np.asarray(tokens, dtype=np.int64)
        heard = self._advance_members(state, values)
        said, before, loops = heard.members, state.lately, self._loops
        if loops is None or not before.said:  # before the first token nobody has said anything
            self._spend(1)
            well = _well_after(before.gained(values), before.well)
            # In float32, as they are: copies in float64 take most of a large vocabulary's time.
            found, _ = self._together(Said(said, heard.own, gate_features(said, well)))
            found = found.astype(np.float32, copy=False)
        else:
            well = loops.well_after(before.said, values, before.well, _LEAST, _KEPT)
            is_linear = self.blend.method == "linear"
            found = loops.blend_step(said, well, self._gate, is_linear, _LEAST)
        return found, BlendState(heard.states, _Lately(said, well))

    @cached_property
    def _loops(self) -> ModuleType | None:
        """What steps fast; None where that is not faster, or would first have to be compiled."""
        if self._vocabulary_size > _LARGEST_LOOPED:
            return None
        return self._kept.take()

    def expect(self, steps: int) -> None:
        """Hear that so many single steps will come, so that what makes them fast can be ready."""
        for part in self._experts:
            if isinstance(part, ExpectsSteps):
                part.expect(steps)
        self._spend(steps)

    def _spend(self, steps: int) -> None:
        if self._kept.spend(steps):
            vars(self).pop("_loops", None)

    def select(self, state: BlendState, rows: Tokens) -> BlendState:
        parts = zip(self._parts, state.members, strict=True)
        return BlendState(
            tuple(part.select(one, rows) for part, one in parts), state.lately.select(rows)
        )

    def said(self, state: BlendState, tokens: Tokens) -> tuple[Said, BlendState]:
        """Return what everyone says after each of some tokens (T,) of one text."""
        (found,), state = self._say(state, np.asarray(tokens)[None])
        return found, state

    def shares(self, stream: Tokens, state: BlendState | None = None) -> dict[str, Floats]:
        """Return, by name, everyone's share of each token of a text but the first, (T - 1,).

        The text begins where `state` ends, or anew.
        In a linear blend that is the part of the token's probability that came from there; in a
        geometric one, where none comes from one alone, the part of the gate's weights. They sum to
        1. What a companion leaves to the network is the network's.
        """
        names, parts = self.blend.members, []
        state, width = state or self.start(1), self._block(1)
        values = np.asarray(stream, dtype=np.int64)
        for start in range(0, len(values) - 1, width):
            targets = values[start + 1 : start + 1 + width]
            said, state = self.said(state, values[start : start + len(targets)])
            parts.append(self._shares_of(said, targets))
        found = np.concatenate(parts) if parts else np.empty((0, len(names)))
        return {name: found[:, place] for place, name in enumerate(names)}

    def _shares_of(self, said: Said, targets: Tokens) -> Floats:
        _, found = self._together(said)
        lent = 1 - said.own
        if self.blend.method == "linear":
            rows = np.arange(len(targets))
            told = np.stack([np.exp(one[rows, targets]) for one in said.members], axis=1)
            if lent.any():  # of a token that a companion does not know, all is the network's
                network = told[:, self.blend.experts.index(WEIGHTS), None]
                lent = lent * network
                lent = np.minimum(1.0, np.divide(lent, told, out=lent.copy(), where=told > 0))
            found = found * told
        given = found * lent
        found = found - given
        if given.any():
            found[:, self.blend.experts.index(WEIGHTS)] += given.sum(axis=1)
        whole = found.sum(axis=1, keepdims=True)
        return np.where(whole > 0, found / np.where(whole > 0, whole, 1.0), 1 / len(self._gate))

    def _together(self, said: Said) -> tuple[AnyFloats, Floats]:
        """Return log-probabilities (T, V), and the weight of each member (T, M)."""
        weights = weights_of(said.features, self._gate, self.blend.method)
        return combine(said.members, weights, self.blend.method), weights

    def _block(self, rows: int) -> int:
        """Return how many tokens of so many texts are read at once."""
        return max(1, _MOST_VALUES // (rows * self._vocabulary_size))

    def _say(self, state: BlendState, tokens: Tokens) -> tuple[list[Said], BlendState]:
        """Return what everyone says after each token, for every row, and the state behind them."""
        heard = self._read_members(state, tokens)
        firsts, said = state.lately.gained(tokens[:, 0]), []
        well = np.empty_like(state.lately.well)
        for row, line in enumerate(tokens):
            members = tuple(one[row].astype(np.float64) for one in heard.members)
            gained = np.concatenate([firsts[row, None], _gained(members, line)])
            lately = well_lately(gained, state.lately.well[row])
            said.append(Said(members, heard.own[row], gate_features(members, lately)))
            well[row] = lately[-1]
        after = _Lately(tuple(one[:, -1].copy() for one in heard.members), well)
        return said, BlendState(heard.states, after)

    def _read_members(self, state: BlendState, tokens: Tokens) -> _Heard:
        """Return what each member says after each token (B, T)."""
        hidden: Hidden | None = None
        told, states = [], []
        for name, part, one in zip(self.blend.experts, self._experts, state.members, strict=False):
            if name == WEIGHTS and self._companions:
                found, hidden, after = cast(ShowsHidden, part).read_hidden(one, tokens)
            else:
                found, after = part.read(one, tokens)
            told.append(found)
            states.append(after)
        return self._with_companions(state, tokens, hidden, told, states)

    def _advance_members(self, state: BlendState, tokens: Tokens) -> _Heard:
        """Return what each member says after one token of each text (B,)."""
        hidden: Hidden | None = None
        told, states = [], []
        for name, part, one in zip(self.blend.experts, self._experts, state.members, strict=False):
            if name == WEIGHTS and self._companions:
                found, last, after = cast(ShowsHidden, part).advance_hidden(one, tokens)
                hidden = last[:, None]
            else:
                found, after = part.advance(one, tokens)
            told.append(found)
            states.append(after)
        if not self._companions:
            return _Heard(tuple(told), np.ones((len(tokens), len(told))), tuple(states))
        wide = [one[:, None] for one in told]
        heard = self._with_companions(state, tokens[:, None], hidden, wide, states)
        return _Heard(tuple(one[:, 0] for one in heard.members), heard.own[:, 0], heard.states)

    def _with_companions(
        self,
        state: BlendState,
        tokens: Tokens,
        hidden: Hidden | None,
        told: Sequence[LogProbabilities],
        states: Sequence[State],
    ) -> _Heard:
        """Return what the experts said after each token (B, T), and what companions say to that."""
        own = np.ones((*tokens.shape, len(self._gate)))
        members, after = [*told], [*states]
        for place, companion in enumerate(self._companions, start=len(told)):
            assert hidden is not None  # a blend with companions has the network
            found, one = companion.read(state.members[place], tokens, hidden)
            network = told[self.blend.experts.index(WEIGHTS)]
            knows = np.asarray(found.any(axis=-1))
            members.append(_beside(network, found, knows))
            own[..., place] = _OWN * knows
            after.append(one)
        return _Heard(tuple(members), own, tuple(after))


def _beside(
    network: LogProbabilities, companion: Probabilities, knows: npt.NDArray[np.bool_]
) -> LogProbabilities:
    """Return log-probabilities (B, T, V) of a companion together with the network."""
    found = np.float32(_OWN) * companion
    found += np.float32(1 - _OWN) * np.exp(network)
    return np.where(knows[..., None], _log(found), network)


def _gained(members: Sequence[Floats], tokens: Tokens) -> Floats:
    """Return what each member gave to each token of a text but the first, (T - 1, M)."""
    rows = np.arange(len(tokens) - 1)
    return np.stack([one[rows, tokens[1:]] for one in members], axis=1)


def _log(values: AnyFloats) -> AnyFloats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values))


def _rows(values: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in values)
