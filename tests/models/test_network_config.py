"""The record that describes a network counts its parameters and refuses nonsense."""

from __future__ import annotations

import json

import pytest

from memlm.errors import CorruptArtefactError
from memlm.models import NetworkConfig
from memlm.models.network import build_network

SHAPES = [
    pytest.param({"kind": "lstm"}, id="lstm"),
    pytest.param({"kind": "gru"}, id="gru"),
    pytest.param({"kind": "lstm", "layers": 3}, id="three layers"),
    pytest.param({"kind": "gru", "embedding_width": 7, "is_tied": True}, id="tied"),
    pytest.param({"kind": "lstm", "label_tokens": (1, 2, 3)}, id="labels"),
    pytest.param(
        {"kind": "lstm", "layers": 2, "embedding_width": 40, "hidden_width": 40, "is_tied": True,
         "label_tokens": (2,)},
        id="all of it",
    ),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_num_parameters_equals_the_number_of_trainable_values(make_config, shape):
    config = make_config(**shape)
    network = build_network(config)
    assert config.num_parameters == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("shape", SHAPES)
def test_json_gives_the_same_configuration_back(make_config, shape):
    config = make_config(**shape)
    fields = json.loads(json.dumps(config.to_json()))
    assert NetworkConfig.from_json(fields, path="config.json") == config


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"kind": "transformer9"}, id="a kind that does not exist"),
        pytest.param({"hidden_width": "7"}, id="a width in words"),
        pytest.param({"hidden_width": -7}, id="a negative width"),
        pytest.param({"layers": 0}, id="no layers"),
        pytest.param({"layers": True}, id="a truth value for a number"),
        pytest.param({"vocabulary_size": 2.5}, id="half a symbol"),
        pytest.param({"dropout": 1.0}, id="everything dropped"),
        pytest.param({"dropout": "no"}, id="dropout in words"),
        pytest.param({"is_tied": True}, id="tied with different widths"),
        pytest.param({"label_tokens": [99]}, id="a label outside the vocabulary"),
        pytest.param({"label_tokens": [0]}, id="a label that is the end token"),
        pytest.param({"label_tokens": None}, id="no list of labels"),
        pytest.param({"surprise": 1}, id="an unknown field"),
    ],
)
def test_a_configuration_that_no_network_can_have_is_corrupt(make_config, change):
    fields = make_config().to_json() | change
    with pytest.raises(CorruptArtefactError):
        NetworkConfig.from_json(fields, path="config.json")


def test_a_missing_field_is_corrupt(make_config):
    fields = make_config().to_json()
    del fields["hidden_width"]
    with pytest.raises(CorruptArtefactError):
        NetworkConfig.from_json(fields, path="config.json")


def test_counting_the_parameters_of_absurdly_many_layers_takes_no_time(make_config):
    one, many = make_config(layers=1), make_config(layers=10**12)
    each = make_config(layers=2).num_parameters - one.num_parameters
    assert many.num_parameters == one.num_parameters + (10**12 - 1) * each
