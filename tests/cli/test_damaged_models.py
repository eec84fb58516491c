"""One damaged record of a training stops nobody who did not ask for that model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import memlm as package
from memlm.errors import CorruptArtefactError

DAMAGES = [
    pytest.param("{", id="no JSON"),
    pytest.param("[]", id="a list"),
    pytest.param("{}", id="nothing in it"),
    pytest.param({"started": 1}, id="a date that is a number"),
    pytest.param({"status": "odd"}, id="a status that is none"),
    pytest.param({"made_from": {}}, id="made from nothing"),
    pytest.param({"plan": {}}, id="a plan without a network"),
    pytest.param({"labels": [1]}, id="labels in a list"),
    pytest.param({"results": {}}, id="results without any"),
    pytest.param({"config": None}, id="no configuration"),
]


@pytest.fixture
def damage(memlm, trained, fast):
    """Return what damages the record of the newer of two models."""
    assert memlm("train", trained, *fast, "--name", "newer").code == 0

    def write(content: object) -> Path:
        path = trained / "models" / "newer" / "run.json"
        if isinstance(content, dict):
            content = json.dumps(json.loads(path.read_text(encoding="utf-8")) | content)
        path.write_text(content, encoding="utf-8")
        return trained

    return write


@pytest.mark.parametrize("content", DAMAGES)
def test_a_damaged_model_is_passed_over_and_named(memlm, damage, content):
    found = memlm("generate", damage(content), "the", "--tokens", "2", "--json")
    assert found.code == 0, found.err
    assert found.json["model"] == "lstm-1"
    assert "newer" in found.err


@pytest.mark.parametrize("content", DAMAGES)
def test_a_damaged_model_that_was_named_ends_with_3(memlm, damage, content):
    words = ("the", "--tokens", "2", "--model", "newer", "--json")
    found = memlm("generate", damage(content), *words)
    assert found.code == 3, found.err
    assert "run.json" in found.error["message"]


@pytest.mark.parametrize("content", DAMAGES)
def test_a_damaged_training_that_was_named_cannot_be_resumed(memlm, damage, content):
    found = memlm("train", damage(content), "--resume", "--name", "newer", "--json")
    assert found.code == 3, found.err


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("content", DAMAGES)
def test_info_lists_a_damaged_model_as_such(memlm, damage, content, language):
    workspace = damage(content)
    assert "newer" in memlm("info", workspace, "--language", language).out
    models = memlm("info", workspace, "--json").json["models"]
    assert {part["model"]: part["status"] for part in models} == {
        "lstm-1": "finished", "newer": "damaged",
    }  # fmt: skip


def test_a_workspace_whose_only_model_is_damaged_says_so_and_trains_no_other(memlm, trained):
    (trained / "models" / "lstm-1" / "run.json").write_text("{", encoding="utf-8")
    assert memlm("generate", trained, "the", "--json").code == 3
    assert [path.name for path in (trained / "models").iterdir()] == ["lstm-1"]


def test_python_is_given_the_sound_model_too(damage):
    assert package.load_model(damage("{")).name == "lstm-1"


def test_python_is_told_of_the_only_model(trained):
    (trained / "models" / "lstm-1" / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(CorruptArtefactError):
        package.load_model(trained)


def test_another_training_begins_beside_a_damaged_one(memlm, damage, fast):
    assert memlm("train", damage("{"), *fast).code == 0


@pytest.mark.parametrize("tokenizer", [1, None, "../x", ["char"]], ids=str)
@pytest.mark.parametrize("command", ["prepare", "train"])
def test_settings_that_are_not_as_memlm_writes_them_end_with_3(memlm, trained, tokenizer, command):
    path = trained / "workspace.json"
    found = json.loads(path.read_text(encoding="utf-8")) | {"tokenizer": tokenizer}
    path.write_text(json.dumps(found), encoding="utf-8")
    done = memlm(command, trained, "--json")
    assert done.code == 3, done.err
    assert "workspace.json" in done.error["message"]


# -- which training is taken up -----------------------------------------------------------------


def test_a_training_that_diverged_is_taken_up_only_by_its_name(memlm, trained, fast):
    assert memlm("train", trained, *fast, "--learning-rate", "1e38", "--name", "odd").code == 5
    found = memlm("train", trained, "--resume", "--json")
    assert found.error["code"] == "nothing_to_resume"
    # It diverges again: it was taken up.
    assert memlm("train", trained, "--resume", "--name", "odd").code == 5


def test_a_damaged_training_is_not_taken_up(memlm, damage):
    found = memlm("train", damage("{"), "--resume", "--json")
    assert found.error["code"] == "nothing_to_resume"
