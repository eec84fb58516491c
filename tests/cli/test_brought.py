"""A brought model on the command line: one clear line where it cannot be used, else a score."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memlm.cli.app import run


@pytest.fixture
def folder(foreign_models: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(foreign_models("gpt2"), tmp_path / "model"))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("The lamp was lit. " * 5, encoding="utf-8")
    return path


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


def pickle_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("damage", "code"), [(cut_weights, 3), (pickle_weights, 2)], ids=["damaged", "pickled"]
)
def test_folder_that_is_not_taken_is_one_line(folder, text, tmp_path, capfd, damage, code):
    run(["collect", str(tmp_path / "ws"), str(text), "--json"])
    damage(folder)
    capfd.readouterr()
    found = run(["score", str(tmp_path / "ws"), str(text), "--model", str(folder)])
    said = capfd.readouterr().err.strip()
    assert found == code
    assert "Traceback" not in said
    assert "safetensors" in said


def test_score_says_the_windows(folder, text, tmp_path, capfd):
    run(["collect", str(tmp_path / "ws"), str(text), "--json"])
    capfd.readouterr()
    words = ["score", str(tmp_path / "ws"), str(text), "--no-memory", "--json"]
    assert run([*words, "--model", str(folder), "--precision", "bf16"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["protocol"] == "frozen, window 32"
    assert found["model"].startswith("model-")
