"""Two processes that torchrun starts train one model, and go on after both were killed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch.distributed as dist

pytestmark = [
    pytest.mark.skipif(
        not (dist.is_available() and dist.is_gloo_available()),
        reason="this build of torch has no gloo",
    ),
    pytest.mark.skipif(os.name == "nt", reason="Windows ends processes in another way"),
]
TRAINING = (
    "--steps", "120", "--hidden-width", "8", "--embedding-width", "8", "--sequence-length", "16",
    "--batch-size", "3", "--dropout", "0", "--device", "cpu", "--checkpoint-every", "10",
    "--threads", "1",
)  # fmt: skip


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return what starts Python with these words, and what `place` adds to its environment."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*words: object, **place: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ
            | {"OMP_NUM_THREADS": "1"}
            | {name: str(value) for name, value in place.items()},
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        if process.poll() is None:
            process.terminate()  # torchrun ends those that it has started
        process.communicate(timeout=60)


def _two(start, *words: object) -> list[subprocess.Popen[str]]:
    """Start a command as torchrun would on two machines, each by itself."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": 2}
    return [start("memlm", *words, RANK=rank, **place) for rank in range(2)]


def _losses(ws: Path, model: str) -> list[float]:
    lines = (ws / "models" / model / "steps.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["nats_per_token"] for line in lines]


def test_two_processes_learn_what_one_does_and_go_on_after_a_kill(memlm, start, corpus, tmp_path):
    ws = tmp_path / "ws"
    memlm("train", ws, corpus, *TRAINING, "--name", "one")
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "memlm")
    process = start(*torchrun, "train", ws, *TRAINING, "--name", "two", "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["steps"] == 120  # one object, of the first process
    assert err.count("Training two:") == 1

    one, two = _losses(ws, "one"), _losses(ws, "two")
    assert two[0] == pytest.approx(one[0], abs=1e-6)
    assert two[:20] == pytest.approx(one[:20], rel=1e-3)
    folders = [ws / "models" / name for name in ("one", "two", "killed")]
    files = [sorted(path.name for path in folder.iterdir()) for folder in folders[:2]]
    assert files[0] == files[1]

    both = _two(start, "train", ws, *TRAINING, "--name", "killed")
    until = time.monotonic() + 120
    while not list((folders[2] / "checkpoints").glob("step-*[0-9]")):
        assert all(process.poll() is None for process in both)
        assert time.monotonic() < until
        time.sleep(0.005)
    for process in both:
        process.kill()
    for process in both:
        process.communicate(timeout=60)
    both = _two(start, "train", ws, "--resume", "--strict-resume", "--name", "killed")
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[1] == ("", "")
    for name in ("model.safetensors", "steps.jsonl"):
        assert (folders[2] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_a_mistake_in_the_words_is_said_once_and_ends_all(start, tmp_path):
    words = ("train", tmp_path / "ws", tmp_path / "missing.txt", "--json")
    both = _two(start, *words)
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [2, 0], said  # it ends with the first
    assert json.loads(said[0][0])["error"]["code"] == "source_missing"
    assert said[1] == ("", "")


TEACHING = (
    "--steps", "12", "--batch-size", "3", "--sequence-length", "16", "--device", "cpu",
    "--threads", "1", "--checkpoint-every", "5",
)  # fmt: skip


@pytest.mark.parametrize("adapter", ["none", "lora"])
@pytest.mark.parametrize("kind", ["ours", "llama"])
def test_two_processes_teach_what_one_does(
    memlm, start, corpus, tmp_path, foreign_models, kind, adapter
):
    ws, begin_with = tmp_path / "ws", "first"
    if kind == "ours":
        memlm("train", ws, corpus, *TRAINING[2:], "--steps", "6", "--name", "first")
    else:
        memlm("collect", ws, corpus / "english.txt")
        begin_with = foreign_models(kind)
    words = ("train", ws, *TEACHING, "--from", begin_with, "--adapter", adapter)
    memlm(*words, "--name", "one")
    both = _two(start, *words, "--name", "two", "--json")
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert json.loads(said[0][0])["model"] == "two"
    assert said[1] == ("", "")
    one, two = _losses(ws, "one"), _losses(ws, "two")
    assert two == pytest.approx(one, rel=1e-3)
    files = [
        sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
        for folder in (ws / "models" / "one", ws / "models" / "two")
    ]
    assert files[0] == files[1]


def test_a_model_that_is_not_there_is_said_once(memlm, start, corpus, tmp_path):
    memlm("collect", tmp_path / "ws", corpus / "english.txt")
    both = _two(start, "train", tmp_path / "ws", *TEACHING, "--from", "nobody", "--json")
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [2, 0], said
    assert json.loads(said[0][0])["error"]["code"] == "model_missing"
    assert said[1] == ("", "")
