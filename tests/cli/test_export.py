"""`memlm export`: one file, one object of JSON, and a word where something else is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memlm.errors import ResourceError


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
        (("index", "--to", "a.jsonl"), "export_unknown"),
        (("model", "--to", "a.jsonl"), "export_model_format"),
        (("model", "--to", "huggingface"), "no_model"),
        (("documents", "folder", "--to", "a.jsonl"), "export_documents_only"),
        (("documents", "--model", "lstm-1", "--to", "a.jsonl"), "export_documents_only"),
        (("documents", "--to", "a.xlsx"), "export_ending"),
        (("documents",), "argument_missing"),
    ],
    ids=["part", "format", "no model", "folder", "model", "ending", "no file"],
)
def test_export_of_something_else_says_what_works(
    memlm: Callable[..., Any], workspace: Path, words: tuple[str, ...], code: str
) -> None:
    done = memlm("export", workspace, *words, "--json")
    assert (done.code, done.error["code"]) == (2, code)


def test_what_is_current_is_read_where_nothing_may_be_written(
    memlm: Callable[..., Any],
    workspace: Path,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[tuple[object, ...]] = [
        ("trace", workspace, corpus / "notes.txt"),
        ("export", workspace, "documents", "--to", tmp_path / "out.jsonl"),
        ("info", workspace, "--statistics"),
    ]
    before = [memlm(*words).out for words in commands]

    def refuse(*_: object) -> None:
        raise ResourceError("cannot_write", path=workspace / "lock", reason="Permission denied")

    monkeypatch.setattr("memlm.storage.WriterLock.acquire", refuse)
    monkeypatch.setattr("memlm.survey.new_file", refuse)
    assert [memlm(*words).out for words in commands] == before
    assert memlm("prepare", workspace).code == 4


def _splits(file: Path) -> set[object]:
    return {json.loads(line)["split"] for line in file.read_text("utf-8").splitlines()}


def test_side_of_each_document_is_exported_once_it_is_known(
    memlm: Callable[..., Any], workspace: Path, tmp_path: Path
) -> None:
    words = ("export", workspace, "documents", "--to", tmp_path / "out.jsonl")
    assert "split" in memlm(*words).err
    assert _splits(tmp_path / "out.jsonl") == {None}
    memlm("prepare", workspace, "--tokenizer", "char", "--held-out-share", "0.3")
    done = memlm(*words)
    assert "split" not in done.err
    assert _splits(tmp_path / "out.jsonl") >= {"train", "held_out"}


def test_export_after_masking_says_that_it_is_not_masked(
    memlm: Callable[..., Any], workspace: Path, tmp_path: Path
) -> None:
    words = ("export", workspace, "documents", "--to", tmp_path / "out.jsonl")
    memlm("prepare", workspace)
    assert "masked" not in memlm(*words).err
    memlm("prepare", workspace, "--redact")
    assert "masked" in memlm(*words).err


def test_model_is_exported_to_a_folder(
    memlm: Callable[..., Any], workspace: Path, tmp_path: Path
) -> None:
    shape = ("--steps", 2, "--hidden-width", 8, "--embedding-width", 8, "--name", "small")
    assert memlm("train", workspace, *shape).code == 0
    words = ("export", workspace, "model", tmp_path / "out", "--to", "huggingface")
    done = memlm(*words, "--model", "small", "--json")
    assert done.code == 0
    assert set(done.json) == {"model", "layout", "parameters", "recited_share", "folder"}
    assert (done.json["model"], done.json["layout"]) == ("small", "memlm")
    assert (tmp_path / "out" / "README.md").is_file()
    again = memlm(*words, "--json")
    assert (again.code, again.error["code"]) == (2, "export_folder_taken")
