"""Models that want to write a given text, and tokenizers of every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from memlm.language_model import LogProbabilities, Tokens


class Reciter:
    """Finds the next token of `script` all but certain, whatever was read; V ids in all.

    The state is how many tokens each row has read since its beginning, past `skipped` openers.
    """

    def __init__(self, script: Sequence[int], vocabulary_size: int, *, skipped: int = 1) -> None:
        self.script, self.vocabulary_size, self.skipped = list(script), vocabulary_size, skipped

    def start(self, batch: int) -> np.ndarray:
        return np.zeros(batch, dtype=int)

    def read(self, state: np.ndarray, tokens: Tokens) -> tuple[LogProbabilities, np.ndarray]:
        places = state[:, None] + np.arange(1, tokens.shape[1] + 1)
        return self._after(places), state + tokens.shape[1]

    def advance(self, state: np.ndarray, tokens: Tokens) -> tuple[LogProbabilities, np.ndarray]:
        return self._after(state[:, None] + 1)[:, 0], state + 1

    def select(self, state: np.ndarray, rows: Tokens) -> np.ndarray:
        return state[rows]

    def _after(self, places: np.ndarray) -> LogProbabilities:
        found = np.full((*places.shape, self.vocabulary_size), 1e-6 / self.vocabulary_size)
        for place in np.ndindex(places.shape):
            number = (places[place] - self.skipped) % len(self.script)
            found[(*place, self.script[number])] += 1 - 1e-6
        return np.log(found).astype(np.float32)


class Uniform:
    """Finds every one of V tokens equally likely."""

    def __init__(self, vocabulary_size: int) -> None:
        self.vocabulary_size = vocabulary_size

    def start(self, batch: int) -> int:
        return batch

    def read(self, state: int, tokens: Tokens) -> tuple[LogProbabilities, int]:
        shape = (*tokens.shape, self.vocabulary_size)
        return np.full(shape, -np.log(self.vocabulary_size), dtype=np.float32), state

    def advance(self, state: int, tokens: Tokens) -> tuple[LogProbabilities, int]:
        found, _ = self.read(state, tokens[:, None])
        return found[:, 0], state

    def select(self, state: int, rows: Tokens) -> int:
        return len(rows)


@pytest.fixture
def reciter() -> Callable[..., Reciter]:
    return Reciter


class Measured(Uniform):
    """The same, remembering how many values each reading would have had."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__(vocabulary_size)
        self.read_values: list[int] = []
        self.read_rows: list[int] = []

    def read(self, state: int, tokens: Tokens) -> tuple[LogProbabilities, int]:
        self.read_values.append(tokens.size * self.vocabulary_size)
        self.read_rows.append(len(tokens))
        return super().read(state, tokens)

    def advance(self, state: int, tokens: Tokens) -> tuple[LogProbabilities, int]:
        found, _ = super().read(state, tokens[:, None])
        return found[:, 0], state


@pytest.fixture
def measured() -> Callable[[int], Measured]:
    return Measured


@pytest.fixture
def uniform() -> Callable[[int], Uniform]:
    return Uniform
