"""Checkpoints on a disk that is full, that fails, or that is cut off at the worst moment."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import memlm.storage as storage
import memlm.train.checkpoint as checkpoint
from memlm.errors import ConfigError, ResourceError
from memlm.runtime import describe_machine
from memlm.storage import clean_leftovers, verify_folder
from memlm.train.learned import data_facts
from memlm.train.resume import machine_changes
from memlm.train.run import resume_run, start_run

MADE_FROM = {"documents": "0" * 32, "tokenizer": "char"}
OUTCOME = ("model.safetensors", "config.json", "steps.jsonl", "tokenizer.json")


class Crash(BaseException):
    """Stands for the end of the process at this line."""


def _outcome(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTCOME}


def _finish(run) -> None:
    for _ in run.steps():
        pass
    run.finish()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


@pytest.fixture(scope="session")
def whole(store, small, tmp_path_factory) -> dict[str, bytes]:
    """Return the files of an undisturbed training."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    threads = torch.get_num_threads()
    _finish(start_run(folder, store, small(), made_from=MADE_FROM))
    torch.set_num_threads(threads)
    return _outcome(folder)


@pytest.fixture
def config(small):
    return small(checkpoint_every=5)


@pytest.fixture
def run(store, config, tmp_path):
    """Return a training that writes a checkpoint every five steps."""
    return start_run(tmp_path / "model", store, config, made_from=MADE_FROM)


@pytest.fixture
def goes_on(store, config, whole, tmp_path):
    """Return what takes a training up, from a step, and sees it end with the same bytes."""

    def check(step: int) -> None:
        folder = tmp_path / "model"
        clean_leftovers(folder / "checkpoints")  # as whoever opens the workspace does
        resumed = resume_run(folder, store, config, strict=True)
        assert resumed.training.step == step
        _finish(resumed)
        assert _outcome(folder) == whole

    return check


# -- the disk -----------------------------------------------------------------------------------

FULL = [
    pytest.param(errno.ENOSPC, id="no space"),
    pytest.param(errno.EDQUOT, id="quota"),
    pytest.param(errno.EFBIG, id="file too large"),
    pytest.param(errno.EROFS, id="read-only"),
]


def _fail_at(monkeypatch, what: str, number: int, *, times: int = 10**9) -> list[str]:
    """Let writing files of this name fail from now on; return the names tried."""
    plain, tried = Path.write_bytes, []

    def write_bytes(path: Path, data: bytes) -> int:
        tried.append(path.name)
        if path.name == what and tried.count(what) <= times:
            raise OSError(number, os.strerror(number), str(path))
        return plain(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    return tried


@pytest.mark.parametrize("number", FULL)
@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.safetensors", "state.safetensors", "best.safetensors"]
)
def test_a_full_disk_ends_the_training_and_loses_nothing(run, goes_on, monkeypatch, number, name):
    with monkeypatch.context() as patch:
        for step in run.steps():
            if step.step == 8:
                break
        tried = _fail_at(patch, name, number)
        with pytest.raises(ResourceError) as caught:
            _finish(run)
    assert caught.value.exit_code == 4
    assert tried.count(name) == 1  # what will not pass is not tried again
    assert _names(run.folder) == ["latest", "step-000005"]
    goes_on(5)


def test_a_disk_without_room_is_noticed_before_anything_is_written(run, goes_on, monkeypatch):
    with monkeypatch.context() as patch:
        for step in run.steps():
            if step.step == 8:
                break
        usage = shutil.disk_usage(run.folder)._replace(free=1000)
        patch.setattr(shutil, "disk_usage", lambda folder: usage)
        tried = _fail_at(patch, "", 0)
        with pytest.raises(ResourceError) as caught:
            _finish(run)
    assert caught.value.code == "disk_full"
    assert tried == []
    goes_on(5)


@pytest.mark.parametrize("number", [errno.EIO, errno.EBUSY, errno.ESTALE], ids=errno.errorcode.get)
def test_a_disk_that_fails_for_a_moment_is_tried_again(run, whole, monkeypatch, number):
    waited: list[float] = []
    monkeypatch.setattr(storage.time, "sleep", waited.append)
    _fail_at(monkeypatch, "optimizer.safetensors", number, times=3)
    _finish(run)
    assert len(waited) == 3
    assert waited == sorted(waited)
    assert _outcome(run.folder) == whole


