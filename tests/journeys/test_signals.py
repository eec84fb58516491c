"""A real process that is told to stop saves everything, says so, and goes on to the same bytes."""

from __future__ import annotations

import json
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
    "--steps", "250", "--hidden-width", "8", "--embedding-width", "8", "--batch-size", "2",
    "--sequence-length", "16", "--dropout", "0.2", "--threads", "1", "--device", "cpu",
    "--checkpoint-every", "10",
)  # fmt: skip
OUTCOME = ("model.safetensors", "steps.jsonl", "config.json", "tokenizer.json")


def _outcome(ws: Path, model: str) -> dict[str, bytes]:
    return {name: (ws / "models" / model / name).read_bytes() for name in OUTCOME}


def _wait_for_a_checkpoint(ws: Path, model: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while not list((ws / "models" / model / "checkpoints").glob("step-*[0-9]")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.fixture(scope="module")
def ws_once(corpus_once, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("signals") / "ws"
    threads = torch.get_num_threads()
    assert run(["train", str(path), str(corpus_once), *TRAINING, "--name", "whole"]) == 0
    torch.set_num_threads(threads)
    return path


@pytest.fixture
def ws(ws_once, tmp_path) -> Path:
    """Return a workspace in which an undisturbed training is done."""
    return Path(shutil.copytree(ws_once, tmp_path / "ws"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_saves_and_resuming_finishes_to_the_same_bytes(memlm, start, ws, number, code):
    process = start("train", ws, *TRAINING, "--name", "stopped", "--json")
    _wait_for_a_checkpoint(ws, "stopped", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    report = json.loads(out)
    assert report["stopped_by"] == number.name
    assert 0 < report["steps"] < 250
    assert report["curves"] == "models/stopped/curves.svg"
    assert (ws / report["curves"]).exists()

    resumed = memlm("train", ws, "--resume", "--name", "stopped")
    assert (resumed["steps"], resumed["stopped_by"]) == (250, None)
    assert _outcome(ws, "stopped") == _outcome(ws, "whole")
    assert not (ws / "models" / "stopped" / "checkpoints").exists()


def test_a_killed_training_resumes_to_the_same_bytes(memlm, start, ws):
    process = start("train", ws, *TRAINING, "--name", "stopped")
    _wait_for_a_checkpoint(ws, "stopped", process)
    process.kill()
    process.communicate(timeout=60)
    assert not (ws / "models" / "stopped" / "manifest.json").exists()
    memlm("train", ws, "--resume")
    assert _outcome(ws, "stopped") == _outcome(ws, "whole")


def test_a_killed_training_does_not_lock_the_workspace(memlm, start, corpus, tmp_path):
    memlm("collect", tmp_path / "ws", corpus)
    process = start("train", tmp_path / "ws", *TRAINING)
    _wait_for_a_checkpoint(tmp_path / "ws", "lstm-1", process)
    busy = memlm("collect", tmp_path / "ws", corpus, code=2)
    assert busy["error"]["code"] == "workspace_busy"
    process.kill()
    process.communicate(timeout=60)
    assert memlm("collect", tmp_path / "ws", corpus)["documents_unchanged"] == 82


def test_a_reader_that_leaves_early_is_no_error_of_ours(start):
    process = start("--help")
    process.stdout.close()
    process.wait(timeout=60)
    assert "Traceback" not in process.stderr.read()


_KILLED_WHILE_SEALING = """
import os, signal, sys
from memlm.cli.app import run
from memlm.train import result
result.seal_files = lambda *given, **named: os.kill(os.getpid(), signal.SIGKILL)
run(sys.argv[1:])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill so")
def test_a_kill_while_a_resumed_model_replaces_the_stopped_one_loses_nothing(memlm, start, ws):
    process = start("train", ws, *TRAINING, "--name", "stopped")
    _wait_for_a_checkpoint(ws, "stopped", process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    words = ["train", str(ws), "--resume", "--name", "stopped"]
    killed = subprocess.run([sys.executable, "-c", _KILLED_WHILE_SEALING, *words], timeout=60)
    assert killed.returncode == -signal.SIGKILL

    assert memlm("generate", ws, "the", "--tokens", "4")["model"] == "whole"
    assert memlm("train", ws, "--resume")["model"] == "stopped"
    assert _outcome(ws, "stopped") == _outcome(ws, "whole")


def test_a_reader_of_the_messages_that_leaves_early_ends_no_training(start, corpus, tmp_path):
    process = start("train", tmp_path / "ws", corpus, *TRAINING)
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "ws" / "models" / "lstm-1" / "manifest.json").exists()


def test_a_reader_of_the_result_that_left_is_no_mistake_of_ours(start, ws):
    process = start("generate", ws, "the", "--samples", "2", "--tokens", "4")
    process.stdout.close()
    assert process.wait(timeout=60) == 128 + signal.SIGPIPE
    assert "log" not in process.stderr.read()
