"""`memlm models`: which models are there, and keeping house among them."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from memlm.cli.console import out
from memlm.storage import WriterLock


class Terminal(io.StringIO):
    """Standard input with a person at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def answer(monkeypatch):
    """Return what lets a person type an answer."""
    return lambda text: monkeypatch.setattr(sys, "stdin", Terminal(text + "\n"))


@pytest.fixture(scope="module")
def stopped_once(trained_once, tmp_path_factory) -> Path:
    """Return a workspace with a second model, whose training was stopped after step 4 of 8."""
    from memlm.train import TrainConfig
    from memlm.train.run import start_run
    from memlm.workflow.preparing import open_tokens
    from memlm.workspace import open_workspace

    path = Path(shutil.copytree(trained_once, tmp_path_factory.mktemp("stopped") / "ws"))
    opened = open_workspace(path)
    made_from = json.loads((path / "models" / "lstm-1" / "run.json").read_text())["made_from"]
    config = TrainConfig(
        steps=8, hidden_width=8, embedding_width=8, threads=1, device="cpu", checkpoint_every=2
    )
    store = open_tokens(opened.prepared("char"))
    run = start_run(opened.model("half"), store, config, made_from=made_from)
    for _ in run.steps(should_stop=lambda: run.training.step == 4):
        pass
    run.finish(stopped_by="SIGINT")
    return path


@pytest.fixture
def stopped(stopped_once, tmp_path) -> Path:
    return Path(shutil.copytree(stopped_once, tmp_path / "ws"))


def crash(ws, name):
    """Make a stopped training one that was killed: it has checkpoints and no model."""
    folder = ws / "models" / name
    (folder / "manifest.json").unlink()
    run = json.loads((folder / "run.json").read_text("utf-8")) | {"status": "running"}
    (folder / "run.json").write_text(json.dumps(run), "utf-8")


def names(ws):
    return sorted(path.name for path in (ws / "models").iterdir())


def checkpoints(ws, name):
    return sorted(path.name for path in (ws / "models" / name / "checkpoints").glob("*"))


# -- the list -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "words"), [("en", ("stopped", "checkpoints: 2")), ("zh", ("检查点 2 个",))]
)
def test_models_are_listed_with_loss_state_and_size(memlm, stopped, monkeypatch, language, words):
    monkeypatch.setattr(out, "_width", 120)
    found = memlm("models", stopped, "--language", language)
    assert found.code == 0
    lines = {line.split()[0]: line for line in found.out.splitlines()}
    loss = json.loads((stopped / "models" / "half" / "run.json").read_text())["results"][
        "held_out_nats_per_character"
    ]
    for word in ("lstm", f"{loss:.3f}", " MB", *words):
        assert word in lines["half"]
    assert "lstm-1" in lines


def test_the_list_comes_as_json_oldest_first(memlm, stopped):
    found = memlm("models", stopped, "--json").json
    assert [model["model"] for model in found["models"]] == ["lstm-1", "half"]
    assert {"network", "results", "started", "status", "stale", "bytes"} <= set(found["models"][0])
    assert [model["checkpoints"] for model in found["models"]] == [0, 2]


def test_one_model_is_listed_alone(memlm, stopped):
    found = memlm("models", stopped, "half", "--json").json
    assert [model["model"] for model in found["models"]] == ["half"]


def test_a_workspace_without_models_says_so(memlm, collected):
    assert "no model" in memlm("models", collected, "--language", "en").out
    assert memlm("models", collected, "--json").json["models"] == []


def test_a_damaged_model_is_listed_and_can_be_deleted(memlm, stopped):
    (stopped / "models" / "half" / "run.json").write_text("{", "utf-8")
    assert "damaged" in memlm("models", stopped, "--language", "en").out
    assert memlm("models", stopped, "--delete", "half", "--yes").code == 0
    assert names(stopped) == ["lstm-1"]


# -- renaming -----------------------------------------------------------------------------------


