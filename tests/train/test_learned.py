"""What is known of labels before anything is learned: whose they are, and what goes with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memlm.prepare import Draft, PartInMemory, PrepareConfig, TokenStore, write_token_store
from memlm.records import Document
from memlm.storage import new_folder
from memlm.train import learned
from memlm.train import run as run_module
from memlm.train.learned import label_bias, labels_of_units
from memlm.train.run import join_run, resume_run, start_run

MADE_FROM = {"documents": "0" * 32, "tokenizer": "char"}


@pytest.fixture
def in_blocks(tmp_path) -> TokenStore:
    """Return three long documents, of which blocks are held out; the second has no label."""
    drafts = [
        Draft(document=Document(id=f"{number:03}", text=text, label=label), text=text)
        for number, (text, label) in enumerate(
            [("the old cat " * 400, "good"), ("a house 春眠 " * 400, None), ("dog " * 900, "bad")]
        )
    ]
    with new_folder(tmp_path / "tokens", made_from={}) as temporary:
        config = PrepareConfig(tokenizer="char", held_out_share=0.3)
        write_token_store(temporary, [PartInMemory("0", drafts)], config)
    return TokenStore(tmp_path / "tokens")


@pytest.fixture(params=["whole documents", "blocks of documents"])
def labelled(request, store) -> TokenStore:
    return store if request.param == "whole documents" else request.getfixturevalue("in_blocks")


def _plain_bias(store: TokenStore) -> np.ndarray:
    """The same, unit after unit."""
    size, labels = store.tokenizer.vocabulary_size, list(store.tokenizer.labels.values())
    counts = np.zeros((size, len(labels) + 1))
    for unit in store.units_of("train"):
        tokens = store.tokens[int(unit["token_start"]) : int(unit["token_end"])].tolist()
        begin = min(u["token_start"] for u in store.units if u["document"] == unit["document"])
        first = int(store.tokens[int(begin)])
        label = labels.index(first) + 1 if first in labels else 0
        for token in tokens[int(tokens[0] in labels) :]:
            counts[token, label] += 1
    overall = counts.sum(axis=1, keepdims=True) / counts.sum()
    smoothed = (counts + 10_000 * overall) / (counts.sum(axis=0) + 10_000)
    bias = np.log(np.divide(smoothed, overall, out=np.ones_like(smoothed), where=overall > 0))
    bias[:, 0] = 0.0
    return bias.astype(np.float32)


@pytest.mark.parametrize("at_once", [1, 50, 1 << 20])
def test_the_bias_of_labels_is_that_of_counting_unit_after_unit(labelled, monkeypatch, at_once):
    monkeypatch.setattr(learned, "_COUNTED_AT_ONCE", at_once)
    assert np.array_equal(label_bias(labelled), _plain_bias(labelled))


def test_a_unit_inside_a_document_has_the_label_of_its_document(in_blocks):
    units = in_blocks.units_of("train")
    numbers = {label: place for place, label in enumerate(in_blocks.tokenizer.labels, start=1)}
    expected = np.array([numbers["good"], 0, numbers["bad"]])[units["document"]]
    assert len(units) > len(set(units["document"].tolist()))
    assert labels_of_units(in_blocks).tolist() == expected.tolist()


def test_a_training_begins_with_the_bias_of_labels(store, small, tmp_path, take_steps):
    run = start_run(tmp_path / "model", store, small(learning_rate=1e-12), made_from=MADE_FROM)
    take_steps(run, 1)
    found = run.training.network.label_bias.detach().numpy()
    np.testing.assert_allclose(found, label_bias(store), atol=1e-6)


def test_a_training_that_goes_on_counts_nothing(store, small, tmp_path, take_steps, monkeypatch):
    config = small(checkpoint_every=2)
    take_steps(start_run(tmp_path / "model", store, config, made_from=MADE_FROM), 3)
    monkeypatch.setattr(run_module, "label_bias", lambda store: pytest.fail("it was counted"))
    resumed = resume_run(tmp_path / "model", store, config)
    assert resumed.training.step > 0
    take_steps(resumed, 5)


def test_who_joins_a_training_begins_as_the_first_does(store, small, tmp_path):
    first = start_run(tmp_path / "model", store, small(), made_from=MADE_FROM)
    begun = first.begun()
    other = join_run(tmp_path / "model", store, small(), begun=begun, processes=first.processes)
    for run in (first, other):
        next(run.steps())
    expected = first.training.network.weights()
    assert all(torch.equal(other.training.network.weights()[n], v) for n, v in expected.items())


def test_who_crashed_before_the_first_checkpoint_begins_with_the_bias(
    store, small, tmp_path, take_steps
):
    config = small(checkpoint_every=20)
    whole, other = tmp_path / "whole", tmp_path / "other"
    runs = [start_run(folder, store, config, made_from=MADE_FROM) for folder in (whole, other)]
    take_steps(runs[1], 3)
    resumed = resume_run(other, store, config)
    assert resumed.training.step == 0
    for run in (runs[0], resumed):
        take_steps(run, 2)
    assert torch.equal(runs[0].training.network.label_bias, resumed.training.network.label_bias)
