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
"""Nats that an expert says of a token at the least, where they are multiplied or seen by a gate."""
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
    scores = [np.log(weight) if weight > 0 else _NOTHING for weight in weights.values()]
    gate = tuple((float(score), *(0.0,) * (width - 1)) for score in scores)
    return Blend(experts=tuple(weights), method="linear", gate=gate)


def num_features(num_experts: int) -> int:
    """Return how many features the gate of so many experts sees."""
    return 1 + 4 * num_experts


def gate_features(said: Sequence[Floats], lately: Floats) -> Floats:
    """Return what a gate sees at each position, (T, F).

    Of each expert its entropy and its largest log-probability, from `said` (T, V), and how well it
    predicted the last token and the last few, from `lately` (T, 2 E): in nats, halved, so that all
    are of a size. A 1 comes first.
    """
    columns = [np.ones(len(lately))]
    for one in said:
        columns += [-np.einsum("tv,tv->t", np.exp(one), np.maximum(one, _LEAST)), one.max(axis=1)]
    return np.concatenate([np.stack(columns, axis=1), lately], axis=1) * _SCALE(len(columns), lately)


def _SCALE(num: int, lately: Floats) -> Floats:  # noqa: N802
    scale = np.full(num + lately.shape[1], 0.5)
    scale[0] = 1.0
    return scale
