"""Do states of old pay for a network, and how are they asked best? Tried out on held-out text.

First every token is searched for, and the number of neighbours and the temperature are chosen. Then
as much of the searching is left out as costs no more than a twentieth of what it gains: where a
line through the states foresees little surprise (`gate`), and where neighbours go on (`enough`).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from memlm.language_model import Hidden, LogProbabilities, Tokens
from memlm.memory.vector_store import Rows, VectorStore
from memlm.memory.vectors import NO_ROWS, VectorConfig, Vectors
from memlm.memory.worth import Numbers, best_share

_MOST_TOKENS = 3000  # each is searched for: some seconds
_NEIGHBOURS = (64, 256, 1024)
_TEMPERATURES = tuple(0.025 * 2.0**doubling for doubling in range(7))  # of the mean distance
_SKIPPED = (0.8, 0.65, 0.5, 0.35, 0.2)  # shares of the tokens
_FOLLOWED = (1 / 64, 1 / 16, 1 / 4)  # of the neighbours
_ENOUGH_OF_GAIN = 0.95
_RIDGE = 1.0  # tokens' worth of evidence, for each standard deviation, that nothing matters
_BLOCKS = 20
_LEAST = -60.0  # nats that the network gives to a token at the least
_STANDARD_ERRORS = 2.0


@dataclass(frozen=True, kw_only=True)
class VectorFit:
    """The best way to ask, and what that is worth."""

    config: VectorConfig
    share: float
    """Of a plain mixture with the network, where anything is asked; 0 if it does not pay."""
    nats_per_token: float
    """Of that mixture, on the text of the fit."""
    network_nats_per_token: float
    asked: float
    """Share of the tokens at which anything is asked."""


def fit_vectors(
    store: VectorStore,
    stream: Tokens,
    hidden: Hidden,
    log_probabilities: LogProbabilities,
    *,
    excluded: Collection[str] = frozenset(),
) -> VectorFit:
    """Return the way to ask `store` that costs least in a plain mixture with its network.

    `hidden` (N, D) are the network's states after all tokens of `stream` (N + 1,) but the last,
    `log_probabilities` (N,) what it gave to each token but the first: of text that neither has
    read: what the store holds of it is `excluded`. The first 3,000 tokens are enough. The share is
    0 where the gain is not sure.
    """
    count = min(len(hidden), _MOST_TOKENS)
    tokens, states = np.asarray(stream[: count + 1]), hidden[:count]
    network = np.exp(np.maximum(log_probabilities[:count].astype(np.float64), _LEAST))
    alone = float(-np.log(network).mean())
    asked = _Asked(store, tokens, states, excluded)
    config, memory = _sharpest(asked, network)
    share, nats = best_share(network, memory)
    if not store.rows or not _is_sure(-np.log(network) - nats):
        return VectorFit(config=config, share=0.0, nats_per_token=alone,
                         network_nats_per_token=alone, asked=0.0)  # fmt: skip
    least = alone - _ENOUGH_OF_GAIN * (alone - float(nats.mean()))
    gate = _gate(store.codec.reduce(states), network, memory, least)
    config = _following(asked, network, replace(config, gate=gate), least)
    memory, knows = asked.one_after_another(config)
    share, nats = best_share(network, memory, knows)
    return VectorFit(config=config, share=share, nats_per_token=float(nats.mean()),
                     network_nats_per_token=alone, asked=float(knows.mean()))  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    """A text, asked about the states of old."""

    store: VectorStore
    tokens: Tokens
    """(N + 1,)"""
    states: Hidden
    """(N, D)"""
    excluded: Collection[str]

    def vectors(self, config: VectorConfig) -> Vectors:
        size = int(self.tokens.max()) + 1
        return Vectors(self.store, config, vocabulary_size=size, excluded=self.excluded)

    def nearest(self, most: int) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """Return the distances of the nearest states, and where their token came: (N, most)."""
        asker = self.vectors(VectorConfig(neighbours=most))
        distances = np.full((len(self.states), most), np.inf)
        is_next = np.zeros(distances.shape, dtype=bool)
        for number, query in enumerate(self.store.codec.reduce(self.states)):
            rows, found = asker.nearest(query, NO_ROWS)
            distances[number, : len(rows)] = found
            is_next[number, : len(rows)] = self.store.values(rows) == self.tokens[number + 1]
        return distances, is_next

    def one_after_another(self, config: VectorConfig) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """Return what the memory gave to each token that came, and where it gave anything: (N,)."""
        asker = self.vectors(config)
        hits: Rows = NO_ROWS
        memory = np.zeros(len(self.states))
        knows = np.zeros(len(self.states), dtype=bool)
        for number, query in enumerate(self.store.codec.reduce(self.states)):
            hits, weights = asker.step(hits, int(self.tokens[number]), query)
            if len(weights):
                came = self.store.values(hits) == self.tokens[number + 1]
                memory[number] = weights[came].sum()
                knows[number] = True
        return memory, knows


def _sharpest(asked: _Asked, network: Numbers) -> tuple[VectorConfig, Numbers]:
    """Return the best number of neighbours and temperature, and what they gave to each token."""
    distances, is_next = asked.nearest(_NEIGHBOURS[-1])
    finite = distances[np.isfinite(distances)]
    scale = max(float(finite.mean()), 1.0) if len(finite) else 1.0
    best = (math.inf, VectorConfig(), np.zeros(len(network)))
    for neighbours in _NEIGHBOURS:
        for part in _TEMPERATURES:
            config = VectorConfig(neighbours=neighbours, temperature=part * scale)
            memory = _given(distances[:, :neighbours], is_next[:, :neighbours], config.temperature)
            nats = float(best_share(network, memory)[1].mean())
            # More neighbours cost time, and must be worth it.
            if nats < best[0] - (1e-4 if neighbours == best[1].neighbours else 1e-3):
                best = nats, config, memory
    return best[1], best[2]


def _given(distances: Numbers, is_next: npt.NDArray[np.bool_], temperature: float) -> Numbers:
    """Return what neighbours, nearest first, give to the tokens that came."""
    nearest = distances[:, :1]
    weights = np.exp((np.where(np.isfinite(nearest), nearest, 0.0) - distances) / temperature)
    totals = weights.sum(axis=1)  # 0 where nothing was found
    return np.asarray((weights * is_next).sum(axis=1) / np.where(totals > 0, totals, 1.0))


def _is_sure(gains: Numbers) -> bool:
    """Say whether a mean gain is more than chance, from its means over blocks."""
    blocks = np.array([block.mean() for block in np.array_split(gains, _BLOCKS) if len(block)])
    error = blocks.std(ddof=1) / math.sqrt(len(blocks)) if len(blocks) > 1 else math.inf
    return bool(blocks.mean() > _STANDARD_ERRORS * error)


def _gate(queries: Hidden, network: Numbers, memory: Numbers, least: float) -> tuple[float, ...]:
    """Return the line through the states that leaves out most searches, () if none may be."""
    line = _line(queries, -np.log(network))
    foreseen = queries @ line[:-1] + line[-1]
    for skipped in _SKIPPED:
        edge = float(np.quantile(foreseen, skipped))
        _, nats = best_share(network, memory, foreseen > edge)
        if nats.mean() <= least:
            return (*(float(number) for number in line[:-1]), float(line[-1] - edge))
    return ()


def _line(points: Hidden, costs: Numbers) -> Numbers:
    """Return the ridge regression of costs (N,) on points (N, d): d slopes and a level."""
    mean, spread = points.mean(axis=0), points.std(axis=0) + 1e-6
    scaled = ((points - mean) / spread).astype(np.float64)
    products = scaled.T @ scaled + _RIDGE * np.eye(points.shape[1])
    slopes = np.linalg.solve(products, scaled.T @ (costs - costs.mean())) / spread
    return np.append(slopes, costs.mean() - slopes @ mean)


def _following(asked: _Asked, network: Numbers, config: VectorConfig, least: float) -> VectorConfig:
    """Return the configuration that follows neighbours most of the time, if that costs little."""
    for part in _FOLLOWED:
        follows = replace(config, enough=max(1, int(part * config.neighbours)))
        memory, knows = asked.one_after_another(follows)
        if best_share(network, memory, knows)[1].mean() <= least:
            return follows
    return config
