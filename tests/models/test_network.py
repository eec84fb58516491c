"""Networks on disk: written and read, and refused when they do not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from memlm.errors import CorruptArtefactError
from memlm.models.network import build_network, load_network
from memlm.models.network_model import NetworkModel

CPU = torch.device("cpu")


@pytest.fixture(params=["plain", "tied", "labelled", "transformer"])
def config(request, make_config):
    more = {
        "plain": {},
        "tied": {"embedding_width": 7, "is_tied": True},
        "labelled": {"label_tokens": (1, 2)},
        "transformer": {"kind": "transformer", "hidden_width": 8, "window": 3},
    }
    return make_config(**more[request.param])


@pytest.fixture
def folder(tmp_path: Path, config) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(config.to_json()), encoding="utf-8")
    save_file(build_network(config, seed=4).weights(), tmp_path / "model.safetensors")
    return tmp_path


def test_a_loaded_network_predicts_what_the_saved_one_did(folder, config):
    tokens = np.array([[0, 1, 5, 6]])
    before, after = (
        NetworkModel(build_network(config, seed=4)),
        NetworkModel(load_network(folder, device=CPU)),
    )
    expected, _ = before.read(before.start(1), tokens)
    found, _ = after.read(after.start(1), tokens)
    assert np.array_equal(found, expected)


def test_a_loaded_network_is_not_in_training_mode(folder):
    assert not load_network(folder, device=CPU).training


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _lose_a_tensor(path: Path) -> None:
    weights = load_file(path)
    weights["padding"] = weights.pop("embed.weight")
    save_file(weights, path)


def _change_a_shape(path: Path) -> None:
    weights = load_file(path)
    weights["embed.weight"] = torch.zeros(99)
    save_file(weights, path)


def _claim_a_huge_header(path: Path) -> None:
    path.write_bytes((2**62).to_bytes(8, "little") + path.read_bytes()[8:])


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(_truncate, id="cut short"),
        pytest.param(_lose_a_tensor, id="a tensor of another name"),
        pytest.param(_change_a_shape, id="a tensor of another shape"),
        pytest.param(_claim_a_huge_header, id="an impossible header"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(b"\x80\x04pickle" * 500), id="a pickle"),
        pytest.param(Path.unlink, id="gone"),
    ],
)
def test_weights_that_are_not_what_was_written_are_corrupt(folder, damage):
    damage(folder / "model.safetensors")
    with pytest.raises(CorruptArtefactError, match=r"model\.safetensors"):
        load_network(folder, device=CPU)


def test_a_configuration_of_another_size_is_noticed(folder):
    path = folder / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(fields | {"vocabulary_size": 9}), encoding="utf-8")
    with pytest.raises(CorruptArtefactError):
        load_network(folder, device=CPU)


def test_a_configuration_that_claims_a_giant_takes_no_memory(folder):
    path = folder / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(fields | {"blocks": fields["blocks"] * 900}), encoding="utf-8")
    with pytest.raises(CorruptArtefactError):
        load_network(folder, device=CPU)


def test_a_configuration_that_is_no_json_is_corrupt(folder):
    (folder / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(CorruptArtefactError, match=r"config\.json"):
        load_network(folder, device=CPU)


def test_onednn_is_as_it_was_after_a_single_step(make_config):
    model = NetworkModel(build_network(make_config()))
    before = torch.backends.mkldnn.enabled
    model.advance(model.start(1), np.array([1]))
    assert torch.backends.mkldnn.enabled == before


def test_weights_written_before_there_were_blocks_are_read(folder, config):
    path = folder / "model.safetensors"
    before = {
        re.sub(r"blocks\.(\d)\.layer\.(.*)_l0", r"recurrent.\2_l\1", name): weights
        for name, weights in load_file(path).items()
    }
    save_file(before, path)
    loaded = load_network(folder, device=CPU).weights()
    assert all(
        torch.equal(loaded[name], w) for name, w in build_network(config, seed=4).weights().items()
    )
