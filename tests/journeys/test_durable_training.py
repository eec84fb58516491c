"""A real process that is killed, again and again or in the midst of a save, loses nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from memlm.cli.app import run

TRAINING = (
    "--steps", "120", "--hidden-width", "8", "--embedding-width", "8", "--sequence-length", "16",
    "--batch-size", "2", "--dropout", "0.2", "--threads", "1", "--device", "cpu",
    "--checkpoint-every", "10", "--optimizer", "muon", "--average-weights", "0.2",
    "--accumulate", "2",
)  # fmt: skip
OUTCOME = ("model.safetensors", "steps.jsonl", "config.json", "tokenizer.json")
# Runs a command whose n-th file of a checkpoint meets something.
_MEETS = """
import os, signal, sys, time
from pathlib import Path
from memlm.cli.app import run
from memlm.train import checkpoint
plain, count = checkpoint.save_tensors, [0]

def save_tensors(tensors, path):
    count[0] += 1
    if count[0] == int(sys.argv[1]):
        {what}
    plain(tensors, path)

checkpoint.save_tensors = save_tensors
sys.exit(run(sys.argv[2:]))
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
TERMINATE = "os.kill(os.getpid(), signal.SIGTERM)"
# Waits in the midst of a save until whoever asked for it sends another signal.
WAIT = "Path(os.environ['MEMLM_TEST_FLAG']).touch(); time.sleep(60)"
# From here on the kernel takes no file above a few bytes, as a full disk does.
FILL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals")


@pytest.fixture(scope="module")
def ws_once(corpus_once, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("durable") / "ws"
    threads = torch.get_num_threads()
    assert run(["train", str(path), str(corpus_once), *TRAINING, "--name", "whole"]) == 0
    torch.set_num_threads(threads)
    return path


@pytest.fixture
def ws(ws_once, tmp_path) -> Path:
    return Path(shutil.copytree(ws_once, tmp_path / "ws"))


@pytest.fixture
def meet(tmp_path):
    """Return what starts a command in whose n-th file something happens."""
    processes = []

    def begin(what: str, number: int, *words: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _MEETS.format(what=what), str(number), *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | {"OMP_NUM_THREADS": "1", "MEMLM_TEST_FLAG": str(tmp_path / "flag")},
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _outcome(ws: Path, model: str) -> dict[str, bytes]:
    return {name: (ws / "models" / model / name).read_bytes() for name in OUTCOME}


def _checkpoints(ws: Path) -> list[str]:
    folder = ws / "models" / "stopped" / "checkpoints"
    return sorted(path.name for path in folder.glob("step-*") if path.name[5:].isdigit())


def _resumes_to_the_same_bytes(memlm, ws: Path) -> None:
    memlm("train", ws, "--resume", "--strict-resume", "--name", "stopped")
    assert _outcome(ws, "stopped") == _outcome(ws, "whole")


@pytest.mark.parametrize("number", [1, 8])
def test_a_kill_in_the_midst_of_a_save_resumes_to_the_same_bytes(memlm, meet, ws, number):
    process = meet(KILL, number, "train", ws, *TRAINING, "--name", "stopped")
    assert process.wait(timeout=120) == -signal.SIGKILL
    _resumes_to_the_same_bytes(memlm, ws)


def test_a_kill_while_resuming_from_a_kill_loses_nothing(memlm, meet, ws):
    for number, words in ((8, TRAINING), (7, ("--resume",)), (1, ("--resume",))):
        process = meet(KILL, number, "train", ws, *words, "--name", "stopped")
        assert process.wait(timeout=120) == -signal.SIGKILL
    _resumes_to_the_same_bytes(memlm, ws)


def test_a_signal_during_a_save_lets_it_be_finished_and_ends_there(memlm, meet, ws):
    process = meet(TERMINATE, 7, "train", ws, *TRAINING, "--name", "stopped")
    assert process.wait(timeout=120) == 143
    assert _checkpoints(ws) == ["step-000010", "step-000020"]
    _resumes_to_the_same_bytes(memlm, ws)


def test_a_second_signal_ends_at_once_and_the_checkpoint_before_is_sound(memlm, meet, ws, tmp_path):
    process = meet(WAIT, 7, "train", ws, *TRAINING, "--name", "stopped")
    until = time.monotonic() + 120
    while not (tmp_path / "flag").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None  # the first one lets the save go on
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 143
    assert _checkpoints(ws) == ["step-000010"]
    _resumes_to_the_same_bytes(memlm, ws)


def test_a_disk_that_takes_no_more_ends_with_four_and_loses_nothing(memlm, meet, ws):
    process = meet(FILL, 7, "train", ws, *TRAINING, "--name", "stopped")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 4, err
    assert "Traceback" not in err
    assert _checkpoints(ws) == ["step-000010"]
    _resumes_to_the_same_bytes(memlm, ws)
