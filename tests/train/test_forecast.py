"""What is told before a training starts, and what it is told from."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from memlm.models import describe_network
from memlm.models.network import Network
from memlm.prepare import Draft, PartInMemory, PrepareConfig, TokenStore, write_token_store
from memlm.records import Document
from memlm.storage import new_folder
from memlm.train import TrainConfig
from memlm.train.forecast import (
    Law,
    block_parameters,
    forecast_loss,
    laws,
    witten_bell_nats,
)
from memlm.train.learned import data_facts
from memlm.train.measured import choose_network, measured
from memlm.train.run import start_run

LAW = Law(
    floor=0.5, size=(0.1, 0.3), text=(0.2, 0.4), reading=(0.3, 0.5),
    networks={"lstm": 1.0, "gru": 2.0}, counted_nats=2.0, error=0.05,
)  # fmt: skip
STORED = Path(__file__).parents[2] / "benchmarks" / "scaling.jsonl"


@pytest.fixture(scope="module")
def plain_store(tmp_path_factory) -> TokenStore:
    """Return 40,000 characters without labels, words drawn by a skewed law."""
    draw = np.random.default_rng(0)
    words = np.array(["the ", "old ", "cat ", "sees ", "a ", "dog ", "near ", "houses.\n"])
    text = "".join(draw.choice(words, 10_000, p=[0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05]))
    folder = tmp_path_factory.mktemp("tokens") / "char"
    with new_folder(folder, made_from={}) as temporary:
        drafts = [Draft(document=Document(id="0", text=text), text=text)]
        write_token_store(temporary, [PartInMemory("0", drafts)], PrepareConfig(tokenizer="char"))
    return TokenStore(folder)


def _network(kind: str = "lstm", **more: int):
    shape = {"vocabulary_size": 30, "embedding_width": 8, "hidden_width": 16, "layers": 1}
    return describe_network(kind, **shape | more)


def test_a_law_adds_what_size_text_and_reading_leave_over():
    told = LAW.nats("gru", size=1e6, text=1e6, reading=1e6)
    assert told == pytest.approx(0.5 + 2 * (0.1 + 0.2 + 0.3))


def test_text_that_is_not_read_teaches_nothing():
    nats = partial(LAW.nats, "lstm", size=1e6, reading=1e5)
    assert nats(text=1e5) == nats(text=1e7)
    assert nats(text=1e4) > nats(text=1e5)


@pytest.mark.parametrize("kind", ["lstm", "gru", "transformer", "lstm-attention"])
def test_block_parameters_are_those_of_the_network_less_its_two_ends(kind):
    shape = _network(kind)
    built = Network(shape)
    counted = sum(value.numel() for value in built.blocks.parameters())
    assert block_parameters(shape) == counted


def test_counts_predict_as_witten_and_bell_have_it():
    learned, checked = np.array([[2, 3, 2, 3, 2, 4]]), np.array([[2, 3, 4]])
    uniform = 1 / 5
    counts = Counter([2, 3, 2, 3, 2, 4])

    def alone(token: int) -> float:
        return (counts[token] + 3 * uniform) / (6 + 3)

    after_two = {3: 2, 4: 1}  # n(2 .) = 3, two kinds
    first = alone(2)
    second = (after_two[3] + 2 * alone(3)) / (3 + 2)
    after_three = (0 + 1 * alone(4)) / (2 + 1)  # 3 was followed by 2 twice
    third = (0 + 1 * after_three) / (2 + 1)  # and so was 2 3
    expected = -sum(math.log(p) for p in (first, second, third)) / 3
    assert witten_bell_nats(learned, checked, 5) == pytest.approx(expected)


def test_counts_give_a_distribution():
    learned = np.random.default_rng(1).integers(0, 6, (3, 50))
    for context in ([], [2], [2, 3], [5, 5]):
        row = [[*context, token] for token in range(6)]
        prefix = witten_bell_nats(learned, np.array([context]), 6) * len(context) if context else 0
        costs = [
            witten_bell_nats(learned, np.array([tokens]), 6) * len(tokens) - prefix
            for tokens in row
        ]
        assert sum(math.exp(-cost) for cost in costs) == pytest.approx(1)


def test_what_was_not_measured_is_not_forecast(store, plain_store):
    facts = data_facts(plain_store)

    def told(tokens: TokenStore, facts, kind: str):
        return forecast_loss(tokens, facts, _network(kind), tokens_read=lambda: 1e6)

    assert told(plain_store, facts, "lstm") is not None
    assert told(plain_store, facts, "mixed") is None
    assert told(plain_store, replace(facts, label_tokens=(2,)), "lstm") is None
    assert told(plain_store, replace(facts, train_tokens=20_000), "lstm") is None
    assert told(store, data_facts(store), "lstm") is None


@pytest.mark.parametrize("tokens", [0.0, 1.0, 50_000.0])
def test_a_training_that_hardly_reads_is_not_forecast(plain_store, tokens):
    facts = data_facts(plain_store)
    assert forecast_loss(plain_store, facts, _network(), tokens_read=lambda: tokens) is None


def test_where_no_step_can_be_timed_nothing_is_forecast(plain_store, tmp_path, monkeypatch):
    config = TrainConfig(minutes=1.0, network="lstm", hidden_width=16, threads=1)
    made_from = {"documents": "0" * 32, "tokenizer": "char"}
    run = start_run(tmp_path / "untimed", plain_store, config, made_from=made_from)
    monkeypatch.setattr("memlm.train.run.expected_steps", lambda *_: 0.0)
    assert run.forecast() is None


@pytest.mark.parametrize(
    "option", [{"learning_rate": 1e-6}, {"layers": 2}, {"dropout": 0.9}], ids=str
)
def test_an_option_that_was_not_measured_makes_no_forecast(plain_store, tmp_path, option):
    config = TrainConfig(steps=400, network="lstm", hidden_width=16, threads=1)
    made_from = {"documents": "0" * 32, "tokenizer": "char"}
    usual = start_run(tmp_path / "usual", plain_store, config, made_from=made_from)
    assert usual.forecast() is not None
    other = start_run(
        tmp_path / "other", plain_store, replace(config, **option), made_from=made_from
    )
    assert other.forecast() is None


def test_a_forecast_falls_with_text_and_with_time(plain_store):
    facts = data_facts(plain_store)
    told = forecast_loss(plain_store, facts, _network(), tokens_read=lambda: 4e6)
    assert told.low < told.nats < told.high
    assert told.more_text < told.nats
    assert told.more_time < told.nats


def test_no_forecast_is_worse_than_to_have_learned_nothing(plain_store, monkeypatch):
    facts = data_facts(plain_store)
    monkeypatch.setattr("memlm.train.forecast.counted_nats", lambda *_: 9.0)
    told = forecast_loss(plain_store, facts, _network(), tokens_read=lambda: 1e5)
    assert told.low < told.nats == told.high == math.log(facts.vocabulary_size)


def test_a_forecast_leaves_the_training_as_it_was(plain_store, tmp_path, monkeypatch):
    monkeypatch.setattr("memlm.train.run._UNFORECAST", frozenset())  # dropout draws numbers

    def weights(name: str, *, is_told: bool) -> bytes:
        config = TrainConfig(
            steps=4, hidden_width=16, batch_size=4, sequence_length=8, threads=1, dropout=0.2
        )
        run = start_run(
            tmp_path / name, plain_store, config,
            made_from={"documents": "0" * 32, "tokenizer": "char"},
        )  # fmt: skip
        if is_told:
            # so that steps are timed
            run.training.plan = replace(run.plan, steps=None, minutes=1.0)
            assert run.forecast() is not None
            run.training.plan = run.plan.with_steps(4)
        for _ in run.steps():
            pass
        run.finish()
        return (tmp_path / name / "model.safetensors").read_bytes()

    assert weights("told", is_told=True) == weights("silent", is_told=False)


def test_the_shipped_laws_are_of_both_kinds_of_text_and_of_four_networks():
    for law in laws().values():
        assert set(law.networks) == {"lstm", "gru", "lstm-attention", "transformer"}
        assert 0 < law.error < 0.2
        assert min(asdict(law)["networks"].values()) > 0
    assert set(laws()) == {"few_symbols", "many_symbols"}


def test_auto_takes_what_learned_best_from_the_nearest_text_in_the_nearest_time():
    for kind, vocabulary_size in (("few_symbols", 90), ("many_symbols", 4_000)):
        runs = [run for run in measured()["runs"] if run["kind"] == kind]
        largest = max(run["characters"] for run in runs)
        rivals = [run for run in runs if run["characters"] == largest and run["minutes"] == 1]
        choice = choose_network(
            vocabulary_size=vocabulary_size, characters=largest, core_minutes=1.0
        )
        best = min(rivals, key=lambda run: run["nats_per_character"])
        assert choice.network == best["network"]
        assert choice.losses == {run["network"]: run["nats_per_character"] for run in rivals}
        assert list(choice.losses.values()) == sorted(choice.losses.values())


def test_auto_has_an_answer_for_any_size_and_time():
    for characters in (0, 10, 10**9):
        for minutes in (1e-3, 1e4):
            choice = choose_network(vocabulary_size=70, characters=characters, core_minutes=minutes)
            assert choice.network in choice.losses


def test_every_run_that_is_shipped_is_one_that_was_made():
    made = [json.loads(line) for line in STORED.read_text(encoding="utf-8").splitlines()]
    found = {(line["characters"], line["network"], line["minutes"]) for line in made}
    for run in measured()["runs"]:
        assert (run["characters"], run["network"], run["minutes"]) in found
