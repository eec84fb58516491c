"""One file or one string is one text, normalised the same way wherever it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.collect import CollectConfig, Limits, Reading, normalise_text, read_text_file
from memlm.errors import InputError
from memlm.records import SourceNote, SourceText


def read(tmp_path: Path, data: bytes, **options: str) -> str:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    found = read_text_file(path, Reading(config=CollectConfig(**options)))
    return next(item.text for item in found if isinstance(item, SourceText))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_line_ends_become_lf(tmp_path: Path, end: str) -> None:
    assert read(tmp_path, f"one{end}{end}two{end}".encode()) == "one\n\ntwo\n"


def test_byte_order_mark_is_taken_away(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufefftext".encode()) == "text"


def test_text_is_in_normal_form_c(tmp_path: Path) -> None:
    assert read(tmp_path, "cafe\u0301 \u1100\u1161".encode()) == "café 가"


def test_other_line_separators_are_kept(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\x85d\x0ce"
    assert read(tmp_path, text.encode()) == text


def test_named_encoding_is_taken(tmp_path: Path) -> None:
    assert read(tmp_path, b"caf\xe9", encoding="latin-1") == "café"


def test_encoding_found_by_evidence_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("这是中文的书，我们都读过。".encode("gb18030"))
    note, _ = read_text_file(tmp_path / "a.txt", Reading(config=CollectConfig()))
    assert isinstance(note, SourceNote)
    assert note.values == {"path": "a.txt", "encoding": "gb18030"}


@pytest.mark.parametrize("data", [b"", b" \n\t\n", "\ufeff\u3000".encode()], ids=repr)
def test_file_without_text_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, data)
    assert caught.value.code == "file_empty"


def test_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"four")
    reading = Reading(config=CollectConfig(), limits=Limits(text_bytes=3))
    with pytest.raises(InputError) as caught:
        list(read_text_file(tmp_path / "a.txt", reading))
    assert caught.value.code == "file_too_large"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise_text(text)
    assert normalise_text(once) == once or text.startswith("\ufeff\ufeff")
    assert "\r" not in once


@pytest.mark.parametrize(
    "marks", ["\u0301" * 100_000, "\u0301\u0316" * 50_000], ids=["one", "two that change places"]
)
def test_marks_piled_without_end_are_refused_at_once(marks: str) -> None:
    with pytest.raises(InputError) as caught:
        normalise_text("letters a" + marks + " and more")
    assert (caught.value.code, caught.value.values["offset"]) == ("marks_piled", 9)


@pytest.mark.parametrize(
    "text", ["a" + "\u0316" * 30 + "b", "—" * 200, "😀" * 200, "क्षि" * 50], ids=ascii
)
def test_signs_that_only_look_like_piles_are_kept(text: str) -> None:
    assert normalise_text(text) == text
