"""Plain text files: one text, a text a line, or a table of tabs; and labels in another file."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from memlm.collect import CollectConfig, Limits, Reading, list_files, read_file
from memlm.errors import ConfigError, InputError, NotFoundError
from memlm.records import SourceNote, SourceProblem, SourceText
from memlm.workflow import collect_documents

PAIRS = "Hi.\t嗨。\nRun.\t快跑。\n" + "".join(f"Line {n}.\t第{n}行。\n" for n in range(20))


def read(path: Path, text: str, **options: Any) -> list[SourceText | SourceProblem | SourceNote]:
    path.write_text(text, encoding="utf-8")
    return list(read_file(path, Reading(config=CollectConfig(**options))))


def texts(found: list[SourceText | SourceProblem | SourceNote]) -> list[str]:
    return [item.text for item in found if isinstance(item, SourceText)]


def codes(found: list[SourceText | SourceProblem | SourceNote]) -> list[str]:
    return [item.code for item in found if not isinstance(item, SourceText)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_every_line_is_a_text_where_that_is_said(tmp_path: Path, end: str) -> None:
    found = read(tmp_path / "a.txt", end.join(["one", "two\u2028too", "", "three"]), lines=True)
    assert texts(found) == ["one", "two\u2028too", "three"]
    assert [item.position for item in found if isinstance(item, SourceText)] == [1, 2, 4]


def test_line_that_is_too_long_is_a_problem_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n" + "x" * 500 + "\ntwo\n")
    reading = Reading(config=CollectConfig(lines=True), limits=Limits(row_characters=100))
    found = list(read_file(tmp_path / "a.txt", reading))
    assert (texts(found), codes(found)) == (["one", "two"], ["row_too_long"])


def test_file_of_any_ending_that_was_named_is_read_by_lines(tmp_path: Path) -> None:
    path = tmp_path / "train.de"
    assert texts(read(path, "eins\nzwei\n", lines=True)) == ["eins", "zwei"]
    assert [file.problem for file in list_files(path, has_lines=True)] == [None]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.html", "a.csv.gz"])
def test_table_that_was_named_itself_is_read_by_lines_where_that_is_said(
    tmp_path: Path, name: str
) -> None:
    data, folder = b"text,label\none,x\n", tmp_path / "folder"
    folder.mkdir()
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    workspace = tmp_path / "ws"
    report = collect_documents(workspace, folder / name, config=CollectConfig(lines=True))
    assert (report.documents_added, report.rejected) == (2, ())


def test_table_in_a_folder_is_a_table_whatever_is_said_of_lines(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.csv").write_text("text,label\none,x\n")
    (folder / "b.txt").write_text("two\nthree\n")
    report = collect_documents(tmp_path / "ws", folder, config=CollectConfig(lines=True))
    assert report.documents_added == 3


def test_column_of_ids_makes_lines_with_tabs_a_table(tmp_path: Path) -> None:
    rows = "key\ttext\n" + "".join(f"k{n}\ttext {n}\n" for n in range(20))
    found = read(tmp_path / "a.txt", rows, id_column="1")
    assert [item.key for item in found if isinstance(item, SourceText)][:2] == ["k0", "k1"]


# -- labels in another file ---------------------------------------------------------------------


def test_labels_of_another_file_go_to_the_lines(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("yes\n\nno\n")
    found = read(tmp_path / "a.txt", "one\ntwo\nthree\n", labels=tmp_path / "labels.txt")
    assert [item.label for item in found if isinstance(item, SourceText)] == ["yes", None, "no"]


def test_empty_line_with_a_label_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    found = read(tmp_path / "a.txt", "one\n\nthree\n", labels=tmp_path / "labels.txt")
    assert (texts(found), codes(found)) == (["one", "three"], ["text_empty"])


@pytest.mark.parametrize("labels", ["a\nb\n", "a\nb\nc\nd\n"], ids=["too few", "too many"])
def test_other_number_of_labels_names_both_numbers(tmp_path: Path, labels: str) -> None:
    (tmp_path / "labels.txt").write_text(labels)
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.txt", "one\ntwo\nthree\n", labels=tmp_path / "labels.txt")
    assert caught.value.code == "labels_count"
    assert caught.value.values["texts"] == 3
    assert caught.value.values["labels"] == labels.count("\n")


def test_labels_beside_a_table_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\n")
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.csv", "text\none\n", labels=tmp_path / "labels.txt")
    assert caught.value.code == "labels_need_lines"


def test_labels_for_a_folder_are_a_wrong_option(tmp_path: Path, corpus: Path) -> None:
    config = CollectConfig(labels=corpus / "one.txt")
    with pytest.raises(ConfigError) as caught:
        collect_documents(tmp_path / "ws", corpus, config=config)
    assert caught.value.code == "labels_need_one_file"


def test_labels_that_do_not_exist_are_not_found(tmp_path: Path, corpus: Path) -> None:
    config = CollectConfig(labels=tmp_path / "nothing.txt")
    with pytest.raises(NotFoundError):
        collect_documents(tmp_path / "ws", corpus / "one.txt", config=config)


def test_changed_labels_are_read_again(tmp_path: Path) -> None:
    text, labels = tmp_path / "a.txt", tmp_path / "labels.txt"
    text.write_text("one\ntwo\n")
    labels.write_text("x\ny\n")
    config = CollectConfig(labels=labels)
    collect_documents(tmp_path / "ws", text, config=config)
    labels.write_text("x\nz\n")
    assert collect_documents(tmp_path / "ws", text, config=config).documents_changed == 1


# -- tables of tabs -----------------------------------------------------------------------------


def test_text_with_tabs_is_one_text_with_a_word(tmp_path: Path) -> None:
    found = read(tmp_path / "a.txt", PAIRS)
    assert (len(texts(found)), codes(found)) == (1, ["looks_like_table"])


def test_text_with_tabs_is_a_table_where_a_column_is_named(tmp_path: Path) -> None:
    found = read(tmp_path / "a.txt", PAIRS, no_header=True, text_column="2")
    assert texts(found)[:2] == ["嗨。", "快跑。"]
    assert isinstance(found[0], SourceText)
    assert found[0].fields == {"#1": "Hi."}


def test_line_without_its_tab_is_a_problem_of_its_own(tmp_path: Path) -> None:
    found = read(tmp_path / "a.txt", PAIRS + "No tab.\n", no_header=True, text_column="2")
    assert (len(texts(found)), codes(found)) == (22, ["row_shape"])


def test_prose_stays_one_text_where_a_column_is_named(tmp_path: Path) -> None:
    found = read(tmp_path / "a.txt", "A tab\there.\nNone here.\nNor here.\n", text_column="text")
    assert (len(texts(found)), codes(found)) == (1, [])


# -- real files ---------------------------------------------------------------------------------


def test_tweets_are_read_with_their_labels(shared_data: Path) -> None:
    folder = shared_data / "en-labelled" / "tweeteval" / "emotion"
    config = CollectConfig(labels=folder / "val_labels.txt")
    found = list(read_file(folder / "val_text.txt", Reading(config=config)))
    assert len(texts(found)) == 374
    assert {item.label for item in found if isinstance(item, SourceText)} == set("0123")
