"""Texts that are too long to hold are read and stored in blocks, with the same result."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm import DocumentStore, collect_documents
from memlm.collect import CollectConfig, Reading, files, normalise_text, read_text_file
from memlm.documents.places import hash_content, hash_long_content
from memlm.errors import InputError
from memlm.records import SourceText
from memlm.workflow import read_whole_text

CASES = {
    "line ends": "one\r\ntwo\rthree\n\r\n" * 20,
    "marks": "e\u0301a\u0323\u0302 \u1100\u1161\u11a8" * 20,
    "only marks": "a" + "\u0302\u0323" * 15,
    "hanzi": "夜里没有人来。灯还亮着" * 20,
    "marks of byte order inside": "a\ufeffb\ufeff\n\ufeff" * 20,
    "one at the start": "\ufeffa text" * 10,
}


@pytest.fixture(params=[1, 2, 3, 7], ids=lambda size: f"blocks of {size}")
def small_blocks(request, monkeypatch) -> None:
    monkeypatch.setattr(files, "LONG_TEXT_BYTES", 0)
    monkeypatch.setattr(files, "_BLOCK_CHARACTERS", request.param)


def _found(path: Path) -> SourceText:
    found = list(read_text_file(path, Reading(config=CollectConfig())))
    assert isinstance(found[-1], SourceText)
    return found[-1]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_blocks_join_to_what_the_whole_would_be(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(text.encode("utf-8"))
    found = _found(path)
    assert found.text == ""
    assert found.blocks is not None
    assert "".join(found.blocks()) == "".join(found.blocks()) == normalise_text(text)


@given(st.text(st.sampled_from("ae\u0301\u0323\r\n 夜\u3099か\u1100\u1161\u11a8\u0bc6\u0bbe")))
def test_no_block_ends_where_unicode_would_compose(text: str) -> None:
    for cut in range(1, len(text)):
        if files._begins_anew(text[cut]):
            parts = (unicodedata.normalize("NFC", part) for part in (text[:cut], text[cut:]))
            assert "".join(parts) == unicodedata.normalize("NFC", text)


def test_hash_of_blocks_is_that_of_the_whole() -> None:
    blocks = ["one ", "二", " three"]
    whole = hash_content("".join(blocks), "a", "{}", None)
    assert hash_long_content(lambda: iter(blocks), "a", "{}", None) == (whole, 11)


def test_long_text_is_the_document_that_a_short_one_would_be(tmp_path, monkeypatch) -> None:
    path = tmp_path / "t.txt"
    path.write_text("a line with é and 灯\r\n" * 500, encoding="utf-8")
    collect_documents(tmp_path / "short", path)
    monkeypatch.setattr(files, "LONG_TEXT_BYTES", 0)
    monkeypatch.setattr(files, "_BLOCK_CHARACTERS", 100)
    report = collect_documents(tmp_path / "long", path)
    assert (report.documents_added, report.characters) == (1, 500 * len("a line with é and 灯\n"))
    with (
        DocumentStore(tmp_path / "short" / "documents.sqlite") as short,
        DocumentStore(tmp_path / "long" / "documents.sqlite") as long,
    ):
        assert [d.text for d in short] == [d.text for d in long]
        assert short.digest() == long.digest()
    assert collect_documents(tmp_path / "long", path).documents_unchanged == 1


@pytest.mark.usefixtures("small_blocks")
def test_long_text_is_read_whole_where_it_is_asked_about(tmp_path) -> None:
    (tmp_path / "t.txt").write_text("a text of some words", encoding="utf-8")
    assert read_whole_text(tmp_path / "t.txt") == "a text of some words"


@pytest.mark.usefixtures("small_blocks")
def test_long_file_of_nothing_but_space_is_empty(tmp_path) -> None:
    (tmp_path / "t.txt").write_text(" \n" * 50, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        _found(tmp_path / "t.txt")
    assert caught.value.code == "file_empty"
