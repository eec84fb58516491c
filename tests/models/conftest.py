"""Small networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from memlm.models import NetworkConfig, describe_network

SIZES = {"vocabulary_size": 11, "embedding_width": 6, "hidden_width": 7, "layers": 1}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_config() -> Callable[..., NetworkConfig]:
    """Return what makes a small configuration; keyword arguments change it."""

    def make(**changes: object) -> NetworkConfig:
        return describe_network(**{"kind": "lstm", **SIZES, **changes})

    return make
