"""Text that is held out is never learned from, whatever is collected afterwards."""

from __future__ import annotations

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
