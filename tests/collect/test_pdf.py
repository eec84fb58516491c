"""PDF: the text layer in order, and what is said of files that have none or cannot be opened."""

from __future__ import annotations

import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memlm.collect import Limits

if TYPE_CHECKING:
    from tests.collect.conftest import MakePdf, ReadBytes

pytest.importorskip("pypdf")


@pytest.mark.parametrize(
    ("pages", "text"),
    [
        (("One line\nand another.",), "One line\nand another."),
        (("One page.", "Another page."), "One page.\n\nAnother page."),
        (("A sentence that", "runs on."), "A sentence that\nruns on."),
        (("A hyphen-\nated word",), "A hyphen-\nated word"),
    ],
    ids=["lines", "pages", "sentence over two pages", "hyphen"],
)
def test_text_of_pages(
    read_bytes: ReadBytes, make_pdf: MakePdf, pages: tuple[str, ...], text: str
) -> None:
    assert read_bytes("a.pdf", make_pdf(*pages)).text == text


def test_properties_become_fields(read_bytes: ReadBytes, make_pdf: MakePdf) -> None:
    data = make_pdf(
        "Text.", Title="The  Lamp", Author="A. Writer", CreationDate="D:20200203101112+01'00'"
    )
    fields = {"title": "The Lamp", "author": "A. Writer", "date": "2020-02-03"}
    assert read_bytes("a.pdf", data).fields == fields


def test_date_that_is_none_is_left_out(read_bytes: ReadBytes, make_pdf: MakePdf) -> None:
    assert "date" not in (read_bytes("a.pdf", make_pdf("Text.", CreationDate="soon")).fields or {})


def test_pages_without_text_are_said(read_bytes: ReadBytes, make_pdf: MakePdf) -> None:
    found = read_bytes("a.pdf", make_pdf("Text.", ""))
    assert (found.text, found.notes) == ("Text.", ("pdf_pages_without_text",))


def test_pdf_of_pictures_is_said_to_have_no_text(read_bytes: ReadBytes, make_pdf: MakePdf) -> None:
    found = read_bytes("a.pdf", make_pdf("", ""))
    assert found.error == "pdf_without_text"
    assert "2" in found.sentence


@pytest.mark.parametrize(
    ("password", "error"), [(None, "pdf_encrypted"), ("wrong", "pdf_password_wrong"), ("灯", None)]
)
def test_encrypted_pdf_opens_with_its_password(
    read_bytes: ReadBytes, make_pdf: MakePdf, password: str | None, error: str | None
) -> None:
    found = read_bytes("a.pdf", make_pdf("Text.", password="灯"), password=password)
    assert found.error == error
    assert found.text == ("" if error else "Text.")


def test_pdf_that_anybody_may_open_needs_no_password(
    read_bytes: ReadBytes, make_pdf: MakePdf
) -> None:
    assert read_bytes("a.pdf", make_pdf("Text.", password="")).text == "Text."


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "file_empty"),
        (b"<html><p>words</p></html>", "not_of_format"),
        (b"%PDF-1.7\nnothing more", "file_damaged"),
        (b"%PDF-1.7\n" + b"\xff" * 5000, "file_damaged"),
    ],
    ids=["nothing", "HTML", "head alone", "rubbish"],
)
def test_what_is_no_whole_pdf_is_said(read_bytes: ReadBytes, data: bytes, error: str) -> None:
    assert read_bytes("a.pdf", data).error == error


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_pdf_cut_short_is_damaged(read_bytes: ReadBytes, make_pdf: MakePdf, share: float) -> None:
    data = make_pdf("Text.")
    assert read_bytes("a.pdf", data[: int(share * len(data))]).error == "file_damaged"


def test_bomb_in_a_page_is_a_problem_of_its_file_alone(
    read_bytes: ReadBytes, make_pdf: MakePdf
) -> None:
    packed = zlib.compress(b"(x) Tj " * 3 * 10**7)
    stream = b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(packed), packed)
    whole = make_pdf("Bomb.")
    at, end = whole.index(b"stream\n"), whole.index(b"endstream") + len(b"endstream")
    at = whole.rindex(b"<<", 0, at)
    started = time.monotonic()
    limits = Limits(parse_seconds=1, parse_memory_bytes=10**9)
    found = read_bytes("a.pdf", whole[:at] + stream + whole[end:], limits=limits)
    assert found.error in ("file_damaged", "parser_slow", "parser_memory")
    assert time.monotonic() - started < 10
    assert read_bytes("b.pdf", make_pdf("Next.")).text == "Next."


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("crazyones-pdfa.pdf", "crazy"),
        ("google-doc-document.pdf", "Simple is better than complex."),
        ("habibi.pdf", "habibi"),
        ("libreoffice-writer-password.pdf", ""),
        ("minimal-document.pdf", "Lorem ipsum"),
        ("multicolumn.pdf", "Lorem ipsum dolor sit amet, consectetuer adip-\niscing elit."),
        ("pdfkit.pdf", "Foo"),
        ("pdflatex-4-pages.pdf", "Huardest gefburn"),
        ("pdflatex-outline.pdf", "1 Foo\nHello, here is some text"),
    ],
)
def test_real_pdf_is_read(read_bytes: ReadBytes, shared_data: Path, name: str, words: str) -> None:
    data = (shared_data / "documents" / "pdf" / name).read_bytes()
    found = read_bytes(name, data, password="openpassword")
    assert found.error is None
    assert words in found.text
