"""What is exported and collected again is the same: texts, labels and fields."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memlm import DocumentStore
from memlm.errors import ConfigError, NotFoundError, ResourceError
from memlm.records import Document
from memlm.workflow import collect_documents, export_documents
from memlm.workspace import open_workspace

FORMATS = ["jsonl", "parquet"]
ROWS = [
    {"text": 'one\ntwo \t"three"', "label": "a", "stars": 4, "share": 0.5, "is_good": True},
    {"text": "月亮😀\u2028", "label": None, "stars": None, "share": 1e300, "is_good": False},
    {"text": "=cmd()", "label": "1", "stars": 2, "share": -0.0, "is_good": None},
]
MIXED = [
    {"text": "a", "tags": ["x", {"y": 1}], "size": 5, "large": 2**70, "note": None},
    {"text": "b", "tags": [], "size": "five", "large": 1, "note": None},
]


def collected(folder: Path, *sources: Path, rows: list[dict[str, object]] | None = None) -> Path:
    collect_documents(folder, *sources, texts=rows)
    return folder


def documents(workspace: Path) -> list[Document]:
    with DocumentStore(open_workspace(workspace).documents_file) as store:
        return list(store)


def contents(workspace: Path) -> list[tuple[str, str | None, dict[str, object]]]:
    ours = ("source", "split")
    return [
        (found.text, found.label, {k: v for k, v in found.fields.items() if k not in ours})
        for found in documents(workspace)
    ]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("rows", [ROWS, MIXED], ids=["plain", "mixed"])
def test_exported_documents_are_collected_again_as_they_were(
    tmp_path: Path, ending: str, rows: list[dict[str, object]]
) -> None:
    first = collected(tmp_path / "ws", rows=rows)
    report = export_documents(first, tmp_path / f"out.{ending}")
    again = collected(tmp_path / "again", tmp_path / f"out.{ending}")
    assert contents(again) == contents(first)
    assert report.documents == len(rows)
    assert report.characters == sum(len(str(row["text"])) for row in rows)


@pytest.mark.parametrize("ending", FORMATS)
def test_row_says_where_its_text_came_from(tmp_path: Path, corpus: Path, ending: str) -> None:
    first = collected(tmp_path / "ws", corpus)
    export_documents(first, tmp_path / f"out.{ending}")
    again = documents(collected(tmp_path / "again", tmp_path / f"out.{ending}"))
    assert [found.fields["source"] for found in again] == [d.source for d in documents(first)]


def test_lines_have_the_columns_that_are_promised(tmp_path: Path, corpus: Path) -> None:
    workspace = collected(tmp_path / "ws", corpus / "rows.csv")
    export_documents(workspace, tmp_path / "out.jsonl")
    row = json.loads((tmp_path / "out.jsonl").read_text("utf-8").splitlines()[0])
    assert list(row) == ["id", "text", "label", "source", "split"]
    assert row["id"] == documents(workspace)[0].id


@pytest.mark.parametrize("ending", FORMATS)
def test_number_that_json_lacks_is_none_or_a_word(tmp_path: Path, ending: str) -> None:
    rows = [{"text": "a", "n": float("nan"), "deep": [float("inf"), float("nan")]}]
    export_documents(collected(tmp_path / "ws", rows=rows), tmp_path / f"out.{ending}")
    (again,) = contents(collected(tmp_path / "again", tmp_path / f"out.{ending}"))
    assert again[2] == {"n": None, "deep": ["Infinity", None]}


@pytest.mark.parametrize("ending", FORMATS)
def test_field_with_one_of_our_names_is_kept_beside_it(tmp_path: Path, ending: str) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("text,source,id_2,split\na,book,x,y\n")
    export_documents(collected(tmp_path / "ws", table), tmp_path / f"out.{ending}")
    (again,) = documents(collected(tmp_path / "again", tmp_path / f"out.{ending}"))
    assert again.fields["source_2"] == "book"
    assert again.fields["split_2"] == "y"
    assert again.fields["source"] == "rows.csv:2"


@pytest.mark.parametrize("ending", ["csv", "txt", ""])
def test_other_ending_is_a_wrong_option(tmp_path: Path, corpus: Path, ending: str) -> None:
    workspace = collected(tmp_path / "ws", corpus)
    with pytest.raises(ConfigError) as caught:
        export_documents(workspace, tmp_path / f"out.{ending}")
    assert caught.value.code == "export_ending"


def test_workspace_without_documents_is_said(tmp_path: Path) -> None:
    open_workspace(tmp_path / "ws", create=True)
    with pytest.raises(NotFoundError):
        export_documents(tmp_path / "ws", tmp_path / "out.jsonl")


@pytest.mark.parametrize("ending", FORMATS)
def test_export_that_fails_leaves_the_old_file(
    tmp_path: Path, corpus: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, file = collected(tmp_path / "ws", corpus), tmp_path / "out" / f"out.{ending}"
    file.parent.mkdir()
    file.write_text("old")

    def fail(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ResourceError):
        export_documents(workspace, file)
    assert [(path.name, path.read_text()) for path in file.parent.iterdir()] == [(file.name, "old")]
