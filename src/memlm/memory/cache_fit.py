"""How sharp and how long should the cache of a network be? Tried out on held-out text.

All windows and all values of theta come from one product of the hidden states with each other:

    w_t(d) = exp(theta q_t . h_(t-d))      numerator: where x_(t-d+1) is x_(t+1); both summed over d

Theta is doubled from trial to trial, for which each weight need only be squared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memlm.language_model import Hidden, LogProbabilities, Tokens
from memlm.memory.cache import CacheConfig, of_length_one
from memlm.memory.worth import Numbers, best_share

_BLOCK = 256
_MOST_TOKENS = 16_000  # some seconds of a core
_FIRST_THETAS = (1.0, 1.5)  # each is doubled so many times:
_DOUBLINGS = 6
_WINDOWS = (100, 200, 500, 1000, 2000, 4000)
_ENOUGH_OF_GAIN = 0.95  # that a shorter window must have


@dataclass(frozen=True, kw_only=True)
class CacheFit:
    """The best cache found, and what it is worth."""

    config: CacheConfig
    share: float
    """Of a plain mixture with the network."""
    nats_per_token: float
    """Of that mixture, on the text of the fit."""
    network_nats_per_token: float


def fit_cache(stream: Tokens, hidden: Hidden, log_probabilities: LogProbabilities) -> CacheFit:
    """Return the cache that costs least in a plain mixture with its network.

    `hidden` (N, D) are the network's states after all tokens of `stream` (N + 1,) but the last,
    `log_probabilities` (N,) what it gave to each token but the first: of held-out text, of which
    the first 16,000 tokens are enough.
    """
    count = min(len(hidden), _MOST_TOKENS)
    network = np.exp(log_probabilities[:count].astype(np.float64))
    states, tokens = of_length_one(hidden[:count]), np.asarray(stream[: count + 1])
    found: dict[tuple[float, int], tuple[float, float]] = {}
    for first in _FIRST_THETAS:
        sums = _sums(states, tokens, first)  # (thetas, 2, N, windows)
        for doubling, (matching, all_weights) in enumerate(sums):
            for number, window in enumerate(_WINDOWS):
                total = all_weights[:, number]
                memory = matching[:, number] / np.where(total > 0, total, 1.0)
                share, nats = best_share(network, memory, total > 0)
                found[first * 2.0**doubling, window] = share, float(nats.mean())
    alone = float(-np.log(network).mean())
    return _chosen(found, alone)


def _chosen(found: dict[tuple[float, int], tuple[float, float]], alone: float) -> CacheFit:
    """Return the shortest window that has nearly all of the gain, with the best theta for it."""
    best = min(nats for _, nats in found.values())
    least = alone - _ENOUGH_OF_GAIN * (alone - best)
    for window in _WINDOWS:
        theta = min((theta for theta, other in found if other == window),
                    key=lambda theta: found[theta, window][1])  # fmt: skip
        share, nats = found[theta, window]
        if nats <= least or window == _WINDOWS[-1]:
            break
    return CacheFit(
        config=CacheConfig(theta=theta, window=window),
        share=share,
        nats_per_token=nats,
        network_nats_per_token=alone,
    )


def _sums(states: Hidden, tokens: Tokens, theta: float) -> Numbers:
    """Return for each theta, doubling, the weights of what came next and of all: see above."""
    count, longest = len(states), _WINDOWS[-1]
    sums = np.zeros((_DOUBLINGS, 2, count, len(_WINDOWS)))
    # `longest` places of nothing stand before the text, so that every window is full.
    keys = np.concatenate([np.zeros((longest, states.shape[1]), np.float32), states])
    values = np.concatenate([np.full(longest, -1), tokens[1:]])
    for start in range(0, count, _BLOCK):
        rows = slice(start, min(start + _BLOCK, count))
        size = rows.stop - rows.start
        near = slice(start, start + longest + size - 1)  # pairs up to the one before each row's
        weights = _by_distance(states[rows] @ keys[near].T, longest)
        weights = np.exp(theta * (weights - 1.0))  # 1 is the most that a cosine can be
        came = np.lib.stride_tricks.sliding_window_view(values[near], longest)
        weights[came < 0] = 0.0
        is_next = came == tokens[1 + start : 1 + start + size, None]
        for doubling in range(_DOUBLINGS):
            sums[doubling, 0, rows] = _by_window(np.where(is_next, weights, 0.0))
            sums[doubling, 1, rows] = _by_window(weights)
            np.square(weights, out=weights)
    return sums


def _by_distance(scores: npt.NDArray[np.float32], longest: int) -> npt.NDArray[np.float32]:
    """Return row t's scores of the `longest` pairs before it, oldest first: (T, longest)."""
    row, column = scores.strides
    shape = (len(scores), longest)
    return np.lib.stride_tricks.as_strided(scores, shape, (row + column, column))


def _by_window(weights: npt.NDArray[np.float32]) -> Numbers:
    """Return the sums over the last so many columns, for each window: (T, windows)."""
    longest = weights.shape[1]
    edges = [longest - window for window in reversed(_WINDOWS)]
    parts = np.add.reduceat(weights, edges, axis=1)[:, ::-1]
    return np.cumsum(parts, axis=1, dtype=np.float64)
