"""The command line in process, and workspaces to try it on."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from memlm.cli.app import run
from memlm.prepare import PrepareConfig
from memlm.train import TrainConfig
from memlm.workflow import train_model

FAST = (
    "--steps", "8", "--hidden-width", "8", "--embedding-width", "8", "--threads", "1",
    "--device", "cpu",
)  # fmt: skip
SUBJECTS = ["the cat", "a dog", "her brother", "the old man", "月亮", "小猫"]
VERBS = ["sees", "likes", "follows", "forgets", "看见", "喜欢"]
OBJECTS = ["the moon.", "a blue house.", "the river.", "明月。", "小河。"]


@dataclass
class Result:
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON object and nothing else."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        found = json.loads(lines[0], parse_constant=_refuse)
        assert isinstance(found, dict)
        return found

    @property
    def error(self) -> dict[str, str]:
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) == {"code", "message", "hint"}
        return self.json["error"]


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.fixture(autouse=True)
def quiet_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def memlm(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Return what runs `memlm` with some words, in this process."""

    def call(*words: object) -> Result:
        capsys.readouterr()
        code = run([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what puts a text on standard input."""

    def put(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return put


def sentences(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [
        " ".join([draw.choice(SUBJECTS), draw.choice(VERBS), draw.choice(OBJECTS)])
        for _ in range(count)
    ]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """Return a folder with a text, a labelled table, and JSON lines."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "notes.txt").write_text("\n".join(sentences(40, 1)) + "\n", encoding="utf-8")
    with (folder / "reviews.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((text, "en" if text.isascii() else "zh") for text in sentences(40, 2))
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in sentences(20, 3)]
    (folder / "more.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def trained_once(corpus, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "ws"
    before = torch.get_num_threads()
    config = TrainConfig(steps=8, hidden_width=8, embedding_width=8, threads=1, device="cpu")
    train_model(path, corpus, config=config, prepare=PrepareConfig(tokenizer="char"))
    torch.set_num_threads(before)
    return path


@pytest.fixture
def trained(trained_once, tmp_path) -> Path:
    """Return a workspace with documents and the model lstm-1, to do with as one likes."""
    return Path(shutil.copytree(trained_once, tmp_path / "ws"))


@pytest.fixture
def collected(memlm, corpus, tmp_path) -> Path:
    """Return a workspace with documents and nothing else."""
    assert memlm("collect", tmp_path / "ws", corpus).code == 0
    return tmp_path / "ws"


@pytest.fixture
def sample(tmp_path) -> Path:
    """Return a file with a text whose every symbol the corpus knows."""
    path = tmp_path / "sample.txt"
    path.write_text("\n".join(sentences(6, 9)) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def fast() -> tuple[str, ...]:
    """Return the options of a training that takes a moment."""
    return FAST
