"""Who measures on what was learned is told so, and on what was held out is not."""

from __future__ import annotations

import csv

import pytest

from memlm.documents import DocumentStore
from memlm.errors import ResourceError
from memlm.storage import WriterLock

SAID = "learned from"


@pytest.fixture
def write(tmp_path):
    """Return what writes a text to a file of its own."""

    def to_file(text: str):
        path = tmp_path / "asked.txt"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


@pytest.fixture
def held_out(tmp_path):
    path = tmp_path / "held-out.txt"
    path.write_text("the old man sees a dog.\n" * 3, encoding="utf-8")
    return path


@pytest.fixture
def learned(memlm, corpus, held_out, fast, tmp_path):
    """Return a workspace whose model learned from the corpus, and not from `held_out`."""
    words = ("--held-out", held_out, "--tokenizer", "char", "--without", "near-duplicates")
    assert memlm("collect", tmp_path / "ws", corpus).code == 0
    assert memlm("prepare", tmp_path / "ws", *words).code == 0
    assert memlm("train", tmp_path / "ws", *fast).code == 0
    return tmp_path / "ws"


def test_a_text_that_was_learned_is_noted(memlm, learned, corpus):
    assert SAID in memlm("score", learned, corpus / "notes.txt").err


def test_white_space_around_it_makes_no_difference(memlm, learned, corpus, write):
    text = (corpus / "notes.txt").read_text(encoding="utf-8")
    assert SAID in memlm("score", learned, write(f"\n  {text}\n\n")).err


def test_a_text_that_was_held_out_is_not_noted(memlm, learned, held_out):
    assert SAID not in memlm("score", learned, held_out).err


def test_a_part_of_what_was_learned_is_not_noted(memlm, learned, corpus, write):
    text = (corpus / "notes.txt").read_text(encoding="utf-8")
    assert SAID not in memlm("score", learned, write(text[:200])).err


def test_rows_that_were_learned_are_counted(memlm, learned, corpus, tmp_path):
    with (corpus / "reviews.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[:4]
    with (tmp_path / "test.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([*rows, ["something else", "en"]])
    assert "3 of 4 texts" in memlm("evaluate", learned, tmp_path / "test.csv").err


@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_measuring_needs_no_index_and_no_right_to_write(memlm, learned, corpus, command):
    file = corpus / ("notes.txt" if command == "score" else "reviews.csv")
    lock = WriterLock(learned / "lock")
    lock.acquire()
    try:
        done = memlm(command, learned, file)
    finally:
        lock.release()
    assert done.code == 0, done.err
    assert SAID in done.err
    assert not (learned / "index").exists()


def test_documents_that_cannot_be_read_spoil_no_score(memlm, learned, corpus, monkeypatch):
    def fail(store: DocumentStore) -> None:
        raise ResourceError("cannot_write", path="documents.sqlite", reason="busy")

    monkeypatch.setattr(DocumentStore, "contents", fail)
    done = memlm("score", learned, corpus / "notes.txt", "--json")
    assert done.code == 0
    assert done.json["tokens"] > 0
    assert "busy" in done.err
