"""`memlm export`: one file, one object of JSON, and a word where something else is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def workspace(memlm: Callable[..., Any], corpus: Path, tmp_path: Path) -> Path:
    assert memlm("collect", tmp_path / "ws", corpus).code == 0
    return tmp_path / "ws"


def test_export_reports_what_it_wrote(
    memlm: Callable[..., Any], workspace: Path, tmp_path: Path
) -> None:
    file = tmp_path / "out.jsonl"
    done = memlm("export", workspace, "documents", "--to", file, "--json")
    assert done.code == 0
    assert set(done.json) == {"documents", "characters", "file"}
    assert done.json["file"] == str(file)
    assert done.json["documents"] == file.read_text("utf-8").count("\n") > 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("model", "--to", "a.jsonl"), "export_unknown"),
        (("documents", "--to", "a.xlsx"), "export_ending"),
        (("documents",), "argument_missing"),
    ],
    ids=["part", "ending", "no file"],
)
def test_export_of_something_else_says_what_works(
    memlm: Callable[..., Any], workspace: Path, words: tuple[str, ...], code: str
) -> None:
    done = memlm("export", workspace, *words, "--json")
    assert (done.code, done.error["code"]) == (2, code)