def test_a_disk_that_goes_on_failing_is_given_up(run, goes_on, monkeypatch):
    with monkeypatch.context() as patch:
        for step in run.steps():
            if step.step == 8:
                break
        patch.setattr(storage.time, "sleep", lambda seconds: None)
        tried = _fail_at(patch, "optimizer.safetensors", errno.EIO)
        with pytest.raises(ResourceError):
            _finish(run)
    assert tried.count("optimizer.safetensors") == 4
    goes_on(5)


def test_a_mistake_of_ours_is_not_tried_again(run, monkeypatch):
    def fail(tensors: object, path: Path) -> None:
        raise ValueError

    monkeypatch.setattr(storage.time, "sleep", lambda seconds: pytest.fail("waited"))
    monkeypatch.setattr(checkpoint, "save_tensors", fail)
    with pytest.raises(ValueError):
        _finish(run)


# -- crashes ------------------------------------------------------------------------------------

MOMENTS = [
    pytest.param("save_tensors", 10, id="before anything is written"),
    pytest.param("new_folder", 10, id="before the folder"),
    pytest.param("name_latest", 10, id="before latest names it"),
    pytest.param("delete_folder", 15, id="before an older one is deleted"),
]


@pytest.mark.parametrize(("name", "step"), MOMENTS)
def test_a_crash_while_saving_loses_at_most_that_checkpoint(run, goes_on, monkeypatch, name, step):
    def crash(*given: object, **named: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        for taken in run.steps():
            if taken.step == step - 1:
                break
        patch.setattr(checkpoint, name, crash)
        with pytest.raises(Crash):
            _finish(run)
    is_whole = name in ("name_latest", "delete_folder")
    goes_on(step if is_whole else step - 5)


@pytest.fixture
def dies_at_write(monkeypatch):
    """Return what runs something that dies at its n-th rename or flush; it says whether it did."""

    def run_until(number: int, work) -> bool:
        calls = [0]

        def counted(plain):
            def call(*given: object) -> object:
                calls[0] += 1
                if calls[0] == number:
                    raise Crash
                return plain(*given)

            return call

        with monkeypatch.context() as patch:
            for owner, name in ((Path, "replace"), (Path, "rename"), (os, "fsync")):
                patch.setattr(owner, name, counted(getattr(owner, name)))
            try:
                work()
            except Crash:
                return True
        return False

    return run_until


def test_a_crash_at_any_write_of_a_save_goes_on_to_the_same_bytes(
    store, run, config, whole, tmp_path, dies_at_write
):
    """Every rename and every flush of the second save is where the process may end."""
    for step in run.steps():
        if step.step == 8:
            break
    for number in range(1, 100):
        folder = Path(shutil.copytree(run.folder, tmp_path / f"{number}" / "model"))
        resumed = resume_run(folder, store, config)

        def save(resumed=resumed) -> None:
            for step in resumed.steps():
                if step.step == 10:
                    return

        has_died = dies_at_write(number, save)
        clean_leftovers(folder / "checkpoints")
        for path in (folder / "checkpoints").glob("step-*"):
            verify_folder(path)
        resumed = resume_run(folder, store, config, strict=True)
        assert resumed.training.step in ((5, 10) if has_died else (10,))
        _finish(resumed)
        assert _outcome(folder) == whole, number
        if not has_died:
            break
    assert number > 10


def test_latest_names_the_newest_checkpoint(run):
    for step in run.steps():
        if step.step == 16:
            break
    assert (run.folder / "checkpoints" / "latest").read_text() == "step-000015\n"
    assert _names(run.folder) == ["latest", "step-000010", "step-000015"]


def test_two_sound_checkpoints_are_kept_where_one_was_damaged(run, store, config):
    for step in run.steps():
        if step.step == 16:
            break
    (run.folder / "checkpoints" / "step-000015" / "model.safetensors").write_bytes(b"")
    resumed = resume_run(run.folder, store, config)
    for step in resumed.steps():
        if step.step == 15:
            break
    assert _names(run.folder) == ["latest", "step-000010", "step-000015"]
    for name in ("step-000010", "step-000015"):
        verify_folder(run.folder / "checkpoints" / name)


def test_a_damaged_checkpoint_ahead_goes_when_the_next_is_durable(run, store, config):
    for step in run.steps():
        if step.step == 16:
            break
    (run.folder / "checkpoints" / "step-000015" / "model.safetensors").write_bytes(b"")
    resumed = resume_run(run.folder, store, config)
    for _ in resumed.steps(should_stop=lambda: resumed.training.step == 12):
        pass
    resumed.finish(stopped_by="SIGTERM")
    assert _names(run.folder) == ["latest", "step-000010", "step-000012"]


def test_a_step_that_has_its_checkpoint_is_not_written_twice(run, monkeypatch):
    saved: list[int] = []
    plain = checkpoint.save_checkpoint

    def save(folder: Path, training) -> Path:
        saved.append(training.step)
        return plain(folder, training)

    monkeypatch.setattr("memlm.train.run.save_checkpoint", save)
    for _ in run.steps(should_stop=lambda: run.training.step == 10):
        pass
    run.finish(stopped_by="SIGTERM")
    assert saved == [5, 10]


# -- the machine --------------------------------------------------------------------------------


def test_a_checkpoint_tells_the_machine_that_wrote_it(run):
    for step in run.steps():
        if step.step == 5:
            break
    state = json.loads((run.folder / "checkpoints" / "step-000005" / "state.json").read_text())
    assert state["machine"] == describe_machine(1, device=torch.device("cpu"))
    assert {"torch", "numpy", "threads", "cpu_capability", "device"} <= set(state["machine"])


@pytest.fixture
def stopped(run) -> Path:
    for _ in run.steps(should_stop=lambda: run.training.step == 7):
        pass
    run.finish(stopped_by="SIGTERM")
    return run.folder


def test_other_threads_are_taken_and_said(stopped, store, small):
    resumed = resume_run(stopped, store, small(checkpoint_every=5, threads=2))
    assert resumed.machine_changes == "threads 1 -> 2"
    assert resumed.plan.threads == torch.get_num_threads() == 2
    _finish(resumed)


def test_other_threads_are_refused_where_it_must_be_exact(stopped, store, small):
    with pytest.raises(ConfigError, match="threads 1 -> 2"):
        resume_run(stopped, store, small(checkpoint_every=5, threads=2), strict=True)


def test_every_other_version_and_processor_is_named(stopped, store, config, monkeypatch):
    def other(num_threads: int, **more: object) -> dict[str, object]:
        changed = {"torch": "9.9", "cpu_capability": "NO AVX", "cores": 999}
        return describe_machine(num_threads, **more) | changed

    monkeypatch.setattr("memlm.train.run.describe_machine", other)
    found = resume_run(stopped, store, config).machine_changes
    assert f"torch {torch.__version__} -> 9.9" in found
    assert "cpu_capability" in found
    assert "cores" not in found  # nothing depends on how many there are
    with pytest.raises(ConfigError) as caught:
        resume_run(stopped, store, config, strict=True)
    assert caught.value.code == "resume_inexact"


def test_a_processor_of_another_make_is_named_and_refused_where_it_must_be_exact(
    stopped, store, config, monkeypatch
):
    monkeypatch.setattr("memlm.runtime.processor_model", lambda: "Abacus 9")
    found = resume_run(stopped, store, config).machine_changes
    assert found.startswith("processor_model ")
    assert found.endswith(" -> Abacus 9")
    with pytest.raises(ConfigError, match="Abacus 9"):
        resume_run(stopped, store, config, strict=True)


def test_a_checkpoint_that_names_no_make_is_taken_up_as_before():
    now = describe_machine(1)
    before = {name: value for name, value in now.items() if name != "processor_model"}
    assert machine_changes(before, now) == ""


def test_the_same_machine_changes_nothing(stopped, store, config):
    assert resume_run(stopped, store, config, strict=True).machine_changes == ""


def test_every_option_that_differs_is_shown_at_once(stopped, store, small):
    with pytest.raises(ConfigError) as caught:
        resume_run(stopped, store, small(hidden_width=13, dropout=0.3, clip_norm=2.0, seed=4))
    assert caught.value.values["changes"] == (
        "--hidden-width 12 -> 13, --dropout 0.2 -> 0.3, --clip-norm 1.0 -> 2.0, --seed 0 -> 4"
    )


def test_a_dropout_generator_of_another_device_is_begun_anew(stopped, store, config):
    resumed = resume_run(stopped, store, config)
    resumed.training.random = torch.zeros(16, dtype=torch.uint8)  # as a GPU's is
    checkpoint.load_checkpoint(stopped / "checkpoints", resumed.training)
    torch.Generator().set_state(resumed.training.random)
    assert len(resumed.training.random) > 16


def test_patience_without_held_out_text_is_refused_before_there_is_a_folder(
    store, small, tmp_path, monkeypatch
):
    facts = replace(data_facts(store), held_out_tokens=0)
    monkeypatch.setattr("memlm.train.run.data_facts", lambda store, **more: facts)
    with pytest.raises(ConfigError, match="--patience"):
        start_run(tmp_path / "new", store, small(patience=2), made_from=MADE_FROM)
    assert not (tmp_path / "new").exists()
