"""Text that is held out is never learned from, whatever is collected afterwards."""

from __future__ import annotations

import json
import random

import pytest

from memlm import DocumentStore
from memlm.cli.app import run
from memlm.prepare import TokenStore

FAST = (
    "--steps", "4", "--hidden-width", "8", "--embedding-width", "8", "--threads", "1",
    "--device", "cpu",
)  # fmt: skip


def test_held_out_file_is_still_held_out_after_its_folder_is_collected_again(
    memlm, corpus, tmp_path
):
    ws = tmp_path / "ws"
    memlm("train", ws, corpus, *FAST, "--held-out", corpus / "deep" / "chinese.txt")
    before = memlm("prepare", ws)["tokens"]
    assert before["held_out"] > 0
    again = memlm("collect", ws, corpus)
    assert (again["documents_changed"], again["documents_unchanged"]) == (0, 82)
    assert memlm("prepare", ws)["tokens"] == before


def test_held_out_table_is_read_as_the_others_are(memlm, tmp_path):
    ws = tmp_path / "ws"
    for name in ("train.csv", "test.csv"):
        rows = [
            f"the cat sees the moon {name} {n},another long text of no use {n}" for n in range(9)
        ]
        (tmp_path / name).write_text("\n".join(["review,text", *rows]) + "\n")
    options = ("--held-out", tmp_path / "test.csv", "--text-column", "review")
    memlm("train", ws, tmp_path / "train.csv", *FAST, *options)
    with DocumentStore(ws / "documents.sqlite") as store:
        assert all(document.text.startswith("the cat") for document in store)
        assert [document.split for document in store].count("held_out") == 9


@pytest.fixture
def overlapping(tmp_path):
    """Return two tables: 40 rows to learn from, and a test that repeats four, one edited."""
    draw = random.Random(5)
    words = [f"{a}{b}" for a in ("ka", "lo", "mi", "tu", "re") for b in ("n", "sh", "lt", "ps")]
    rows = [" ".join(draw.choices(words, k=40)) for _ in range(50)]
    test = [*rows[:3], rows[3].replace(" ", " indeed ", 1), *rows[40:]]
    for name, texts in (("train.csv", rows[:40]), ("test.csv", test)):
        (tmp_path / name).write_text("\n".join(["text", *texts]) + "\n")
    return tmp_path


@pytest.mark.parametrize("option", [(), ("--without", "duplicates")], ids=["dropped", "kept"])
def test_text_that_is_held_out_by_name_is_learned_from_nowhere_and_that_is_said(
    memlm, overlapping, capsys, option
):
    ws, held_out = overlapping / "ws", ("--held-out", overlapping / "test.csv")
    memlm("collect", ws, overlapping / "train.csv")
    words = ["prepare", str(ws), "--tokenizer", "char", *map(str, held_out), *option]
    assert run(words) == 0
    assert "4 documents are the same, or nearly the same" in capsys.readouterr().err
    store = TokenStore(ws / "prepared" / "char")
    pieces = [
        store.tokens[unit["token_start"] : unit["token_end"]] for unit in store.units_of("train")
    ]
    learned = " ".join(store.tokenizer.decode(piece.tolist()) for piece in pieces)
    for row in (overlapping / "test.csv").read_text().splitlines()[1:]:
        assert row[20:60] not in learned
    assert (overlapping / "train.csv").read_text().splitlines()[20] in learned


def test_training_says_that_what_it_learns_from_overlaps_with_the_test(memlm, overlapping, capsys):
    words = ["train", overlapping / "ws", overlapping / "train.csv", *FAST]
    words += ["--held-out", overlapping / "test.csv"]
    assert run([*map(str, words)]) == 0
    assert "4 documents are the same" in capsys.readouterr().err


# -- files that were named to be held out, and gave nothing ---------------------------------------


