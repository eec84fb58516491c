"""Hidden states: what the output layer reads, beside log-probabilities that do not change by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memlm.models.network import build_network
from memlm.models.network_model import NetworkModel

TOKENS = np.array([[0, 2, 5, 6, 7], [0, 3, 9, 9, 4]])
KINDS = [
    pytest.param({"kind": "lstm"}, id="lstm"),
    pytest.param({"kind": "gru", "is_tied": True, "embedding_width": 7}, id="tied gru"),
    pytest.param({"kind": "lstm", "dropout": 0.5, "label_tokens": (2, 3)}, id="labels, dropout"),
    pytest.param({"kind": "lstm", "cutoffs": (4, 8), "hidden_width": 16}, id="clusters"),
    pytest.param({"kind": "transformer", "hidden_width": 8, "heads": 2}, id="transformer"),
]


@pytest.fixture(params=KINDS)
def model(request, make_config) -> NetworkModel:
    network = build_network(make_config(**request.param), seed=3)
    for weights in network.parameters():
        if not weights.any():  # what would add nothing at first
            torch.nn.init.normal_(weights, std=0.5)
    return NetworkModel(network)


def test_reading_with_hidden_states_scores_as_reading_does_to_the_bit(model):
    expected, _ = model.read(model.start(2), TOKENS)
    found, _, _ = model.read_hidden(model.start(2), TOKENS)
    assert np.array_equal(found, expected)


def test_advancing_with_hidden_states_scores_as_advancing_does_to_the_bit(model):
    _, state = model.read(model.start(2), TOKENS)
    expected, _ = model.advance(state, TOKENS[:, 1])
    found, _, _ = model.advance_hidden(state, TOKENS[:, 1])
    assert np.array_equal(found, expected)


def test_hidden_states_are_what_the_output_layer_was_given(model):
    given = []
    model.network.output.register_forward_pre_hook(lambda layer, inputs: given.append(inputs[0]))
    _, hidden, _ = model.read_hidden(model.start(2), TOKENS)
    assert (hidden.shape, hidden.dtype) == ((2, 5, model.hidden_size), np.float32)
    if given:  # with labels the layer's weights are used without the layer
        assert np.array_equal(hidden, given[0].numpy())
    else:
        seen = torch.from_numpy(hidden)
        state = model.network.start(2)
        expected, _ = model.network(torch.from_numpy(TOKENS), state)
        labels = model.network._labels_in_force(torch.from_numpy(TOKENS), state[-1])
        torch.testing.assert_close(model.network._logits(seen, labels), expected)


def test_hidden_states_step_by_step_are_those_of_reading(model):
    _, expected, last = model.read_hidden(model.start(2), TOKENS)
    state = model.start(2)
    for place in range(TOKENS.shape[1]):
        _, found, state = model.advance_hidden(state, TOKENS[:, place])
        np.testing.assert_allclose(found, expected[:, place], atol=1e-5)
    assert len(state) == len(last)
