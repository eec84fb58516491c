"""Tiny tokenizers and models whose every probability can be worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from memlm.language_model import LogProbabilities, Tokens
from memlm.models import describe_network
from memlm.models.network import build_network
from memlm.models.network_model import NetworkModel
from memlm.prepare.tokenizer import CharTokenizer


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class TableModel:
    """A bigram model: row t of `table` holds the probabilities of what follows token t."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = np.log(table).astype(np.float32)
        self.vocabulary_size = len(table)

    def start(self, batch: int) -> int:
        return batch

    def read(self, state: int, tokens: Tokens) -> tuple[LogProbabilities, int]:
        return self.table[tokens], state

    def advance(self, state: int, tokens: Tokens) -> tuple[LogProbabilities, int]:
        return self.table[tokens], state

    def select(self, state: int, rows: Tokens) -> int:
        return len(rows)


@pytest.fixture
def ab() -> CharTokenizer:
    """Return a tokenizer with the ids end 0, unknown 1, a 2, b 3."""
    return CharTokenizer("ab", labels=[], name="char")


@pytest.fixture
def table_model() -> TableModel:
    return TableModel(
        np.array(
            [
                [0.1, 0.2, 0.4, 0.3],  # after the end
                [0.25, 0.25, 0.25, 0.25],  # after an unknown symbol
                [0.1, 0.1, 0.2, 0.6],  # after a
                [0.3, 0.1, 0.5, 0.1],  # after b
            ]
        )
    )


@pytest.fixture
def letters() -> CharTokenizer:
    return CharTokenizer("abcdefgh 明月", labels=["bad", "good", "so-so"], name="char")


@pytest.fixture
def network_model(letters) -> NetworkModel:
    config = describe_network(
        kind="lstm",
        vocabulary_size=letters.vocabulary_size,
        embedding_width=8,
        hidden_width=10,
        layers=1,
        label_tokens=tuple(letters.labels.values()),
    )
    network = build_network(config, seed=7)
    with torch.no_grad():  # so that what was read matters much
        for weight in network.stack[0].layer.parameters():
            weight *= 4
        network.output.weight *= 6
    return NetworkModel(network)
