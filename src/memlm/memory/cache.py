"""The recent past as a memory: what followed the last time the network thought much as it does now.

    p(w) = sum over the last `window` pairs (h_i, x_(i+1)) of exp(theta q . h_i) [x_(i+1) = w] / Z

with q the hidden state now, h_i an earlier one and x_(i+1) the token that came after it (Grave et
al. 2017, "Improving neural language models with a continuous cache"). Hidden states are brought to
length 1 first, so that theta means the same for every network and every token.

A block of T tokens is one product of matrices, (T, D) with (D, window + T), under a mask; token by
token the same sums come out. States share one growing array: reading on writes behind what they
hold, and only the second reader from one state copies it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from memlm.language_model import Hidden, Probabilities, Tokens

_LONGEST_BLOCK = 512  # tokens: what is compared at once stays small beside the window
_LEAST_CAPACITY = 64
_SMALLEST_LENGTH = 1e-6


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """How the recent past is remembered."""

    theta: float = 10.0
    """How much more a more similar state counts; 0 counts all alike."""
    window: int = 1000
    """Tokens that are remembered."""


class _Storage:
    """Arrays that grow at their end; what was written is never changed."""

    def __init__(self, width: int, capacity: int) -> None:
        # BLAS reads some rows beyond those it is given: of what lay there before it would complain.
        self.keys = np.zeros((capacity, width), dtype=np.float32)
        self.values = np.empty(capacity, dtype=np.int64)
        self.filled = 0

    def takes(self, count: int, *, behind: int) -> bool:
        """Say whether so many pairs can be written behind a place: nobody wrote there before."""
        return self.filled == behind and behind + count <= len(self.values)


@dataclass(frozen=True)
class _Row:
    """What is carried for one text: the pairs [start, stop) of a storage, and the last state."""

    storage: _Storage | None = None
    start: int = 0
    stop: int = 0
    last: Hidden | None = None
    """Of length 1, (D,); None before the first token."""

    @property
    def keys(self) -> Hidden:
        """Remembered hidden states, oldest first, (n, D)."""
        assert self.storage is not None  # asked only where there are any
        return self.storage.keys[self.start : self.stop]

    @property
    def values(self) -> npt.NDArray[np.int64]:
        """The token that came after each, (n,)."""
        assert self.storage is not None
        return self.storage.values[self.start : self.stop]


CacheState = tuple[_Row, ...]


class Cache:
    """The recent past as a `Companion` of a network that shows its hidden states."""

    def __init__(self, config: CacheConfig, *, vocabulary_size: int) -> None:
        self.config = config
        self._vocabulary_size = vocabulary_size

    @property
    def vocabulary_size(self) -> int:
        return self._vocabulary_size

    def start(self, batch: int) -> CacheState:
        return (_Row(),) * batch

    def read(
        self, state: CacheState, tokens: Tokens, hidden: Hidden
    ) -> tuple[Probabilities, CacheState]:
        found = np.zeros((*np.shape(tokens), self._vocabulary_size), dtype=np.float32)
        after = []
        for number, row in enumerate(state):
            for start in range(0, tokens.shape[1], _LONGEST_BLOCK):
                block = slice(start, start + _LONGEST_BLOCK)
                row = self._read_row(
                    row, tokens[number, block], hidden[number, block], found[number, block]
                )
            after.append(row)
        return found, tuple(after)

    def advance(
        self, state: CacheState, tokens: Tokens, hidden: Hidden
    ) -> tuple[Probabilities, CacheState]:
        found, after = self.read(state, np.asarray(tokens)[:, None], hidden[:, None])
        return found[:, 0], after

    def select(self, state: CacheState, rows: Tokens) -> CacheState:
        return tuple(state[int(row)] for row in rows)

    def _read_row(self, row: _Row, tokens: Tokens, hidden: Hidden, out: Probabilities) -> _Row:
        """Read a block of one text, tokens (T,) and hidden (T, D); fill `out` (T, V)."""
        queries = of_length_one(hidden)
        if row.last is None:  # nothing came before the first token
            new_keys, new_values = queries[:-1], tokens[1:]
        else:
            new_keys, new_values = np.concatenate([row.last[None], queries[:-1]]), tokens
        after = self._remember(row, new_keys, new_values, queries[-1])
        if after.stop == after.start:
            return after
        if len(tokens) == 1:
            out[0] = _next_of(queries[0], after, self.config.theta, self._vocabulary_size)
            return after
        # The first row sees a whole window too, of pairs that the last no longer does.
        pairs = replace(after, start=max(0, after.stop - self.config.window - len(tokens) + 1))
        _weigh(queries, pairs, self.config, out)
        return after

    def _remember(self, row: _Row, keys: Hidden, values: Tokens, last: Hidden) -> _Row:
        """Return the row with further pairs; the row given goes on holding its own."""
        storage, count = row.storage, len(keys)
        if storage is None or not storage.takes(count, behind=row.stop):
            storage, row = _moved(row, count, width=keys.shape[1])
        stop = row.stop + count
        storage.keys[row.stop : stop] = keys
        storage.values[row.stop : stop] = values
        storage.filled = stop
        return _Row(storage, max(row.start, stop - self.config.window), stop, last)


def of_length_one(hidden: Hidden) -> Hidden:
    """Return hidden states (..., D) brought to length 1."""
    lengths = np.linalg.norm(hidden, axis=-1, keepdims=True)
    return np.asarray(hidden / np.maximum(lengths, _SMALLEST_LENGTH), dtype=np.float32)


def _moved(row: _Row, count: int, *, width: int) -> tuple[_Storage, _Row]:
    """Return a storage that holds the pairs of a row alone, with room for as many and `count`."""
    held = row.stop - row.start
    storage = _Storage(width, max(_LEAST_CAPACITY, 2 * held + count))
    if held:
        storage.keys[:held], storage.values[:held] = row.keys, row.values
    return storage, replace(row, storage=storage, start=0, stop=held)


def _next_of(query: Hidden, pairs: _Row, theta: float, vocabulary_size: int) -> Probabilities:
    """Return the distribution (V,) for one query (D,) that sees all of the pairs."""
    scores = pairs.keys @ (theta * query)
    weights = np.exp(scores - scores.max())
    sums = np.bincount(pairs.values, weights, minlength=vocabulary_size)
    return np.asarray(sums / sums.sum(), dtype=np.float32)


def _weigh(queries: Hidden, pairs: _Row, config: CacheConfig, out: Probabilities) -> None:
    """Fill `out` (T, V) for the queries (T, D) of a block: row t sees the pairs up to its token."""
    # Sorted by what came next, the weights of one token lie side by side.
    order = np.argsort(pairs.values, kind="stable")
    values, num_pairs = pairs.values[order], len(order)
    firsts = np.flatnonzero(np.diff(values, prepend=-1))
    weights = (config.theta * queries) @ pairs.keys[order].T  # (T, n)
    ends = num_pairs + np.arange(1 - len(queries), 1)[:, None]
    weights[(order >= ends) | (order < ends - config.window)] = -np.inf
    highest = weights.max(axis=1, keepdims=True)
    weights -= np.where(np.isfinite(highest), highest, 0.0)  # a first row may see none
    np.exp(weights, out=weights)
    sums = np.add.reduceat(weights, firsts, axis=1)
    totals = sums.sum(axis=1, keepdims=True)
    out[:, values[firsts]] = sums / np.where(totals > 0, totals, 1.0)
