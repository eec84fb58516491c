"""Models of the Hugging Face kind say what plain transformers says, in the same windows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from foreign_makers import make_network
from memlm.models.foreign import read_foreign
from memlm.models.huggingface import Beginning, HuggingFaceModel, Loaded, load_huggingface

KINDS = ["gpt2", "llama", "qwen3", "mamba"]
CPU = torch.device("cpu")


@pytest.fixture
def load(foreign_models: Callable[[str], Path]) -> Callable[..., Loaded]:
    def load_kind(kind: str, **more: Any) -> Loaded:
        found = read_foreign(foreign_models(kind))
        return load_huggingface(found, device=CPU, **more)

    return load_kind


def plain_losses(network: Any, stream: np.ndarray, window: int | None) -> np.ndarray:
    """Return what each token but the first costs, by windows that overlap by half."""
    width = window or len(stream)
    stride, found, start = width - width // 2, [], 0
    while True:
        inputs = torch.from_numpy(stream[start : min(start + width, len(stream) - 1)])[None]
        with torch.no_grad():
            logits = network(input_ids=inputs).logits[0].float()
        targets = torch.from_numpy(stream[start + 1 : start + 1 + inputs.shape[1]])
        losses = F.cross_entropy(logits, targets, reduction="none").numpy()
        found.append(losses[0 if start == 0 else width // 2 :])
        if start + width >= len(stream) - 1:
            return np.concatenate(found)
        start += stride


@pytest.mark.parametrize("kind", KINDS)
def test_long_text_costs_what_a_plain_loop_says(load, foreign_models, kind):
    from transformers import AutoModelForCausalLM

    model = load(kind).model
    stream = np.random.default_rng(3).integers(3, 250, 120)
    stream[0] = model.beginning.begin
    network = AutoModelForCausalLM.from_pretrained(foreign_models(kind)).eval()
    expected = plain_losses(network, stream, model.context)
    found, _ = model.read(model.start(1), stream[None, :-1])
    nats = -found[0, np.arange(len(stream) - 1), stream[1:]]
    np.testing.assert_allclose(nats, expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_likeliest_tokens_are_those_of_generate(load, kind):
    model = load(kind).model
    prompt = np.array([[model.beginning.begin, 7, 30, 11, 12]])
    with torch.no_grad():
        expected = model.network.generate(
            torch.from_numpy(prompt),
            attention_mask=torch.ones(prompt.shape, dtype=torch.long),
            do_sample=False,
            min_new_tokens=20,
            max_new_tokens=20,
            pad_token_id=0,
            eos_token_id=model.size - 1,
        )[0, prompt.shape[1] :]
    found, state = model.read(model.start(1), prompt)
    written, row = [], found[:, -1].copy()
    for _ in range(20):
        row[0, model.size - 1] = -np.inf  # which ends a text: forbidden there too
        written.append(int(row[0].argmax()))
        row, state = model.advance(state, np.array([written[-1]]))
        row = row.copy()
    assert written == expected.tolist()


@pytest.mark.parametrize(("begin", "end"), [(1, 2), (2, 2)])
def test_text_begins_after_the_token_that_begins_texts(begin, end):
    network = make_network("llama", 12)
    model = HuggingFaceModel(network, Beginning(begin, end), context=48, longest=48)
    found, _ = model.read(model.start(1), np.array([[end, 5, end, 6]]))
    with torch.no_grad():
        logits = network(input_ids=torch.tensor([[begin, 5, end, 6]])).logits
    np.testing.assert_allclose(found, F.log_softmax(logits, dim=-1).numpy(), atol=1e-6)


def test_text_without_a_beginning_begins_with_all_alike():
    network = make_network("plain", 12)
    model = HuggingFaceModel(network, Beginning(None, 12), context=32, longest=32)
    found, _ = model.read(model.start(1), np.array([[12, 5]]))
    np.testing.assert_allclose(found[0, 0, :12], -np.log(12), atol=1e-5)
    assert np.ptp(found[0, 1, :12]) > 0.1


@pytest.mark.parametrize(
    ("kind", "way"),
    [("gpt2", "blocks"), ("llama", "blocks"), ("qwen3", "blocks"), ("mamba", "steps")],
)
def test_way_to_go_on_is_the_one_that_is_right(load, kind, way):
    assert load(kind).model.continues == way


def test_model_whose_cache_is_of_no_use_is_read_anew(load, monkeypatch):
    model = load("llama").model
    tokens = np.random.default_rng(5).integers(3, 250, (2, 90))
    expected, _ = model.read(model.start(2), tokens)
    monkeypatch.setattr(
        "memlm.models.huggingface.model.copied_cache", lambda cache, rows=None: None
    )
    other = load("llama").model
    assert other.continues == "anew"
    first, state = other.read(other.start(2), tokens[:, :37])
    second, _ = other.read(state, tokens[:, 37:])
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), expected, atol=1e-5)


def test_cache_of_an_unknown_kind_is_read_anew(load, monkeypatch):
    class Other:
        layers = ()

    model = load("llama").model
    forward = model._forward
    monkeypatch.setattr(model, "_forward", lambda *a, **k: (*forward(*a, **k)[:2], Other()))
    assert model.continues == "anew"


def test_hidden_states_are_what_the_output_layer_is_given(load):
    model = load("qwen3").model
    told, hidden, _ = model.read_hidden(model.start(1), np.array([[1, 5, 6]]))
    logits = model.network.get_output_embeddings()(torch.from_numpy(hidden))
    np.testing.assert_allclose(F.log_softmax(logits, dim=-1).numpy(), told, atol=1e-5)


def test_half_the_precision_says_nearly_the_same(load):
    exact, half = load("llama").model, load("llama", precision="bf16").model
    assert next(half.network.parameters()).dtype == torch.bfloat16
    tokens = np.array([[1, 5, 6, 7]])
    (expected, _), (found, _) = exact.read(exact.start(1), tokens), half.read(half.start(1), tokens)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).mean() < 0.1


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3"])
def test_attention_weights_are_those_of_every_layer(load, kind):
    model = load(kind).model
    before = model.network.config._attn_implementation
    found = model.attention_weights(np.arange(5, 15))
    assert len(found) == 2
    for heads in found:
        assert heads.shape[1:] == (10, 10)
        np.testing.assert_allclose(heads.sum(axis=2), 1, atol=1e-5)
        assert not np.triu(heads, 1).any()
    assert model.network.config._attn_implementation == before


def test_network_without_attention_shows_none(load):
    assert load("mamba").model.attention_weights(np.arange(5, 15)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_model_survives_being_saved_again(load, foreign_models, tmp_path, kind):
    model = load(kind).model
    model.network.save_pretrained(tmp_path)
    tokenizer = (foreign_models(kind) / "tokenizer.json").read_text("utf-8")
    (tmp_path / "tokenizer.json").write_text(tokenizer, "utf-8")
    found = read_foreign(tmp_path)
    again = load_huggingface(found, device=CPU).model
    tokens = np.array([[1, 5, 6, 7]])
    expected, _ = model.read(model.start(1), tokens)
    assert np.array_equal(again.read(again.start(1), tokens)[0], expected)


def test_library_is_left_as_loud_as_it_was(load):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load("gpt2")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
