"""A trace shows the collected text, and says where it was masked before anything was learned."""

from __future__ import annotations

from pathlib import Path

import pytest

from memlm.cli.app import run

TOLD = "please write to mary.smith@example.org before the end of the week, said the old man"


@pytest.fixture
def redacted(memlm, corpus: Path, tmp_path: Path) -> Path:
    """Return a workspace in whose texts an e-mail address was masked."""
    (corpus / "letter.txt").write_text(f"{TOLD}\n", encoding="utf-8")
    memlm("collect", tmp_path / "ws", corpus)
    memlm("prepare", tmp_path / "ws", "--redact", "--tokenizer", "char")
    return tmp_path / "ws"


def marks(found) -> list[list[str]]:
    return [source["masked"] for span in found["spans"] for source in span["sources"]]


def test_span_with_a_masked_address_is_marked(memlm, redacted):
    assert marks(memlm("trace", redacted, "--text", TOLD)) == [["email"]]


def test_span_beside_a_masked_address_is_not_marked(memlm, redacted):
    found = memlm("trace", redacted, "--text", TOLD.partition(" before ")[2])
    assert marks(found) == [[]]


def test_nothing_is_marked_where_nothing_was_masked(memlm, redacted, corpus, tmp_path):
    memlm("collect", tmp_path / "plain", corpus)
    memlm("prepare", tmp_path / "plain", "--tokenizer", "char")
    assert marks(memlm("trace", tmp_path / "plain", "--text", TOLD)) == [[]]


def test_mark_follows_the_text_when_its_file_changes(memlm, corpus, redacted):
    (corpus / "letter.txt").write_text(f"Something before it. {TOLD}\n", encoding="utf-8")
    memlm("collect", redacted, corpus)
    assert marks(memlm("trace", redacted, "--text", TOLD)) == [["email"]]
    found = memlm("trace", redacted, "--text", "Something before it. please write")
    assert marks(found) == [[]]


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "(masked when prepared: e-mail address)"), ("zh", "（准备时已遮盖：电子邮箱）")],
)
def test_mark_is_shown_at_the_terminal(redacted, capsys, language, said):
    assert run(["trace", str(redacted), "--text", TOLD, "--language", language]) == 0
    assert said in capsys.readouterr().out
