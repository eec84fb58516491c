"""What the pages say is true: their commands exist, and the Chinese page shows the same ones."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

import memlm
from memlm.cli.app import COMMANDS

ROOT = Path(__file__).parents[1]


def code_blocks(name: str) -> list[str]:
    return re.findall(r"^```.*?^```", (ROOT / name).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def test_chinese_readme_has_the_same_code_blocks():
    assert code_blocks("README.zh.md") == code_blocks("README.md")


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_names_the_command(command):
    assert f"memlm {command}" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_first_code_comes_within_150_words(name):
    before = (ROOT / name).read_text("utf-8").partition("```")[0]
    assert len(re.findall(r"[\u4e00-\u9fff]|[A-Za-z0-9']+", before)) <= 150


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_readme_is_short(name):
    assert len((ROOT / name).read_text("utf-8").splitlines()) < 150


def test_every_public_name_is_in_the_docs():
    pages = "".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))
    missing = [name for name in memlm.__all__ if f"`{name}" not in pages]
    assert missing == []


def test_the_articles_example_runs(tmp_path):
    for name in ("train.csv", "test.csv"):
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as file:
            rows = [("a good bright day", "positive"), ("a bad dark night", "negative")] * 15
            csv.writer(file).writerows([("text", "label"), *rows])
    example = [sys.executable, ROOT / "examples" / "train_csv.py", tmp_path / "ws"]
    done = subprocess.run(
        [*example, tmp_path / "train.csv", tmp_path / "test.csv"],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert "positive ->" in done.stdout
    assert "Finding(value=" in done.stdout