def test_a_renamed_model_is_the_same_model(memlm, trained):
    words = ("generate", trained, "the", "--tokens", "9", "--seed", "3", "--json")
    before = memlm(*words).json["text"]
    found = memlm("models", trained, "--rename", "lstm-1", "小猫", "--json").json
    assert found == {"model": "小猫", "renamed_from": "lstm-1"}
    assert names(trained) == ["小猫"]
    assert memlm(*words, "--model", "小猫").json["text"] == before


@pytest.mark.parametrize(
    ("new", "code"),
    [("half", "model_name_taken"), ("a/b", "model_name"), ("..", "model_name"), ("", "model_name")],
)
def test_a_name_that_is_taken_or_none_is_refused(memlm, stopped, new, code):
    found = memlm("models", stopped, "--rename", "lstm-1", new, "--json")
    assert (found.code, found.error["code"]) == (2, code)
    assert names(stopped) == ["half", "lstm-1"]


@pytest.mark.parametrize(
    "words",
    [
        ("--rename", "nobody", "other"), ("--delete", "nobody", "--yes"),
        ("--prune-checkpoints", "nobody"), ("nobody",),
    ],
    ids=["rename", "delete", "prune", "list"],
)  # fmt: skip
def test_a_model_that_is_not_there_is_named_with_those_that_are(memlm, stopped, words):
    found = memlm("models", stopped, *words, "--json")
    assert (found.code, found.error["code"]) == (2, "model_missing")
    assert "nobody" in found.error["message"]
    assert "lstm-1, half" in found.error["hint"]


# -- deleting -----------------------------------------------------------------------------------


def test_deleting_asks_and_yes_deletes(memlm, stopped, answer):
    answer("y")
    found = memlm("models", stopped, "--delete", "half", "--language", "en")
    assert found.code == 0
    assert "Delete the model half (" in found.err
    assert names(stopped) == ["lstm-1"]


@pytest.mark.parametrize("said", ["n", "", "delete"])
def test_anything_but_yes_deletes_nothing(memlm, stopped, answer, said):
    answer(said)
    found = memlm("models", stopped, "--delete", "half", "--json").json
    assert found == {"model": "half", "deleted": False, "bytes": 0}
    assert names(stopped) == ["half", "lstm-1"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--delete", "half"), "delete_needs_yes"),
        (("--prune-checkpoints",), "checkpoints_need_yes"),
    ],
    ids=["delete", "prune"],
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_outside_a_terminal_nothing_goes_without_yes(memlm, stopped, words, code, language):
    found = memlm("models", stopped, *words, "--json", "--language", language)
    assert (found.code, found.error["code"]) == (2, code)
    assert "--yes" in found.error["hint"]
    assert names(stopped) == ["half", "lstm-1"]
    assert len(checkpoints(stopped, "half")) == 3


def test_yes_deletes_without_a_question_and_says_what_that_freed(memlm, stopped):
    found = memlm("models", stopped, "--delete", "half", "--yes", "--json").json
    assert found["deleted"] is True
    assert found["bytes"] > 1000
    assert names(stopped) == ["lstm-1"]