@pytest.mark.parametrize("name", ["photo.png", "empty.csv"])
def test_held_out_file_that_gives_no_document_is_an_error(corpus, tmp_path, capsys, name):
    (tmp_path / name).write_bytes(b"\x89PNG\0\0" if name == "photo.png" else b"")
    assert run(["collect", str(tmp_path / "ws"), str(corpus)]) == 0
    capsys.readouterr()
    words = ["prepare", str(tmp_path / "ws"), "--held-out", str(tmp_path / name), "--json"]
    assert run(words) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "held_out_without_documents"
    assert name in error["message"]
    assert error["hint"]
    assert not (tmp_path / "ws" / "prepared").exists()


@pytest.fixture
def half_bad(tmp_path):
    """Return a file of rows to measure on, one of which is none."""
    (tmp_path / "rows.jsonl").write_text('{"text": "the cat sees the moon"}\n{broken\n')
    return tmp_path / "rows.jsonl"


def test_rows_that_could_not_be_held_out_are_reported(memlm, corpus, tmp_path, half_bad):
    memlm("collect", tmp_path / "ws", corpus)
    found = memlm("prepare", tmp_path / "ws", "--held-out", half_bad)
    assert found["documents_rejected"] == 1
    assert [(one["source"], one["position"]) for one in found["rejected"]] == [("rows.jsonl", 2)]
    assert memlm("prepare", tmp_path / "ws")["rejected"] == []


@pytest.mark.parametrize("command", [("prepare",), ("train", *FAST)], ids=["prepare", "train"])
def test_rows_that_could_not_be_held_out_are_said(corpus, tmp_path, half_bad, capsys, command):
    run(["collect", str(tmp_path / "ws"), str(corpus)])
    verb, *options = command
    assert run([verb, str(tmp_path / "ws"), *options, "--held-out", str(half_bad)]) == 0
    assert "rows.jsonl" in capsys.readouterr().err.partition("valid JSON")[0]


# -- the wish, and taking it back -----------------------------------------------------------------


def test_files_that_are_held_out_are_named_until_they_are_no_longer(
    memlm, corpus, tmp_path, capsys
):
    ws = tmp_path / "ws"
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(f"the cat sees the moon {name}\n" * 5, encoding="utf-8")
    memlm("collect", ws, corpus)
    memlm("prepare", ws, "--held-out", tmp_path / "one.txt")
    run(["prepare", str(ws), "--held-out", str(tmp_path / "two.txt")])
    assert "one.txt, two.txt" in capsys.readouterr().err
    run(["prepare", str(ws), "--fresh"])
    said = capsys.readouterr().err
    assert "no longer held out by name: 2" in said
    assert "two.txt" not in said.replace("no longer", "").partition("Held out by name")[2]
    with DocumentStore(ws / "documents.sqlite") as store:
        assert {document.split for document in store} == {None}
    run(["prepare", str(ws)])
    assert "by name" not in capsys.readouterr().err


def test_fresh_with_another_held_out_file_holds_out_that_alone(memlm, corpus, tmp_path):
    ws = tmp_path / "ws"
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text(f"the cat sees the moon {name}\n" * 5, encoding="utf-8")
    memlm("collect", ws, corpus)
    memlm("prepare", ws, "--held-out", tmp_path / "one.txt")
    memlm("prepare", ws, "--fresh", "--held-out", tmp_path / "two.txt")
    with DocumentStore(ws / "documents.sqlite") as store:
        assert [one.source for one in store if one.split == "held_out"] == ["two.txt"]
        assert len([one for one in store if one.text]) == store.count()  # no hash is broken


def test_digest_is_the_same_as_if_nothing_had_been_held_out(memlm, corpus, tmp_path):
    def digest():
        with DocumentStore(tmp_path / "ws" / "documents.sqlite") as store:
            return store.digest()

    memlm("collect", tmp_path / "ws", corpus)
    before = digest()
    memlm("prepare", tmp_path / "ws", "--held-out", corpus / "english.txt")
    assert digest() != before
    memlm("prepare", tmp_path / "ws", "--fresh")
    assert digest() == before
