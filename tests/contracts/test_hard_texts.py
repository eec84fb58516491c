"""Texts that break programs go the whole way, collect to prepare to export, or are refused."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import pytest

from memlm.collect import normalise_text
from memlm.prepare import PrepareConfig
from memlm.workflow import (
    collect_documents,
    count_collected,
    export_documents,
    prepare_documents,
    trace_text,
)

KEPT = {
    "emoji alone": "😀👩‍👩‍👧‍👦🏳️‍🌈" * 5,
    "one token of 1 MB": "a" * 10**6,
    "right to left": "שלום עולם, \u202bمرحبا\u202c \u2067abc\u2069 and back",
    "override of direction": "invoice\u202efdp.exe",
    "control characters": "bell\x07 escape\x1b[2J delete\x7f next\x85 nul\0 end",
    "both scripts": "后來，我们在皇后區的後面看见发型师發现了头發。",
    "HTML entities": "&lt;b&gt; &amp;amp; &#x4e2d; &nbsp; <script>alert(1)</script>",
    "formula": "=cmd|' /C calc'!A0",
    "not normal": "cafe\u0301 ﬁne Å Ω １２３",
    "noncharacters": "a\ufffe\U0010ffff\ue000z",
    "one letter": "a",
    "one letter often": "a" * 5000,
    "line separators": "a\u2028b\u2029c\x0bd\x0ce\x1ef",
}
EMPTY = {"nothing": "", "white": " \t\n\u3000\u00a0", "mark": "\ufeff"}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_hard_text_goes_the_whole_way(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": text}), encoding="utf-8")
    workspace = tmp_path / "ws"
    assert collect_documents(workspace, tmp_path / "rows.jsonl").documents_added == 1
    assert prepare_documents(workspace, config=PrepareConfig(tokenizer="char")).documents == 1
    export_documents(workspace, tmp_path / "out.jsonl")
    (row,) = (tmp_path / "out.jsonl").read_text("utf-8").split("\n")[:-1]
    assert json.loads(row)["text"] == normalise_text(text)


@pytest.mark.parametrize(
    "size", [10**6, pytest.param(10**7, marks=pytest.mark.slow)], ids=["1 MB", "10 MB"]
)
@pytest.mark.parametrize("tokenizer", ["char", "byte", "bpe", "word", "whitespace"])
def test_token_without_end_is_prepared_in_bounded_time(
    tmp_path: Path, tokenizer: str, size: int
) -> None:
    (tmp_path / "a.txt").write_text("a" * size, encoding="utf-8")
    collect_documents(tmp_path / "ws", tmp_path / "a.txt")
    started = time.monotonic()
    report = prepare_documents(tmp_path / "ws", config=PrepareConfig(tokenizer=tokenizer))
    assert (report.documents, report.dropped) == (1, 0)
    assert time.monotonic() - started < 10 * size / 10**6


@pytest.mark.parametrize("text", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_text_without_any_is_in_the_list_of_the_rejected(
    tmp_path: Path, text: str, name: str
) -> None:
    data = json.dumps({"text": text}) if name.endswith("jsonl") else text
    (tmp_path / name).write_text(data, encoding="utf-8")
    report = collect_documents(tmp_path / "ws", tmp_path / name)
    assert (report.documents_added, report.documents_rejected) == (0, 1)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_text_is_found_in_whatever_form_it_was_written(tmp_path: Path, form: str) -> None:
    words = "Où êtes-vous allés l'été dernier, près de la forêt ?"
    (tmp_path / "a.txt").write_text(unicodedata.normalize(form, words), encoding="utf-8")
    collect_documents(tmp_path / "ws", tmp_path / "a.txt")
    assert trace_text(tmp_path / "ws", words).recited_share == 1.0


def test_texts_of_a_test_that_were_learned_are_counted(tmp_path: Path) -> None:
    learned = [f"This is text number {number} of those that are learned." for number in range(9)]
    collect_documents(tmp_path / "ws", texts=learned)
    new = ["This one is not among them, whatever it says."]
    assert count_collected(tmp_path / "ws", learned[:4] + new) == 4