def test_what_a_crash_left_half_deleted_is_gone_with_the_next_command(memlm, stopped, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("memlm.storage.shutil.rmtree", lambda path: 1 / 0)
        assert memlm("models", stopped, "--delete", "half", "--yes").code == 1
    assert memlm("models", stopped, "--json").json["models"][-1]["model"] == "lstm-1"
    assert memlm("models", stopped, "--rename", "lstm-1", "other").code == 0
    assert names(stopped) == ["other"]


# -- pruning ------------------------------------------------------------------------------------


def test_a_written_model_loses_its_checkpoints_and_stays(memlm, stopped, answer):
    answer("yes")
    found = memlm("models", stopped, "--prune-checkpoints", "--language", "en")
    assert "Delete 2 checkpoints of half (" in found.err
    assert "Checkpoints deleted: 2" in found.out
    assert not (stopped / "models" / "half" / "checkpoints").exists()
    assert memlm("generate", stopped, "the", "--model", "half", "--tokens", "4").code == 0


def test_a_training_without_checkpoints_never_begins_again_from_nothing(memlm, stopped):
    memlm("models", stopped, "--prune-checkpoints", "half", "--yes")
    found = memlm("train", stopped, "--resume", "--name", "half", "--json")
    assert (found.code, found.error["code"]) == (2, "resume_finished")
    found = memlm("train", stopped, "--resume", "--json")
    assert found.error["code"] == "nothing_to_resume"


def test_a_training_that_was_killed_keeps_its_newest_checkpoint(memlm, stopped):
    crash(stopped, "half")
    found = memlm("models", stopped, "--prune-checkpoints", "--yes", "--json").json
    assert (found["models"], found["checkpoints"]) == (["half"], 1)
    assert checkpoints(stopped, "half") == ["latest", "step-000004"]
    assert memlm("train", stopped, "--resume", "--json").json["steps"] == 8


def test_of_damaged_checkpoints_the_newest_sound_one_stays(memlm, stopped):
    crash(stopped, "half")
    folder = stopped / "models" / "half" / "checkpoints"
    (folder / "step-000004" / "model.safetensors").write_bytes(b"")
    memlm("models", stopped, "--prune-checkpoints", "half", "--yes")
    assert checkpoints(stopped, "half") == ["latest", "step-000002"]
    assert (folder / "latest").read_text("ascii") == "step-000002\n"


def test_where_no_checkpoint_is_sound_all_stay(memlm, stopped):
    crash(stopped, "half")
    for path in (stopped / "models" / "half" / "checkpoints").glob("step-*"):
        (path / "model.safetensors").write_bytes(b"")
    found = memlm("models", stopped, "--prune-checkpoints", "--json").json
    assert found == {"models": [], "checkpoints": 0, "bytes": 0}
    assert len(checkpoints(stopped, "half")) == 3


def test_a_model_of_an_earlier_stop_does_not_cost_the_steps_since(memlm, stopped):
    run = stopped / "models" / "half" / "run.json"
    changed = json.loads(run.read_text("utf-8")) | {"status": "running"}
    run.write_text(json.dumps(changed), "utf-8")  # resumed, then killed: the manifest is there
    memlm("models", stopped, "--prune-checkpoints", "--yes")
    assert checkpoints(stopped, "half") == ["latest", "step-000004"]


def test_nothing_to_prune_is_no_question(memlm, trained):
    found = memlm("models", trained, "--prune-checkpoints", "--language", "en")
    assert (found.code, "Checkpoints deleted: 0" in found.out) == (0, True)


# -- what goes together -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("--rename", "half", "other"), ("--delete", "half", "--yes"),
        ("--prune-checkpoints", "--yes"),
    ],
    ids=["rename", "delete", "prune"],
)  # fmt: skip
def test_nothing_is_touched_while_another_process_writes(memlm, stopped, words):
    lock = WriterLock(stopped / "lock")
    lock.acquire()
    try:
        found = memlm("models", stopped, *words, "--json")
    finally:
        lock.release()
    assert (found.code, found.error["code"]) == (2, "workspace_busy")
    assert names(stopped) == ["half", "lstm-1"]
    assert len(checkpoints(stopped, "half")) == 3


@pytest.mark.parametrize(
    "words",
    [
        ("--rename", "half", "other", "--delete", "half", "--yes"),
        ("half", "--delete", "lstm-1", "--yes"),
        ("--prune-checkpoints", "--delete", "half", "--yes"),
    ],
)
def test_two_wishes_at_once_are_refused(memlm, stopped, words):
    found = memlm("models", stopped, *words, "--json")
    assert (found.code, found.error["code"]) == (2, "options_exclude")
    assert names(stopped) == ["half", "lstm-1"]
