"""A 200-line corpus in English and Chinese, and the real command."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from memlm.cli.app import run

ENGLISH = ["the cat sees the moon", "a dog follows her brother home", "rain falls on the old town"]
CHINESE = ["床前明月光", "疑是地上霜", "举头望明月", "低头思故乡"]


@pytest.fixture(autouse=True)
def quiet_surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def corpus_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 200 lines: plain text, a table with labels, and JSON lines."""
    draw, folder = random.Random(7), tmp_path_factory.mktemp("once") / "corpus"
    (folder / "deep").mkdir(parents=True)

    def line(sentences: list[str], number: int) -> str:
        return f"{number}: " + ", ".join(draw.choices(sentences, k=2)) + "."

    english = [line(ENGLISH, number) for number in range(100)]
    chinese = [line(CHINESE, number) for number in range(100)]
    (folder / "english.txt").write_text("\n".join(english[:60]) + "\n", encoding="utf-8")
    (folder / "deep" / "chinese.txt").write_text("\n".join(chinese[:60]) + "\n", encoding="utf-8")
    with (folder / "labelled.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(text, "english") for text in english[60:80]]
        rows += [(text, "chinese") for text in chinese[60:80]]
        csv.writer(file).writerows([("text", "label"), *rows])
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in english[80:] + chinese[80:]]
    (folder / "rest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def corpus(corpus_once: Path, tmp_path: Path) -> Path:
    """Return a copy of the corpus, to do with as one likes."""
    return Path(shutil.copytree(corpus_once, tmp_path / "corpus"))


@pytest.fixture
def memlm(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return what runs a command in this process and returns its JSON."""

    def call(*words: object, code: int = 0) -> Any:
        capsys.readouterr()
        found = run([*map(str, words), "--json"])
        out, err = capsys.readouterr()
        assert found == code, out + err
        return json.loads(out)

    return call


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return what starts the real command as a process of its own."""
    processes = []

    def begin(*words: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "memlm", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"},
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()
