"""Nearest neighbours: what came next wherever, in all texts, the network thought as it does now.

    p(w) ~ sum over the k nearest states of exp(-distance^2 / temperature) [what came next = w]

(Khandelwal et al. 2020, "Generalization through memorization"). Searching costs more than the rest
together, and is mostly avoided:

* a neighbour whose token came suggests the state after it (Alon et al. 2022, "Neuro-symbolic
  language modeling with automaton-augmented retrieval"): while enough of them go on, they are only
  compared anew;
* where the network is likely right anyhow, nothing is asked. How surprised it will be is told from
  its own state by a line through held-out text.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from memlm.language_model import Hidden, Probabilities, Tokens
from memlm.memory.vector_store import Distances, Rows, VectorStore

LISTS = 8
"""Searched, of up to 1,024; 16 gained 1 % more (Penn Treebank) in 1.4 times the time."""


@dataclass(frozen=True, kw_only=True)
class VectorConfig:
    """How the states of old are asked."""

    neighbours: int = 256
    """So many of the nearest count."""
    temperature: float = 1000.0
    """Squared distance, in steps of the codes, at which a neighbour counts e times less."""
    enough: int = 1 << 30
    """If so many of the last neighbours go on, no others are searched."""
    gate: tuple[float, ...] = ()
    """Asked only where gate[:-1] . state + gate[-1] > 0, the state in codes; always, if empty."""
    lists: int = LISTS
    """That a search visits."""


@dataclass(frozen=True)
class VectorHit:
    """A state of old like the present one."""

    document_id: str
    """What the stretch was called when it was remembered."""
    position: int
    """Of the token that came next, in tokens of what that names."""
    token: int
    weight: float
    """Share of all hits; they sum to 1."""


NO_ROWS: Rows = np.empty(0, dtype=np.int64)
_NO_WEIGHTS: Distances = np.empty(0, dtype=np.float32)
VectorState = tuple[Rows, ...]
"""The last neighbours of each text."""


class Vectors:
    """States of old as a `Companion` of the network that had them; it learns nothing from reading.

    Documents that are `excluded` are no neighbours: one that is scored must not find itself.
    """

    def __init__(
        self,
        store: VectorStore,
        config: VectorConfig,
        *,
        vocabulary_size: int,
        excluded: Collection[str] = frozenset(),
    ) -> None:
        self.store, self.config = store, config
        self._vocabulary_size = vocabulary_size
        self._excluded = store.marks(excluded) if excluded else None
        self._gate = np.asarray(config.gate, dtype=np.float32)

    @property
    def vocabulary_size(self) -> int:
        return self._vocabulary_size

    def start(self, batch: int) -> VectorState:
        return (NO_ROWS,) * batch

    def read(
        self, state: VectorState, tokens: Tokens, hidden: Hidden
    ) -> tuple[Probabilities, VectorState]:
        found = np.zeros((*np.shape(tokens), self._vocabulary_size), dtype=np.float32)
        after = []
        for number, hits in enumerate(state):
            queries = self.store.codec.reduce(hidden[number])  # (T, d)
            for place, (token, query) in enumerate(zip(tokens[number], queries, strict=True)):
                hits, weights = self.step(hits, int(token), query)
                if len(weights):
                    values = self.store.values(hits)
                    found[number, place] = np.bincount(
                        values, weights, minlength=self._vocabulary_size
                    )
            after.append(hits)
        return found, tuple(after)

    def advance(
        self, state: VectorState, tokens: Tokens, hidden: Hidden
    ) -> tuple[Probabilities, VectorState]:
        found, after = self.read(state, np.asarray(tokens)[:, None], hidden[:, None])
        return found[:, 0], after

    def select(self, state: VectorState, rows: Tokens) -> VectorState:
        return tuple(state[int(row)] for row in rows)

    def lookup(self, hidden: Hidden, *, limit: int = 20) -> list[VectorHit]:
        """Return the nearest states to this one (D,), with their documents, nearest first."""
        rows, distances = self.nearest(self.store.codec.reduce(hidden), NO_ROWS)
        weights = self._weights(distances)
        order = np.argsort(-weights, kind="stable")[:limit]
        named = zip(
            self.store.places(rows[order]), self.store.values(rows[order]), weights[order],
            strict=True,
        )  # fmt: skip
        return [
            VectorHit(identity, position, int(token), float(weight))
            for (identity, position), token, weight in named
        ]

    def step(self, hits: Rows, token: int, query: Hidden) -> tuple[Rows, Distances]:
        """Read a token after which the network is in a state, `query` in codes (d,).

        Returns the neighbours and the weight of each; no weights, but the neighbours that go on,
        where nothing is asked.
        """
        hits = self.store.following(hits[self.store.values(hits) == token])
        if len(self._gate) and query @ self._gate[:-1] + self._gate[-1] <= 0:
            return hits, _NO_WEIGHTS
        if len(hits) >= self.config.enough:
            return hits, self._weights(self.store.distances(query, hits))
        hits, distances = self.nearest(query, hits)
        return hits, self._weights(distances)

    def nearest(self, query: Hidden, known: Rows) -> tuple[Rows, Distances]:
        """Return the nearest rows, among them those known, and their squared distances."""
        rows, distances = self.store.search(query, lists=self.config.lists)
        if len(known):  # they may lie in a list that is not visited
            rows = np.concatenate([rows, known])
            distances = np.concatenate([distances, self.store.distances(query, known)])
        if self._excluded is not None:
            is_other = ~self.store.are_marked(rows, self._excluded)
            rows, distances = rows[is_other], distances[is_other]
        if len(rows) > self.config.neighbours:
            # One more for each that is known, which may be among those found too.
            most = min(len(rows), self.config.neighbours + len(known))
            nearest = np.argpartition(distances, most - 1)[:most]
            rows, distances = rows[nearest], distances[nearest]
        rows, first = np.unique(rows, return_index=True)
        distances = distances[first]
        nearest = np.argsort(distances, kind="stable")[: self.config.neighbours]
        return rows[nearest], distances[nearest]

    def _weights(self, distances: Distances) -> Distances:
        """Return what each neighbour counts; they sum to 1."""
        if not len(distances):
            return distances
        weights = np.exp((distances.min() - distances) / self.config.temperature)
        return np.asarray(weights / weights.sum(), dtype=np.float32)
