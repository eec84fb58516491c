"""A model that is asked for text again and again is laid down once."""

from __future__ import annotations

import pytest

import memlm
from memlm import GenerateConfig, PrepareConfig, TrainConfig, collect_documents, train_model
from memlm.models import stepping


@pytest.fixture
def laid_down(monkeypatch):
    """Return the precisions of the stepping models that are laid down from now on."""
    found: list[str] = []
    original = stepping.load_stepping

    def load(folder, *, precision="float32"):
        found.append(precision)
        return original(folder, precision=precision)

    monkeypatch.setattr(stepping, "load_stepping", load)
    return found


@pytest.fixture
def ws(tmp_path):
    path = tmp_path / "ws"
    collect_documents(path, texts=["The cat sees the moon over the old town.\n"] * 20)
    config = TrainConfig(steps=2, hidden_width=8, embedding_width=8, threads=1, device="cpu")
    train_model(path, config=config, prepare=PrepareConfig(tokenizer="char"))
    return path


def test_a_second_text_lays_nothing_down_again(ws, laid_down):
    model = memlm.load_model(ws)
    config = GenerateConfig(tokens=4, seed=1)
    first, second = (memlm.generate_text(model, "The", config=config)[0].text for _ in range(2))
    assert first == second
    assert laid_down == ["float32"]
    memlm.generate_text(model, "The", config=GenerateConfig(tokens=4, precision="int8"))
    assert laid_down == ["float32", "int8"]


def test_weights_that_have_changed_are_laid_down_again(ws, laid_down, monkeypatch):
    model = memlm.load_model(ws)
    memlm.generate_text(model, "The", config=GenerateConfig(tokens=1))
    monkeypatch.setattr("memlm.workspace.Workspace.weights_hash", lambda self, name: "other")
    memlm.generate_text(model, "The", memories=(), config=GenerateConfig(tokens=1))
    assert len(laid_down) == 2
