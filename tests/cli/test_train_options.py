"""What `train` can be told of its loop, and what it says of it."""

from __future__ import annotations

import json

import pytest

from memlm.errors import ResourceError
from memlm.runtime import is_installed

PHASES = ("--phases", "0.5:2x8,0.5:4x16")
RECIPE = (
    "--optimizer", "muon", "--muon-learning-rate", "0.01", "--schedule", "cosine",
    "--accumulate", "2", "--average-weights", "0.2", "--patience", "7", "--precision", "float32",
    "--compile", "off", *PHASES,
)  # fmt: skip


def _plan(workspace, name):
    return json.loads((workspace / "models" / name / "run.json").read_text("utf-8"))["plan"]


def test_a_recipe_that_was_said_is_the_plan(memlm, trained, fast):
    assert memlm("train", trained, *fast, *RECIPE, "--name", "mine").code == 0
    plan = _plan(trained, "mine")
    assert (plan["optimizer"], plan["muon_learning_rate"]) == ("muon", 0.01)
    assert (plan["schedule"], plan["accumulate"], plan["patience"]) == ("cosine", 2, 7)
    assert (plan["average_share"], plan["precision"], plan["is_compiled"]) == (
        0.2,
        "float32",
        False,
    )
    assert [phase["steps"] for phase in plan["phases"]] == [4, 4]
    assert memlm("generate", trained, "the", "--model", "mine", "--tokens", "4").code == 0


@pytest.mark.parametrize("language", ["en", "zh"])
def test_help_explains_every_option_of_the_loop(memlm, language):
    said = memlm("train", "--help", "--language", language).out
    for option in RECIPE[::2]:
        assert option in said
    assert "--strict-resume" in said


@pytest.fixture
def stopped(memlm, trained, fast, monkeypatch):
    """Return a workspace with a training that was stopped before its first step."""
    with monkeypatch.context() as patch:
        patch.setattr("memlm.runtime.SignalWatch.name", "SIGTERM")
        assert memlm("train", trained, *fast, "--name", "mine").code == 143
    return trained


@pytest.mark.parametrize(
    ("language", "words"), [("en", "not bit-exact"), ("zh", "不能逐位一致")], ids=["en", "zh"]
)
def test_resuming_with_other_threads_says_that_it_is_not_exact(memlm, stopped, language, words):
    found = memlm("train", stopped, "--resume", "--threads", "2", "--language", language)
    assert found.code == 0
    assert words in found.err
    assert "threads 1 -> 2" in found.err


def test_resuming_strictly_with_other_threads_is_refused(memlm, stopped):
    found = memlm("train", stopped, "--strict-resume", "--threads", "2", "--json")
    assert found.code == 2
    assert found.error["code"] == "resume_inexact"
    assert "threads 1 -> 2" in found.error["message"]


def test_resuming_strictly_goes_on_where_nothing_has_changed(memlm, stopped):
    found = memlm("train", stopped, "--strict-resume", "--json")
    assert found.code == 0
    assert found.json["steps"] == 8
    assert "bit-exact" not in found.err


def test_every_changed_option_is_shown_in_one_line(memlm, stopped):
    found = memlm("train", stopped, "--resume", "--hidden-width", "9", "--seed", "3", "--json")
    assert found.code == 2
    assert "--hidden-width 8 -> 9, --seed 0 -> 3" in found.error["message"]


@pytest.fixture
def begun(memlm, trained, fast, monkeypatch):
    """Return a workspace with a stopped training that was told what is no default."""
    with monkeypatch.context() as patch:
        patch.setattr("memlm.runtime.SignalWatch.name", "SIGTERM")
        words = ("--schedule", "cosine", "--accumulate", "2", "--weight-decay", "0.1")
        assert memlm("train", trained, *fast, *words, "--name", "mine").code == 143
    return trained


def test_an_option_that_says_its_default_is_refused_where_it_was_another(memlm, begun):
    words = ("--schedule", "auto", "--accumulate", "1", "--weight-decay", "0.01")
    found = memlm("train", begun, "--resume", *words, "--json")
    assert (found.code, found.error["code"]) == (2, "resume_changed")
    changes = "--accumulate 2 -> 1, --schedule cosine -> auto, --weight-decay 0.1 -> 0.01"
    assert changes in found.error["message"]


def test_a_default_from_a_file_is_refused_where_it_was_another(memlm, begun, tmp_path):
    (tmp_path / "run.toml").write_text("weight_decay = 0.01\n[train]\naccumulate = 1\n", "utf-8")
    found = memlm("train", begun, "--resume", "--config", tmp_path / "run.toml", "--json")
    changes = "--accumulate 2 -> 1, --weight-decay 0.1 -> 0.01"
    assert changes in found.error["message"]


def test_options_of_preparing_that_differ_are_refused_with_the_others(memlm, begun):
    words = ("--tokenizer", "word", "--vocabulary-size", "50", "--held-out-share", "0.5")
    found = memlm("train", begun, "--resume", *words, "--accumulate", "1", "--json")
    assert (found.code, found.error["code"]) == (2, "resume_changed")
    for change in ("--accumulate 2 -> 1", "--tokenizer char -> word",
                   "--vocabulary-size auto -> 50", "--held-out-share"):  # fmt: skip
        assert change in found.error["message"]


