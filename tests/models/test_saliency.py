"""Saliency against a plain twin: one text, one row, one gradient at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from memlm.models import saliency as module
from memlm.models.config import describe_network
from memlm.models.network import Network, build_network
from memlm.models.saliency import saliency

TOKENS = torch.tensor([0, 5, 2, 8, 8, 1, 10, 3, 5])
KINDS = [
    pytest.param({"kind": "lstm"}, id="lstm"),
    pytest.param({"kind": "gru", "layers": 1}, id="gru"),
    pytest.param({"kind": "lstm", "embedding_width": 16, "is_tied": True}, id="tied"),
    pytest.param({"kind": "lstm", "cutoffs": (4, 7)}, id="adaptive"),
    pytest.param({"kind": "gru", "label_tokens": (2, 3)}, id="labelled"),
]


@pytest.fixture
def network(request) -> Network:
    sizes = {"vocabulary_size": 11, "embedding_width": 6, "hidden_width": 16, "layers": 2}
    network = build_network(describe_network(**{**sizes, **request.param}), seed=3).eval()
    generator = torch.Generator().manual_seed(1)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.6, generator=generator)
    return network


def plain(network: Network, tokens: Tensor) -> Tensor:
    """Return the weights by finite steps: the vector of one token, scaled up and down, at a time.

    The derivative of log p along the vector itself is gradient times input.
    """
    network = network.double()
    table = network.embed.weight.data[tokens].clone()
    last = network(tokens[None], _start(network))[0][0, -1].argmax()
    targets = [*tokens[1:].tolist(), int(last)]

    def log_probability(vectors: Tensor, t: int) -> float:
        handle = network.embed.register_forward_hook(lambda *_: vectors[None, : t + 1])
        logits, _ = network(tokens[None, : t + 1], _start(network))
        handle.remove()
        return float(torch.log_softmax(logits[0, t], dim=-1)[targets[t]])

    weights = torch.zeros((len(tokens), len(tokens)), dtype=torch.float64)
    step = 1e-5
    for t in range(len(tokens)):
        for s in range(t + 1):
            up, down = table.clone(), table.clone()
            up[s] *= 1 + step
            down[s] *= 1 - step
            slope = (log_probability(up, t) - log_probability(down, t)) / (2 * step)
            weights[t, s] = abs(slope)
    return weights / weights.sum(dim=1, keepdim=True)


def _start(network: Network) -> tuple[Tensor, ...]:
    return tuple(part.double() if part.is_floating_point() else part for part in network.start(1))


@pytest.mark.parametrize("network", KINDS, indirect=True)
@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_saliency_is_what_small_changes_of_each_token_do(network, at_once, monkeypatch):
    monkeypatch.setattr(module, "_rows_at_once", lambda network, total: at_once)
    found = saliency(network, TOKENS)
    with torch.no_grad():
        expected = plain(network, TOKENS)
    torch.testing.assert_close(found.double(), expected, atol=2e-4, rtol=2e-3)


@pytest.mark.parametrize("network", KINDS[:1], indirect=True)
def test_rows_sum_to_one_and_see_nothing_that_comes_later(network):
    found = saliency(network, TOKENS)
    assert found.sum(dim=1) == pytest.approx(torch.ones(len(TOKENS)), abs=1e-6)
    assert not found.triu(1).any()


@pytest.mark.parametrize("network", KINDS[:1], indirect=True)
def test_a_prediction_that_depends_on_nothing_weighs_all_alike(network):
    torch.nn.init.zeros_(network.output.weight)
    assert saliency(network, TOKENS)[3, :5].tolist() == pytest.approx([0.25] * 4 + [0])


@pytest.mark.parametrize("network", KINDS[:1], indirect=True)
def test_saliency_leaves_no_gradient_and_no_hook_behind(network):
    saliency(network, TOKENS)
    assert all(weights.grad is None for weights in network.parameters())
    assert not network.embed._forward_hooks


@pytest.mark.parametrize("network", KINDS[:1], indirect=True)
def test_rows_are_read_in_blocks_that_memory_bounds(network, monkeypatch):
    monkeypatch.setattr(module, "_LARGEST_BLOCK_VALUES", 9 * (11 + 16 * 32) * 2)
    done = []
    saliency(network, TOKENS, progress=lambda at, total: done.append((at, total)))
    assert done == [(2, 9), (4, 9), (6, 9), (8, 9), (9, 9)]
