"""The networks against slow plain twins that follow the published equations word by word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from memlm.models.network import Network, build_network
from memlm.models.network_model import NetworkModel

LABELS = (2, 3)
SHAPES = [
    pytest.param({"kind": kind, "layers": layers, **more}, id=f"{kind} {layers} {name}")
    for kind in ("lstm", "gru")
    for layers in (1, 2)
    for name, more in {
        "plain": {},
        "tied": {"embedding_width": 7, "is_tied": True},
        "labelled": {"label_tokens": LABELS},
        "residual": {"is_residual": True},
        "residual, labelled": {"is_residual": True, "label_tokens": LABELS},
    }.items()
]


def lstm_step(x: Tensor, h: Tensor, c: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    w_x, w_h, b_x, b_h = weights
    i, f, g, o = (w_x @ x + b_x + w_h @ h + b_h).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_step(x: Tensor, h: Tensor, c: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Cho et al. 2014, the reset gate behind the product, as in cuDNN."""
    w_x, w_h, b_x, b_h = weights
    x_r, x_z, x_n = (w_x @ x + b_x).chunk(3)
    h_r, h_z, h_n = (w_h @ h + b_h).chunk(3)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h, c


def plain_logits(network: Network, tokens: list[int]) -> Tensor:
    """Read one text token by token with the weights of `network`."""
    config = network.config
    step = {"lstm": lstm_step, "gru": gru_step}[config.kind]
    named = dict(network.named_parameters())
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    layers = [
        [named[f"blocks.{number}.layer.{name}_l0"] for name in names]
        for number in range(len(config.blocks))
    ]
    hidden = [(torch.zeros(config.hidden_width), torch.zeros(config.hidden_width))] * len(layers)
    table = named["embed.weight"]
    output = table if config.is_tied else named["output.weight"]
    label, logits = 0, []
    for token in tokens:
        x = table[token]
        if config.label_tokens:
            if token == 0:
                label = 0
            elif token in config.label_tokens:
                label = config.label_tokens.index(token) + 1
            x = torch.cat([x, named["embed_label.weight"][label]])
        x = named["enter.weight"] @ x if config.has_entrance else x
        for number, weights in enumerate(layers):
            hidden[number] = step(x, *hidden[number], weights)
            x = hidden[number][0] + (x if config.blocks[number].is_residual else 0)
        shown = named["label_bias"][:, label] if config.label_tokens else 0.0
        logits.append(output @ x + named["output.bias"] + shown)
    return torch.stack(logits)


TEXTS = torch.tensor([[0, 2, 5, 6, 7, 0, 8, 9], [5, 5, 0, 3, 10, 2, 6, 4]])


@pytest.fixture
def network(request, make_config) -> Network:
    network = build_network(make_config(**request.param), seed=3)
    if network.config.label_tokens:  # zero at first, and zeros would hide a mistake
        torch.nn.init.normal_(network.label_bias, generator=torch.Generator().manual_seed(1))
    return network


@pytest.mark.parametrize("network", SHAPES, indirect=True)
def test_logits_equal_those_of_the_written_out_equations(network):
    logits, _ = network(TEXTS, network.start(2))
    expected = torch.stack([plain_logits(network, text) for text in TEXTS.tolist()])
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("network", SHAPES, indirect=True)
def test_gradients_equal_those_of_the_written_out_equations(network):
    weights = torch.linspace(-1, 1, 2 * 8 * 11).reshape(2, 8, 11)  # any fixed mixture of logits
    names, parameters = zip(*network.named_parameters(), strict=True)
    fast = torch.autograd.grad((network(TEXTS, network.start(2))[0] * weights).sum(), parameters)
    plain = torch.stack([plain_logits(network, text) for text in TEXTS.tolist()])
    slow = torch.autograd.grad((plain * weights).sum(), parameters)
    expected = dict(zip(names, slow, strict=True))
    for name, found in zip(names, fast, strict=True):
        torch.testing.assert_close(
            found,
            expected[name],
            atol=1e-4,
            rtol=1e-3,
            msg=lambda text, name=name: f"{name} {text}",
        )


@pytest.mark.parametrize("network", SHAPES, indirect=True)
def test_a_state_carried_from_piece_to_piece_equals_one_pass(network):
    whole, last = network(TEXTS, network.start(2))
    state, pieces = network.start(2), []
    for start, stop in ((0, 1), (1, 5), (5, 8)):
        logits, state = network(TEXTS[:, start:stop], state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-6, rtol=1e-5)
    for found, expected in zip(state, last, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("network", SHAPES, indirect=True)
def test_a_row_of_a_batch_does_not_depend_on_the_others(network):
    together, _ = network(TEXTS, network.start(2))
    alone, _ = network(TEXTS[1:], network.start(1))
    torch.testing.assert_close(together[1:], alone, atol=1e-6, rtol=1e-5)


def test_a_label_is_in_force_until_the_document_ends(make_config):
    network = build_network(make_config(label_tokens=LABELS))
    tokens = torch.tensor([[5, 2, 5, 5, 3, 5, 0, 5]])
    found = network._labels_in_force(tokens, torch.zeros((1, 1), dtype=torch.long))
    assert found.tolist() == [[0, 1, 1, 1, 2, 2, 0, 0]]


def test_a_label_that_is_told_is_in_force_until_the_document_ends(make_config):
    network = build_network(make_config(label_tokens=LABELS))
    tokens = torch.tensor([[5, 5, 3, 5, 0, 5, 5]])
    told = torch.tensor([[1, 1, 2, 2, 2, 0, 1]])
    found = network._labels_in_force(tokens, torch.full((1, 1), 2), told)
    assert found.tolist() == [[1, 1, 2, 2, 0, 0, 1]]
    _, state = network.losses(tokens, tokens, network.start(1), labels=told)
    assert state[-1].tolist() == [[1]]


def test_a_label_reaches_into_the_next_piece(make_config):
    network = build_network(make_config(label_tokens=LABELS))
    _, state = network(torch.tensor([[0, 3]]), network.start(1))
    plain, _ = network(torch.tensor([[5]]), (*state[:-1], torch.zeros_like(state[-1])))
    labelled, _ = network(torch.tensor([[5]]), state)
    assert state[-1].tolist() == [[2]]
    assert not torch.allclose(plain, labelled)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_same_seed_gives_the_same_weights(make_config, kind):
    first, second = (build_network(make_config(kind=kind), seed=5).weights() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_another_seed_gives_other_weights(make_config, kind):
    first, second = (build_network(make_config(kind=kind), seed=seed).weights() for seed in (5, 6))
    assert not any(torch.equal(first[name], second[name]) for name in first)


def test_building_a_network_leaves_torchs_random_numbers_alone(make_config):
    before = torch.get_rng_state()
    build_network(make_config(), seed=9)
    assert torch.equal(torch.get_rng_state(), before)


def test_reading_with_a_network_leaves_torchs_random_numbers_alone(make_config):
    model = NetworkModel(build_network(make_config(dropout=0.5)))
    before = torch.get_rng_state()
    model.read(model.start(1), np.array([[1, 2, 3]]))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tied_output_is_the_embedding_and_is_kept_once(make_config):
    network = build_network(make_config(embedding_width=7, is_tied=True))
    assert network.output.weight is network.embed.weight
    assert "output.weight" not in network.weights()


def test_weights_are_a_copy(make_config):
    network = build_network(make_config())
    network.weights()["output.bias"].fill_(7.0)
    assert not (network.output.bias == 7.0).any()