def test_files_to_hold_out_are_refused_with_resume(memlm, begun, sample):
    found = memlm("train", begun, "--resume", "--held-out", sample, "--json")
    assert (found.code, found.error["code"]) == (2, "options_exclude")


def test_options_that_say_what_it_began_with_are_welcome(memlm, begun):
    words = ("--schedule", "cosine", "--accumulate", "2", "--weight-decay", "0.1", "--seed", "0")
    preparing = ("--tokenizer", "char", "--threads", "1")
    found = memlm("train", begun, "--resume", *words, *preparing, "--json")
    assert (found.code, found.json["steps"]) == (0, 8)


def test_a_checkpoint_that_finds_no_room_ends_with_four(memlm, trained, fast, monkeypatch):
    def full(folder: object, *, size_bytes: float) -> None:
        raise ResourceError("disk_full", path=folder, needed_mb=9.0, free_mb=1.0)

    monkeypatch.setattr("memlm.train.checkpoint.require_free_disk", full)
    found = memlm("train", trained, *fast, "--checkpoint-every", "2", "--name", "mine", "--json")
    assert (found.code, found.error["code"]) == (4, "disk_full")
    monkeypatch.undo()
    assert memlm("train", trained, "--resume", "--name", "mine", "--json").json["steps"] == 8


def test_an_end_for_want_of_gain_is_said(memlm, trained, fast, monkeypatch):
    monkeypatch.setattr("memlm.train.training.Training.has_lost_patience", property(_after_three))
    found = memlm("train", trained, *fast, "--patience", "2", "--language", "en", "--json")
    assert found.json["steps"] == 3
    assert found.json["stopped_by"] is None
    assert "has not fallen for 2 validations: ended after step 3" in found.err


def _after_three(training) -> bool:
    return training.step >= 3


@pytest.mark.parametrize(
    ("threads", "words"), [("1", "go on later"), ("2", "--threads 1"), ("3", "--threads 2")]
)
def test_a_crowded_machine_is_said_once_with_what_to_do(
    memlm, trained, fast, monkeypatch, threads, words
):
    class Crowded:
        waiting = 0.5

        def __init__(self) -> None:
            self.notices = iter([False, True, *[False] * 9]).__next__

    monkeypatch.setattr("memlm.train.crowding.CrowdWatch", Crowded)
    monkeypatch.setattr("memlm.workflow.training.available_cores", lambda: 2)
    words_of_training = list(fast)
    words_of_training[fast.index("--threads") + 1] = threads
    found = memlm("train", trained, *words_of_training, "--language", "en")
    said = " ".join(found.err.split())
    assert said.count("50%") == 1
    assert words in said


@pytest.mark.parametrize(("language", "words"), [("en", "Curves"), ("zh", "损失曲线")])
def test_the_end_names_the_curves(memlm, trained, fast, language, words):
    found = memlm("train", trained, *fast, "--name", "mine", "--language", language)
    (line,) = [line for line in found.out.splitlines() if words in line]
    assert str(trained / "models" / "mine" / "curves.svg") in line
    assert (trained / "models" / "mine" / "curves.svg").exists()


def test_curves_are_named_in_json_too(memlm, trained, fast):
    found = memlm("train", trained, *fast, "--name", "mine", "--json").json
    assert found["curves"] == "models/mine/curves.svg"
    assert (trained / found["curves"]).exists()


def test_a_stop_before_the_first_step_names_no_curves(memlm, trained, fast, monkeypatch):
    monkeypatch.setattr("memlm.runtime.SignalWatch.name", "SIGTERM")
    assert memlm("train", trained, *fast, "--json").json["curves"] is None
    assert "curves.svg" not in memlm("train", trained, *fast).err


@pytest.mark.skipif(is_installed("tensorboard"), reason="this tests its absence")
def test_tensorboard_that_is_missing_comes_with_its_command(memlm, trained, fast):
    found = memlm("train", trained, *fast, "--tensorboard", "--name", "mine", "--json")
    assert (found.code, found.error["code"]) == (4, "extra_missing")
    assert "pip install 'memlm[tensorboard]'" in found.error["hint"]
    assert not (trained / "models" / "mine").exists()


@pytest.mark.skipif(not is_installed("tensorboard"), reason="needs memlm[tensorboard]")
def test_tensorboard_finds_its_files_beside_the_model(memlm, trained, fast):
    assert memlm("train", trained, *fast, "--tensorboard", "--name", "mine").code == 0
    files = list((trained / "models" / "mine" / "tensorboard").iterdir())
    assert len(files) == 1
    assert files[0].name.startswith("events.out.tfevents.")


def test_no_event_files_are_written_unasked(memlm, trained, fast):
    assert memlm("train", trained, *fast, "--name", "mine").code == 0
    assert not (trained / "models" / "mine" / "tensorboard").exists()
