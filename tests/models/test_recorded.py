"""Recorded steps say what steps say, whatever the past; on a GPU they are CUDA graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memlm.models import NetworkConfig, describe_network
from memlm.models.network import Network, build_network
from memlm.models.network_model import NetworkModel
from memlm.models.recorded import Outcome, RecordedSteps

SIZES = {"vocabulary_size": 30, "embedding_width": 16, "hidden_width": 16, "layers": 2}
CONFIGS = {
    "lstm": describe_network("lstm", **SIZES, label_tokens=(2, 3)),
    "gru and attention": describe_network("gru-attention", **SIZES, window=3),
    "transformer of a window": describe_network("transformer", **SIZES, window=70, heads=2),
    "transformer": describe_network("transformer", **SIZES, heads=2),
    "mixed": describe_network("mixed", **SIZES, window=1, heads=1),
}
has_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=has_gpu)]


def _network(config: NetworkConfig, device: str = "cpu") -> Network:
    network = build_network(config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():  # far from uniform, as a trained network is
        for weights in network.parameters():
            weights.normal_(std=0.4, generator=generator)
    return network.to(device).eval()


class Recorder:
    """Records as a graph does: the same memory for every outcome; and counts."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, compute):
        self.times += 1
        kept: Outcome = compute()

        def replay() -> Outcome:
            for place, value in zip(_parts(kept), _parts(compute()), strict=True):
                place.copy_(value)
            return kept

        return replay


def _parts(outcome: Outcome) -> list[torch.Tensor]:
    return [outcome[0], outcome[1], *outcome[2]]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@torch.no_grad()
def test_a_recorded_step_is_the_step(config):
    network, recorder = _network(config), Recorder()
    recorded = RecordedSteps(network, recorder)
    tokens = torch.randint(30, (3, 150), generator=torch.Generator().manual_seed(3))
    expected, state = network.start(3), network.start(3)
    for step in range(150):
        logits, hidden, expected = network.forward_hidden(tokens[:, step : step + 1], expected)
        before = [part.clone() for part in state]
        found, shown, after = recorded.step(tokens[:, step : step + 1], state)
        assert all(map(torch.equal, before, state))  # a given state is left as it was
        torch.testing.assert_close(found, logits, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(shown, hidden, rtol=1e-4, atol=1e-5)
        assert [part.shape for part in after] == [part.shape for part in expected]
        state = after
    assert recorder.times <= 3  # rooms of 64, 128 and 256 positions, or of the window


@torch.no_grad()
def test_outcomes_of_earlier_steps_are_not_written_over():
    network = _network(CONFIGS["transformer"])
    recorded = RecordedSteps(network, Recorder())
    first = recorded.step(torch.tensor([[4], [5]]), network.start(2))
    kept = [part.clone() for part in _parts(first)]
    recorded.step(torch.tensor([[6], [7]]), first[2])
    assert all(map(torch.equal, kept, _parts(first)))


@torch.no_grad()
def test_where_nothing_can_be_recorded_steps_are_taken_as_ever():
    def refuse(compute):
        raise RuntimeError("no graphs here")

    network = _network(CONFIGS["transformer"])
    tokens = torch.tensor([[4], [5]])
    found = RecordedSteps(network, refuse).step(tokens, network.start(2))
    expected = network.forward_hidden(tokens, network.start(2))
    assert all(map(torch.equal, _parts(found), _parts(expected)))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_model_that_expects_steps_says_the_same(config, device):
    network = _network(config, device)
    patient, eager = NetworkModel(network), NetworkModel(network)
    patient.expect(1000)
    tokens = np.random.default_rng(4).integers(30, size=(2, 90))
    one, other = patient.start(2), eager.start(2)
    for step in range(90):
        found, one = patient.advance(one, tokens[:, step])
        expected, other = eager.advance(other, tokens[:, step])
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
