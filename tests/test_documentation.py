"""What the pages say is true: their commands exist, and the Chinese page shows the same ones."""

import ast
import csv
import os
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


def fault_groups():
    """Return the cases of docs/faults.md by group, each with the tests it names."""
    groups = {}
    for section in (ROOT / "docs" / "faults.md").read_text("utf-8").split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        rows = [line.strip("| ").split(" | ") for line in body.splitlines() if line[:2] == "| "]
        groups[title] = rows[1:]  # without the names of the columns
    return groups


def names_and_words(name):
    """Return the names of the tests in a file, and its strings, among which are their cases."""
    nodes = list(ast.walk(ast.parse((ROOT / name).read_text("utf-8"))))
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return names, {node.value for node in nodes if isinstance(node, ast.Constant)}


def test_every_test_that_the_faults_name_exists():
    page = (ROOT / "docs" / "faults.md").read_text("utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)(?:\[([^\]]+)\])?`", page))
    assert len(named) > 100
    found = {file: names_and_words(file) for file in {file for file, *_ in named}}
    missing = [
        (file, test, case)
        for file, test, case in named
        if test not in found[file][0] or (case and case not in found[file][1])
    ]
    assert missing == []


def test_every_fault_has_a_promise_and_a_test():
    groups = fault_groups()
    groups.pop("Count")
    rows = [row for rows in groups.values() for row in rows]
    assert [row for row in rows if len(row) != 3 or "`tests/" not in row[2]] == []


def test_faults_are_counted_as_they_stand():
    groups = fault_groups()
    counted = [(name, int(tested), int(cases)) for name, tested, cases in groups["Count"]]
    sizes = [(name, len(groups[name]), len(groups[name])) for name, *_ in counted[:-1]]
    total = sum(size for _, size, _ in sizes)
    assert counted == [*sizes, ("all", total, total)]
    assert [size for _, size, _ in sizes] == [26, 14, 25, 23, 8]  # as many as were promised
    page = (ROOT / "docs" / "faults.md").read_text("utf-8")
    assert page.endswith(f"\n{total} of {total}.\n")


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


def test_the_example_that_brings_a_model_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "bring.py", tmp_path / "ws"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    alone, blended = (float(line.split(": ")[1].split()[0]) for line in lines[:2])
    assert blended < alone
    assert any(line.startswith("recombined: ") for line in lines)


def test_the_example_that_teaches_a_model_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "teach.py", tmp_path / "ws"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = dict(line.rsplit(" nats", 1)[0].split(": ") for line in done.stdout.splitlines())
    before = float(found.pop("as it was brought"))
    assert len(found) == 4
    assert all(float(value) < before for value in found.values())


def test_taking_a_model_away_runs(tmp_path):
    example = [sys.executable, ROOT / "examples" / "take_away.py"]
    done = subprocess.run(
        [*example, tmp_path / "ws", tmp_path / "taken"],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert "lstm-1 memlm" in done.stdout
    assert "-> Alice was " in done.stdout
    assert "-> The " in done.stdout
    assert (tmp_path / "taken" / "README.md").is_file()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("translate", r"(8[5-9]|9\d|100) of 100 unseen numbers right"),
        ("reply", r"Which day follows Friday\? -> That is Saturday\."),
        ("summarise", r"rouge_1: (0\.9|1\.0)\d+, of the first sentence 0\.\d+"),
        ("classify", r"accuracy: 0\.9\d+"),
    ],
)
def test_the_example_of_a_task_runs(tmp_path, name, found):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", tmp_path / "ws"],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert re.search(found, done.stdout), done.stdout
