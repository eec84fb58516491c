"""`memlm generate` writes with a trained network without importing torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # as if it were not installed
from memlm.cli.app import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("writing")
    text = "".join(f"Line {n} says {n * 7919 % 1000}, and the cat sat.\n" for n in range(400))
    (folder / "notes.txt").write_text(text, "utf-8")
    size = ("--hidden-width", "24", "--layers", "1", "--embedding-width", "8", "--steps", "30")
    command = [sys.executable, "-m", "memlm", "train", folder / "ws", folder / "notes.txt", *size]
    subprocess.run([*map(str, command), "--threads", "1"], check=True, capture_output=True)
    return folder / "ws"


@pytest.mark.parametrize(
    "more", [(), ("--no-memory",), ("--memory", "counts,cache"), ("--samples", "3")], ids=str
)
def test_generating_needs_no_torch(trained, more):
    more = ("--ignore-end", "--json", *more)
    command = [sys.executable, "-c", WITHOUT_TORCH, "generate", trained, "Line ", *more]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tokens"] == 200


def test_weights_of_a_byte_say_once_what_they_cost(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "ws")
    command = [sys.executable, "-c", WITHOUT_TORCH, "generate", tmp_path / "ws", "Line "]
    command = list(map(str, [*command, "--precision", "int8", "--json", "--language", "en"]))
    first, second = (
        subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        for _ in range(2)
    )
    assert "Weights in a byte each" in first.stderr
    assert "Weights in a byte each" not in second.stderr
    cost = json.loads(first.stdout)["precision"]
    assert json.loads(second.stdout)["precision"] == cost
    assert cost["tokens"] > 0
    assert 0 < abs(cost["change"]) < 0.01


def test_weights_of_a_byte_are_the_processors(trained):
    command = ["generate", trained, "Line ", "--precision", "int8", "--device", "cuda", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "memlm", *map(str, command)],
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "precision_needs_processor"
