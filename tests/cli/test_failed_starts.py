"""A training that never took a step leaves no folder, and its name is free again."""

from __future__ import annotations

import pytest

from memlm.errors import ResourceError


def folders(ws):
    return sorted(path.name for path in (ws / "models").iterdir())


def starts_anew(memlm, ws, fast):
    """Say whether the name can be had, and nothing else is there to be resumed."""
    found = memlm("train", ws, "--resume", "--json")
    assert found.error["code"] == "nothing_to_resume"
    return memlm("train", ws, *fast, "--name", "big").code == 0


@pytest.mark.parametrize("length", [("--steps", "8"), ("--minutes", "0.1")])
def test_a_network_that_the_disk_has_no_room_for(memlm, trained, fast, length):
    words = [*length, "--hidden-width", "200000", *fast[4:]]
    found = memlm("train", trained, *words, "--name", "big", "--json")
    assert (found.code, found.error["code"]) == (4, "disk_full")
    assert folders(trained) == ["lstm-1"]
    assert starts_anew(memlm, trained, fast)


PLACES = [
    pytest.param("memlm.train.origin.build_network", id="while the network is built"),
    pytest.param("memlm.train.run.write_json", id="while the record is written"),
    pytest.param("memlm.train.run.TrainingRun.forecast", id="before the first step"),
    pytest.param("memlm.train.training.mean_loss", id="in the first step"),
]
FAILURES = [
    pytest.param(RuntimeError("not enough memory: you tried"), 4, id="memory"),
    pytest.param(ZeroDivisionError(), 1, id="our own mistake"),
    pytest.param(KeyboardInterrupt(), 130, id="Ctrl-C"),
    pytest.param(ResourceError("memory_full"), 4, id="another resource"),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("failure", "code"), FAILURES)
def test_a_failure_leaves_nothing(memlm, trained, fast, monkeypatch, place, failure, code):
    def fail(*given, **named):
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(place, fail)
        assert memlm("train", trained, *fast, "--name", "big", "--json").code == code
    assert folders(trained) == ["lstm-1"]
    assert starts_anew(memlm, trained, fast)


def test_a_failure_after_the_first_step_leaves_a_training_to_resume(
    memlm, trained, fast, monkeypatch
):
    def fail(*given, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("memlm.train.run.log_line", fail)
        assert memlm("train", trained, *fast, "--name", "big", "--json").code == 130
    assert folders(trained) == ["big", "lstm-1"]
    assert memlm("train", trained, "--resume", "--json").json["model"] == "big"


@pytest.mark.parametrize("files", [[], ["tokenizer.json"]], ids=["an empty folder", "a tokenizer"])
def test_what_a_kill_once_left_does_not_take_the_name(memlm, trained, fast, files):
    for folder in ("big", "other"):
        (trained / "models" / folder).mkdir()
        for name in files:
            (trained / "models" / folder / name).write_text("{}")
    assert starts_anew(memlm, trained, fast)
    assert memlm("models", trained, "--rename", "big", "other").code == 0
    assert memlm("generate", trained, "the", "--model", "other", "--tokens", "4").code == 0


def test_a_folder_that_holds_something_else_keeps_its_name(memlm, trained, fast):
    (trained / "models" / "big").mkdir()
    (trained / "models" / "big" / "thesis.txt").write_text("mine")
    found = memlm("train", trained, *fast, "--name", "big", "--json")
    assert (found.code, found.error["code"]) == (2, "model_exists")
    assert (trained / "models" / "big" / "thesis.txt").exists()
