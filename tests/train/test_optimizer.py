"""What turns gradients into steps, beside plain and slow twins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from memlm.train.optimizer import Optimizer, orthogonal


class Net(nn.Module):
    """One of everything that a network has."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 5)
        self.lstm = nn.LSTM(5, 6)
        self.gru = nn.GRU(6, 6)
        self.enter = nn.Linear(6, 9)
        self.norm = nn.LayerNorm(9)
        self.label_bias = nn.Parameter(torch.randn(7, 3))
        self.output = nn.Linear(9, 7)


@pytest.fixture
def make() -> Callable[..., tuple[Net, Optimizer]]:
    """Return what makes a network with gradients, the same ones for the same seed."""

    def build(kind: str = "muon", **changes: float) -> tuple[Net, Optimizer]:
        torch.manual_seed(1)
        network = Net()
        rates = {"learning_rate": 0.01, "muon_learning_rate": 0.02, "weight_decay": 0.1}
        optimizer = Optimizer(network, kind=kind, **rates | changes)
        draw(network, 0)
        return network, optimizer

    return build


def draw(network: Net, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def values(network: Net) -> dict[str, np.ndarray]:
    return {n: p.detach().numpy().astype(np.float64) for n, p in network.named_parameters()}


def plain_orthogonal(matrix: np.ndarray) -> np.ndarray:
    """The iteration written out for one matrix, in float64 and without turning it."""
    found = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        cube = found @ found.T @ found
        found = 3.4445 * found - 4.7750 * cube + 2.0315 * (found @ found.T @ cube)
    return found


def plain_muon(weight: np.ndarray, gradients: list[np.ndarray], gates: int) -> np.ndarray:
    """Steps of Muon at rate 0.02 and decay 0.1, gate after gate and number after number."""
    size = len(weight) // gates
    parts = []
    for gate in range(gates):
        rows = slice(gate * size, (gate + 1) * size)
        part, momentum = weight[rows].copy(), np.zeros_like(weight[rows])
        for gradient in gradients:
            momentum = 0.95 * momentum + 0.05 * gradient[rows]
            step = plain_orthogonal(0.05 * gradient[rows] + 0.95 * momentum)
            part = (1 - 0.02 * 0.1) * part
            part = part - 0.02 * max(1.0, size / weight.shape[1]) ** 0.5 * step
        parts.append(part)
    return np.concatenate(parts)


MATRICES = [
    pytest.param("enter.weight", 1, id="a linear layer"),
    pytest.param("lstm.weight_ih_l0", 4, id="inputs of an LSTM"),
    pytest.param("lstm.weight_hh_l0", 4, id="recurrence of an LSTM"),
    pytest.param("gru.weight_ih_l0", 3, id="inputs of a GRU"),
    pytest.param("gru.weight_hh_l0", 3, id="recurrence of a GRU"),
]


@pytest.mark.parametrize(("name", "gates"), MATRICES)
def test_muon_steps_as_its_plain_twin_does_gate_by_gate(make, name, gates):
    network, optimizer = make()
    before, gradients = values(network)[name], []
    for seed in range(3):
        draw(network, seed)
        gradients.append(dict(network.named_parameters())[name].grad.numpy().astype(np.float64))
        optimizer.step(1.0)
    expected = plain_muon(before, gradients, gates)
    np.testing.assert_allclose(values(network)[name], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 6), (12, 5), (5, 12), (1, 8), (3, 4, 7)], ids=str)
def test_what_is_made_orthogonal_has_singular_values_near_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    found = torch.linalg.svdvals(orthogonal(matrices))
    assert found.min() > 0.3  # the smallest are only lifted
    assert found.max() < 1.3


def test_a_gradient_of_zeros_gives_no_step():
    assert orthogonal(torch.zeros(4, 5)).equal(torch.zeros(4, 5))


def plain_adamw(weight: np.ndarray, gradients: list[np.ndarray], decay: float) -> np.ndarray:
    """Steps of AdamW at rate 0.01, number after number (Loshchilov and Hutter 2019)."""
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    for number, gradient in enumerate(gradients, start=1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient**2
        step = (first / (1 - 0.9**number)) / (np.sqrt(second / (1 - 0.99**number)) + 1e-8)
        weight = weight * (1 - 0.01 * decay) - 0.01 * step
    return weight


OTHERS = [
    pytest.param("embed.weight", 0.1, id="embedding"),
    pytest.param("output.weight", 0.1, id="output"),
    pytest.param("output.bias", 0.0, id="bias of the output"),
    pytest.param("lstm.bias_hh_l0", 0.0, id="bias of an LSTM"),
    pytest.param("norm.weight", 0.0, id="norm"),
    pytest.param("label_bias", 0.0, id="biases of labels, a matrix"),
]


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize(("name", "decay"), OTHERS)
def test_ends_biases_and_norms_are_stepped_by_adamw_whatever_the_kind(make, kind, name, decay):
    network, optimizer = make(kind)
    before, gradients = values(network)[name], []
    for seed in range(3):
        draw(network, seed)
        gradients.append(dict(network.named_parameters())[name].grad.numpy().astype(np.float64))
        optimizer.step(1.0)
    np.testing.assert_allclose(
        values(network)[name], plain_adamw(before, gradients, decay), atol=1e-6
    )


def test_every_matrix_is_stepped_by_adamw_where_that_was_chosen(make):
    network, optimizer = make("adamw")
    before = values(network)
    gradient = network.enter.weight.grad.numpy().astype(np.float64)
    optimizer.step(1.0)
    expected = plain_adamw(before["enter.weight"], [gradient], 0.1)
    np.testing.assert_allclose(values(network)["enter.weight"], expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_half_the_rate_is_half_the_step(make, kind):
    steps = []
    for share in (1.0, 0.5):
        network, optimizer = make(kind, weight_decay=0.0)
        before = values(network)
        optimizer.step(share)
        steps.append({name: value - before[name] for name, value in values(network).items()})
    for name, step in steps[0].items():
        np.testing.assert_allclose(steps[1][name], step / 2, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_what_is_remembered_can_be_handed_on_to_the_last_bit(make, kind):
    network, optimizer = make(kind)
    optimizer.step(1.0)
    twin, resumed = make(kind)
    twin.load_state_dict(network.state_dict())
    resumed.load_state(optimizer.state())
    for net, one in ((network, optimizer), (twin, resumed)):
        draw(net, 5)
        one.step(0.7)
    twins = dict(twin.named_parameters())
    assert all(p.equal(twins[name]) for name, p in network.named_parameters())
    assert all(value.equal(resumed.state()[name]) for name, value in optimizer.state().items())


def test_before_the_first_step_nothing_is_remembered(make):
    _, optimizer = make()
    assert optimizer.state() == {}


def test_a_forgotten_gradient_changes_nothing(make):
    network, optimizer = make()
    before = values(network)
    optimizer.clear()
    optimizer.step(1.0)
    assert all((value == before[name]).all() for name, value in values(network).items())
