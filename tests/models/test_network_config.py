"""The record that describes a network counts its parameters and refuses nonsense."""

from __future__ import annotations

import json

import pytest

from memlm.errors import ConfigError, CorruptArtefactError
from memlm.models import NetworkConfig, block_kinds, describe_network
from memlm.models.network import build_network

BLOCK = {"kind": "lstm", "width": 7, "heads": 0, "window": 0, "is_residual": False}
ATTENTION = {"kind": "attention", "width": 8, "heads": 2, "window": 0, "is_residual": False}
SHAPES = [
    pytest.param({"kind": "lstm"}, id="lstm"),
    pytest.param({"kind": "gru"}, id="gru"),
    pytest.param({"kind": "lstm", "layers": 3}, id="three layers"),
    pytest.param({"kind": "gru", "embedding_width": 7, "is_tied": True}, id="tied"),
    pytest.param({"kind": "lstm", "layers": 3, "is_residual": True}, id="residual"),
    pytest.param(
        {"kind": "mixed", "hidden_width": 8, "layers": 3, "is_residual": True},
        id="residual and transformer",
    ),
    pytest.param({"kind": "lstm", "label_tokens": (1, 2, 3)}, id="labels"),
    pytest.param({"kind": "transformer", "hidden_width": 8}, id="transformer"),
    pytest.param(
        {"kind": "transformer", "hidden_width": 8, "embedding_width": 8, "is_tied": True,
         "layers": 2, "heads": 2, "window": 5, "label_tokens": (1,)},
        id="transformer of two blocks",
    ),
    pytest.param({"kind": "lstm-attention", "hidden_width": 64, "layers": 2}, id="lstm-attention"),
    pytest.param({"kind": "mixed", "hidden_width": 8, "layers": 3}, id="mixed"),
    pytest.param({"kind": "gru+attention+lstm", "hidden_width": 8}, id="blocks by name"),
    pytest.param({"kind": "lstm", "cutoffs": (3, 8), "hidden_width": 20}, id="adaptive softmax"),
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
        pytest.param({"kind": 5}, id="a kind that is a number"),
        pytest.param({"blocks": [BLOCK | {"kind": "lstm9"}]}, id="a block that does not exist"),
        pytest.param({"blocks": [BLOCK | {"width": "7"}]}, id="a width in words"),
        pytest.param({"blocks": [BLOCK | {"width": -7}]}, id="a negative width"),
        pytest.param({"blocks": [BLOCK | {"heads": 2}]}, id="heads where nothing attends"),
        pytest.param(
            {"blocks": [BLOCK, BLOCK | {"width": 8, "is_residual": True}]},
            id="a sum of other widths",
        ),
        pytest.param({"blocks": [BLOCK | {"surprise": 1}]}, id="an unknown field of a block"),
        pytest.param({"blocks": [ATTENTION | {"heads": 0}]}, id="attention without heads"),
        pytest.param({"blocks": [ATTENTION | {"heads": 3}]}, id="heads of no whole width"),
        pytest.param({"blocks": [ATTENTION | {"window": -1}]}, id="a negative window"),
        pytest.param({"blocks": [BLOCK, ATTENTION]}, id="attention of another width"),
        pytest.param({"blocks": [BLOCK] * 1001}, id="too many blocks"),
        pytest.param({"blocks": "lstm"}, id="no list of blocks"),
        pytest.param({"cutoffs": [4, 3]}, id="cutoffs that fall"),
        pytest.param({"cutoffs": [11]}, id="a cutoff at the end"),
        pytest.param({"cutoffs": [3], "label_tokens": [1]}, id="cutoffs and labels"),
        pytest.param({"weight_dropout": 1}, id="all weights dropped"),
        pytest.param({"blocks": []}, id="no blocks"),
        pytest.param({"embedding_width": True}, id="a truth value for a number"),
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


@pytest.mark.parametrize("field", ["blocks", "kind", "vocabulary_size"])
def test_a_missing_field_is_corrupt(make_config, field):
    fields = make_config().to_json()
    del fields[field]
    with pytest.raises(CorruptArtefactError):
        NetworkConfig.from_json(fields, path="config.json")


def test_a_configuration_written_before_there_were_blocks_is_read(make_config):
    earlier = {
        "kind": "gru", "vocabulary_size": 11, "embedding_width": 6, "hidden_width": 7, "layers": 2,
        "dropout": 0.1, "is_tied": False, "label_tokens": [1],
    }  # fmt: skip
    found = NetworkConfig.from_json(earlier, path="config.json")
    assert found == make_config(kind="gru", layers=2, dropout=0.1, label_tokens=(1,))


@pytest.mark.parametrize("layers", [10**12, 0, "2", True])
def test_an_earlier_configuration_of_impossible_depth_is_corrupt(layers):
    earlier = {
        "kind": "gru", "vocabulary_size": 11, "embedding_width": 6, "hidden_width": 7,
        "layers": layers, "dropout": 0.1, "is_tied": False, "label_tokens": [],
    }  # fmt: skip
    with pytest.raises(CorruptArtefactError):
        NetworkConfig.from_json(earlier, path="config.json")


@pytest.mark.parametrize(
    ("kind", "layers", "blocks"),
    [
        ("lstm", 2, ["lstm", "lstm"]),
        ("gru-attention", 2, ["gru", "gru", "attention"]),
        ("transformer", 1, ["transformer"]),
        ("mixed", 3, ["lstm", "transformer", "lstm"]),
        ("mixed", 1, ["lstm", "transformer"]),
        ("lstm+attention+lstm", 5, ["lstm", "attention", "lstm"]),
    ],
)
def test_a_name_stands_for_blocks(kind, layers, blocks):
    assert block_kinds(kind, layers) == blocks


@pytest.mark.parametrize("kind", ["rnn", "attention", "lstm+", "", "lstm,gru", "auto"])
def test_a_name_that_stands_for_nothing_is_refused_with_those_that_do(kind):
    with pytest.raises(ConfigError, match="lstm-attention"):
        block_kinds(kind, 1)


@pytest.mark.parametrize(
    ("heads", "width", "code", "fitting"),
    [
        (7, 128, "heads_unfitting", 8),
        (128, 128, "heads_unfitting", 64),
        (3, 16, "heads_unfitting", 2),
        (0, 33, "width_odd", 32),
        (2, 1, "width_odd", 2),
    ],
)
@pytest.mark.parametrize("kind", ["transformer", "lstm-attention", "lstm+attention", "mixed"])
def test_heads_that_cannot_share_a_width_are_refused_with_what_would_do(
    make_config, kind, heads, width, code, fitting
):
    with pytest.raises(ConfigError) as caught:
        make_config(kind=kind, heads=heads, hidden_width=width)
    assert (caught.value.code, caught.value.values["fitting"]) == (code, fitting)
    better = {"heads": fitting} if code == "heads_unfitting" else {"heads": 0}
    width = fitting if code == "width_odd" else width
    assert make_config(kind=kind, hidden_width=width, **better).blocks[-1].heads


def test_recurrent_blocks_but_the_first_are_told_to_add_to_their_input(make_config):
    config = make_config(kind="mixed", hidden_width=8, layers=4, is_residual=True)
    assert [block.is_residual for block in config.blocks] == [False, False, True, False]


def test_transformer_of_an_earlier_time_keeps_its_output_bias() -> None:
    now = describe_network(
        "transformer", vocabulary_size=9, embedding_width=4, hidden_width=8, layers=1
    )
    assert not now.has_output_bias
    earlier = {name: value for name, value in now.to_json().items() if name != "has_output_bias"}
    before = NetworkConfig.from_json(earlier, path="a test")
    assert before.has_output_bias
    assert before.num_parameters == now.num_parameters + 9
