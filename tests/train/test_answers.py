"""Of a task's examples only the targets are learned and measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import memlm
from memlm.prepare import PrepareConfig, TokenStore
from memlm.train.answers import count_targets, find_answers
from memlm.train.batches import Batch, TokenStream
from memlm.train.validation import HeldOutText
from memlm.workflow.preparing import open_tokens
from memlm.workspace import read_run

PAIRS = [
    {"source": f"word {number} of the source.", "target": f"!target {number % 3}!"}
    for number in range(24)
]


@pytest.fixture(params=["char", "byte", "bpe", "word", "whitespace"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> TokenStore:
    opened = memlm.open_workspace(tmp_path / "ws", create=True)
    rows = "source,target\n" + "".join(f"{one['source']},{one['target']}\n" for one in PAIRS)
    (tmp_path / "pairs.csv").write_text(rows, encoding="utf-8")
    memlm.collect_documents(
        opened, tmp_path / "pairs.csv", config=memlm.CollectConfig(task="translate")
    )
    size = 300 if request.param == "bpe" else None
    config = PrepareConfig(tokenizer=request.param, vocabulary_size=size, held_out_share=0.3)
    report = memlm.prepare_documents(opened, config=config)
    return open_tokens(opened.prepared(report.tokenizer))


def target_of(store: TokenStore, unit: np.void, first: int) -> str:
    ids = store.tokens[first : int(unit["token_end"])].tolist()
    return store.tokenizer.decode(token for token in ids if token != store.tokenizer.end)


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_targets_begin_behind_the_sign(store, split):
    answers = find_answers(store, split)
    units = store.units_of(split)
    found = [
        target_of(store, unit, first)
        for unit, first in zip(units, answers.first.tolist(), strict=True)
    ]
    assert found
    assert set(found) <= {one["target"] for one in PAIRS}
    assert answers.characters.tolist() == [len(text) for text in found]


def test_counted_targets_are_those_of_the_training(store):
    counts = count_targets(store, most=10)
    assert sum(counts.values()) == len(store.units_of("train"))
    assert counts.keys() <= {one["target"] for one in PAIRS}
    assert count_targets(store, most=1) is None


def test_batches_count_targets_and_their_ends_only(store):
    answers = find_answers(store, "train")
    stream = TokenStream(
        store.tokens,
        store.units_of("train"),
        batch_size=2,
        sequence_length=7,
        seed=1,
        counts_from=answers.first,
    )
    counted = {-100}
    for step in range(3 * stream.steps_per_epoch):
        counted.update(stream.batch(step).targets.ravel().tolist())
    allowed = {store.tokenizer.end, -100}
    for unit, first in zip(store.units_of("train"), answers.first.tolist(), strict=True):
        allowed.update(store.tokens[first : int(unit["token_end"])].tolist())
    assert counted == allowed


def test_a_batch_weighs_as_much_as_what_counts():
    targets = np.array([[1, -100, 2], [-100, -100, 3]])
    assert Batch(targets, targets, begins_anew=True).weight == 2.0
    nothing = np.full((2, 3), -100)
    assert Batch(nothing, nothing, begins_anew=True).weight == 0.0


def test_held_out_targets_are_all_that_is_measured(store):
    answers, units = find_answers(store, "held_out"), store.units_of("held_out")
    text = HeldOutText(
        store.tokens,
        units,
        most_tokens=10_000,
        special=[store.tokenizer.end],
        end=store.tokenizer.end,
        answers=answers,
    )
    loss = text.even_loss(store.tokenizer.vocabulary_size)
    tokens = answers.tokens(units) - len(units)  # their ends are no text
    unknown = float(answers.unknown_bytes.sum()) * 8 * np.log(2)
    expected = tokens * np.log(store.tokenizer.vocabulary_size) + unknown
    assert loss.nats == pytest.approx(expected)
    assert loss.characters == pytest.approx(answers.characters.sum())


def test_texts_without_the_sign_count_as_a_whole(tmp_path):
    opened = memlm.open_workspace(tmp_path / "ws", create=True)
    memlm.collect_documents(opened, texts=[f"text number {number}" for number in range(40)])
    report = memlm.prepare_documents(opened, config=PrepareConfig(tokenizer="byte"))
    assert find_answers(open_tokens(opened.prepared(report.tokenizer)), "train") is None


def test_the_sign_in_texts_of_no_task_is_a_sign_like_any_other(tmp_path):
    opened = memlm.open_workspace(tmp_path / "ws", create=True)
    texts = [f"text number {number}, and more of it" for number in range(40)]
    memlm.collect_documents(opened, texts=[*texts, "one with ␟ in its middle"])
    memlm.prepare_documents(opened, config=PrepareConfig(tokenizer="byte"))
    config = memlm.TrainConfig(steps=1, hidden_width=8, device="cpu", threads=1)
    report = memlm.train_model(opened, config=config)
    assert report.task is None
    assert report.network != "transformer"
    run = read_run(opened.model(report.model))
    assert not run["plan"]["has_task"]
    store = open_tokens(opened.prepared("byte"))
    assert report.held_out_characters == store.units_of("held_out")["characters"].sum()
