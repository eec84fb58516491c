"""A model of the Hugging Face kind as what is trained: its losses, and what an adapter changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from memlm.models.adapter import AdaptedNetwork, AdapterTarget
from memlm.models.foreign import read_foreign

pytest.importorskip("transformers")
from memlm.models.huggingface import TrainableModel, adapter_targets, load_huggingface

BEGIN, END = 1, 2  # of the tiny Llama, which reads 48 tokens at once
MakeModel = Callable[[str], Path]


@pytest.fixture
def network(foreign_models: MakeModel) -> TrainableModel:
    loaded = load_huggingface(read_foreign(foreign_models("llama")), device=torch.device("cpu"))
    return TrainableModel(loaded).eval()


def plain(network: TrainableModel, read: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return what the last targets cost by the library's model alone."""
    logits = network.network(input_ids=read).logits[:, -wanted.shape[1] :]
    return F.cross_entropy(logits.mT, wanted, reduction="none")


def test_losses_are_those_of_the_library_and_a_text_begins_after_bos(network):
    tokens = torch.arange(3, 35).reshape(2, 16)
    tokens[:, 5] = END
    tokens, targets = tokens[:, :-1], tokens[:, 1:]
    found, _ = network.losses(tokens, targets, network.start(2))
    expected = plain(network, tokens.masked_fill(tokens == END, BEGIN), targets)
    torch.testing.assert_close(found, expected)
    assert targets[0, 4] == END  # as a target it stays the end


def test_what_is_no_target_costs_nothing(network):
    tokens = torch.arange(3, 19)[None]
    targets = torch.full_like(tokens, -100)
    targets[:, 3] = 7
    found, _ = network.losses(tokens, targets, network.start(1))
    assert found.nonzero().tolist() == [[0, 3]]


def test_measuring_goes_on_with_the_last_tokens_and_learning_with_none(network):
    tokens = torch.arange(3, 70)[None]
    state = network.start(1)
    _, state = network.losses(tokens[:, :40], tokens[:, 1:41], state)
    found, _ = network.losses(tokens[:, 40:60], tokens[:, 41:61], state)
    kept = 24  # half of what it reads at once
    expected = plain(network, tokens[:, 40 - kept : 60], tokens[:, 41:61])
    torch.testing.assert_close(found, expected)
    assert network.carried(state)[0].shape == network.start(1)[0].shape


def test_stretch_longer_than_the_context_is_read_in_windows(network):
    tokens = torch.arange(3, 73)[None]
    found, _ = network.losses(tokens[:, :-1], tokens[:, 1:], network.start(1))
    assert found.shape == (1, 69)
    torch.testing.assert_close(
        found[:, 48:], plain(network, tokens[:, 21:69], tokens[:, 22:70])[:, -21:]
    )


def test_adapter_that_has_learned_nothing_changes_nothing(network):
    tokens = torch.arange(3, 19)[None]
    before, _ = network.losses(tokens, tokens, network.start(1))
    targets = [
        AdapterTarget(f"network.{one.name}", one.outputs, one.inputs, one.is_turned)
        for one in adapter_targets(network.network)
    ]
    adapted = AdaptedNetwork(network, targets, rank=2, seed=0)
    found, _ = adapted.losses(tokens, tokens, adapted.start(1))
    torch.testing.assert_close(found, before, rtol=0, atol=0)
    found.sum().backward()
    assert all(one.grad is not None for one in adapted.parameters())
    assert all(one.grad is None for one in network.parameters())


def test_matrix_that_several_layers_share_is_not_changed():
    from transformers import AutoModelForCausalLM, ZambaConfig

    config = ZambaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=4,
        num_attention_heads=2, n_mamba_heads=2, mamba_dt_rank=4,
        layers_block_type=["linear_attention", "hybrid", "linear_attention", "hybrid"],
    )  # fmt: skip
    network = AutoModelForCausalLM.from_config(config)
    names = {target.name for target in adapter_targets(network)}
    assert names < dict(network.named_parameters()).keys()
    assert not any("shared_transf" in name for name in names)
