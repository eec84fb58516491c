"""One token of a blend, compiled: what `blend.py` does in numpy, where vocabularies are small.

A step of a few dozen values costs numpy more in calls than in arithmetic. Compiled code is kept on
disk beside this file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Said = tuple[npt.NDArray[np.float32], ...]


@njit(cache=True, nogil=True)
def look(said: Said, row: int, least: float, features: Floats) -> None:
    """Write what `gate_features` says of the experts of one text, all but how well they did."""
    features[0] = 1.0
    for place in range(len(said)):
        one, entropy, most = said[place][row], 0.0, -np.inf
        for value in one:
            seen = max(float(value), least)
            entropy -= np.exp(seen) * seen
            most = max(most, float(value))
        features[2 * place + 1], features[2 * place + 2] = 0.5 * entropy, 0.5 * most


@njit(cache=True, nogil=True)
def weigh(features: Floats, gate: Floats, is_linear: bool) -> Floats:
    """Return what `weights_of` does, (E,)."""
    scores = np.zeros(len(gate))
    for place in range(len(gate)):
        for at in range(len(features)):
            scores[place] += gate[place, at] * features[at]
    if is_linear:
        scores = np.exp(scores - scores.max())
        scores /= scores.sum()
    else:
        scores = np.maximum(scores, 0.0) + np.log1p(np.exp(-np.abs(scores)))
    return scores


@njit(cache=True, nogil=True)
def add(said: Said, row: int, weights: Floats, found: npt.NDArray[np.float32]) -> None:
    """Write what `combine` makes of one text in the linear way, (V,)."""
    logs = np.log(weights)
    for token in range(len(found)):
        top, total = -1e30, 0.0
        for place in range(len(said)):
            top = max(top, said[place][row, token] + logs[place])
        for place in range(len(said)):
            total += np.exp(said[place][row, token] + logs[place] - top)
        found[token] = np.log(total) + top


@njit(cache=True, nogil=True)
def multiply(
    said: Said, row: int, weights: Floats, least: float, found: npt.NDArray[np.float32]
) -> None:
    """Write what `combine` makes of one text in the geometric way, (V,)."""
    mixed, top, total = np.zeros(len(found)), -np.inf, 0.0
    for token in range(len(found)):
        for place in range(len(said)):
            mixed[token] += weights[place] * max(float(said[place][row, token]), least)
        top = max(top, mixed[token])
    for token in range(len(found)):
        total += np.exp(mixed[token] - top)
    top += np.log(total)
    for token in range(len(found)):
        found[token] = mixed[token] - top


@njit(cache=True, nogil=True)
def blend_step(
    said: Said,
    well: Floats,
    gate: Floats,
    is_linear: bool,
    least: float,
) -> npt.NDArray[np.float32]:
    """Return the log-probabilities (B, V) of experts, whose gate sees `well` (B, 2 E) too."""
    found = np.empty(said[0].shape, np.float32)
    features = np.empty(gate.shape[1])
    for row in range(len(found)):
        look(said, row, least, features)
        features[2 * len(said) + 1 :] = 0.5 * well[row]
        weights = weigh(features, gate, is_linear)
        if is_linear:
            add(said, row, weights, found[row])
        else:
            multiply(said, row, weights, least, found[row])
    return found


@njit(cache=True, nogil=True)
def well_after(
    before: Said, tokens: npt.NDArray[np.int64], well: Floats, least: float, kept: float
) -> Floats:
    """Return how well experts predicted lately, (B, 2 E), now that these tokens (B,) came."""
    found, num = np.empty_like(well), len(before)
    for row in range(len(well)):
        for place in range(num):
            now = max(float(before[place][row, tokens[row]]), least)
            found[row, place] = now
            found[row, num + place] = kept * well[row, num + place] + (1 - kept) * now
    return found
