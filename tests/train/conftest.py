"""A prepared corpus, small plans, and what runs a training in process."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from memlm.models import describe_network
from memlm.prepare import Draft, PartInMemory, PrepareConfig, TokenStore, write_token_store
from memlm.records import Document, TrainReport
from memlm.storage import new_folder
from memlm.train import TrainConfig
from memlm.train.plan import TrainPlan
from memlm.train.run import TrainingRun, start_run

UNIT = np.dtype(
    [
        ("token_start", "<i8"), ("token_end", "<i8"), ("characters", "<i8"), ("bytes", "<i8"),
        ("unknown_bytes", "<i8"),
    ]
)  # fmt: skip
MADE_FROM = {"documents": "0" * 32, "tokenizer": "char"}
WORDS = [*"春眠不觉晓处处闻啼鸟", "the", "old", "cat", "sees", "a", "dog", "near", "some", "house"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> TokenStore:
    """Return the characters of 60 short documents in two languages, some of them labelled."""
    draw = random.Random(0)
    documents = [
        Document(
            id=f"{number:03}",
            text=" ".join(draw.choices(WORDS, k=draw.randint(5, 25))),
            label=draw.choice(["good", "bad"]),
        )
        for number in range(60)
    ]
    folder = tmp_path_factory.mktemp("tokens") / "char"
    with new_folder(folder, made_from={}) as temporary:
        drafts = [Draft(document=document, text=document.text) for document in documents]
        config = PrepareConfig(tokenizer="char")
        write_token_store(temporary, [PartInMemory("0", drafts)], config)
    return TokenStore(folder)


@pytest.fixture
def make_units() -> Callable[..., np.ndarray]:
    """Return what makes the unit records of documents with these numbers of tokens."""

    def make(*lengths: int) -> np.ndarray:
        ends = np.cumsum(lengths)
        units = np.zeros(len(lengths), dtype=UNIT)
        units["token_start"], units["token_end"] = ends - lengths, ends
        units["characters"] = units["bytes"] = lengths
        return units

    return make


@pytest.fixture(scope="session")
def make_plan_of() -> Callable[..., TrainPlan]:
    """Return what makes a plan in numbers; keyword arguments change it."""

    def make(**changes: object) -> TrainPlan:
        network = describe_network(
            kind="lstm", vocabulary_size=12, embedding_width=8, hidden_width=16, layers=1
        )
        numbers = {
            "network": network, "batch_size": 2, "sequence_length": 8, "learning_rate": 0.01,
            "weight_decay": 0.0, "clip_norm": 1.0, "seed": 0, "threads": 1, "warm_up_steps": 2,
            "steps": 10, "minutes": None, "validated_tokens": 0, "checkpoint_every": None,
        }  # fmt: skip
        return TrainPlan(**numbers | changes)

    return make


@pytest.fixture(scope="session")
def small() -> Callable[..., TrainConfig]:
    """Return what makes a configuration that trains in a moment."""

    def make(**changes: object) -> TrainConfig:
        numbers = {
            "steps": 24, "hidden_width": 12, "embedding_width": 8, "batch_size": 4,
            "sequence_length": 32, "dropout": 0.2, "threads": 1, "device": "cpu",
            "precision": "float32",
        }  # fmt: skip
        return TrainConfig(**numbers | changes)

    return make


@pytest.fixture
def train(store, tmp_path) -> Callable[..., tuple[Path, TrainReport]]:
    """Return what trains without a pause and returns the model's folder and the report."""

    def run(config: TrainConfig, name: str = "whole") -> tuple[Path, TrainReport]:
        training = start_run(tmp_path / name, store, config, made_from=MADE_FROM)
        for _ in training.steps():
            pass
        return tmp_path / name, training.finish()

    return run


@pytest.fixture
def take_steps() -> Callable[[TrainingRun, int], None]:
    """Return what trains up to a step and then stops asking, as a crash does."""

    def take(run: TrainingRun, steps: int) -> None:
        for step in run.steps():
            if step.step == steps:
                return

    return take
