"""Documents that are zip files inside: bombs, traps and damage, each a problem of its file."""

from __future__ import annotations

import struct
import time
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from memlm.collect import Limits

if TYPE_CHECKING:
    from tests.collect.conftest import MakeDocument, ReadBytes

ENDINGS = (".docx", ".odt", ".epub")
MAIN = {".docx": "word/document.xml", ".odt": "content.xml", ".epub": "OPS/one.xhtml"}
LAUGHS = (
    '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]>'
)
DECLARATIONS = {
    "billion laughs": LAUGHS,
    "quadratic blow-up": f'<!DOCTYPE a [<!ENTITY d "{"x" * 10**5}">]>',
    "local file": '<!DOCTYPE a [<!ENTITY d SYSTEM "file:///etc/passwd">]>',
    "address": '<!DOCTYPE a [<!ENTITY d SYSTEM "http://127.0.0.1:9/x">]>',
    "parameter entity": '<!DOCTYPE a [<!ENTITY % d SYSTEM "http://127.0.0.1:9/x"> %d;]>',
}
pytestmark = pytest.mark.parametrize("ending", ENDINGS)


def text_of(ending: str) -> str:
    return "The lamp was lit." + ("\n\nNobody came." if ending == ".epub" else "")


def test_smallest_document_is_read(
    ending: str, read_bytes: ReadBytes, make_document: MakeDocument
) -> None:
    assert read_bytes(f"a{ending}", make_document(ending)).text == text_of(ending)


@pytest.mark.parametrize("declaration", DECLARATIONS.values(), ids=DECLARATIONS)
def test_declared_entities_are_refused(
    ending: str, read_bytes: ReadBytes, make_document: MakeDocument, declaration: str
) -> None:
    content = declaration + make_document.smallest(ending)[MAIN[ending]].replace("lamp", "&d;")
    document = make_document(ending, {MAIN[ending]: content})
    assert read_bytes(f"a{ending}", document).error == "xml_with_dtd"


def test_bomb_is_not_unpacked(
    ending: str, read_bytes: ReadBytes, make_document: MakeDocument
) -> None:
    content = make_document.smallest(ending)[MAIN[ending]].replace("lamp", "x" * 10**7)
    limits = Limits(ratio_free_bytes=10**6)
    found = read_bytes(f"a{ending}", make_document(ending, {MAIN[ending]: content}), limits=limits)
    assert found.error == "document_unpacks_too_far"


def test_parts_on_top_of_one_another_are_refused(
    ending: str, read_bytes: ReadBytes, make_document: MakeDocument
) -> None:
    document = bytearray(make_document(ending, {"a": "aaa", "b": "bbb"}))
    # The list says of both that they begin where the first does.
    last = document.rindex(b"PK\x01\x02")
    before = document.rindex(b"PK\x01\x02", 0, last)
    document[last + 42 : last + 46] = document[before + 42 : before + 46]
    assert read_bytes(f"a{ending}", bytes(document)).error == "document_parts_overlap"


def test_size_that_lies_is_noticed(
    ending: str, read_bytes: ReadBytes, make_document: MakeDocument
) -> None:
    document = bytearray(make_document(ending))
    with zipfile.ZipFile(BytesIO(document)) as archive:
        size = archive.getinfo(MAIN[ending]).file_size
    at = document.rindex(b"PK\x01\x02", 0, document.rindex(MAIN[ending].encode()))
    assert struct.unpack("<I", document[at + 24 : at + 28]) == (size,)
    document[at + 24 : at + 28] = struct.pack("<I", size - 5)
    assert read_bytes(f"a{ending}", bytes(document)).error == "file_damaged"


def test_encrypted_parts_are_said(
    ending: str, read_bytes: ReadBytes, make_document: MakeDocument
) -> None:
    document = bytearray(make_document(ending))
    at = document.index(b"PK\x01\x02")
    document[at + 8] |= 1
    assert read_bytes(f"a{ending}", bytes(document)).error == "document_encrypted"


def test_too_many_parts_are_refused(
    ending: str, read_bytes: ReadBytes, make_document: MakeDocument
) -> None:
    limits = Limits(members=2)
    found = read_bytes(f"a{ending}", make_document(ending, {"a": "", "b": ""}), limits=limits)
    assert found.error == "document_parts"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_document_cut_short_is_damaged(
    ending: str, read_bytes: ReadBytes, make_document: MakeDocument, share: float
) -> None:
    document = make_document(ending)
    assert read_bytes(f"a{ending}", document[: int(share * len(document))]).error == "file_damaged"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "file_empty"),
        (b"only words", "not_of_format"),
        (b"%PDF-1.4\n", "not_of_format"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "document_encrypted"),
    ],
    ids=["nothing", "text", "PDF", "encrypted by Word"],
)
def test_what_is_no_such_document_is_said(
    ending: str, read_bytes: ReadBytes, data: bytes, code: str
) -> None:
    assert read_bytes(f"a{ending}", data).error == code


def test_zip_of_something_else_is_not_taken(ending: str, read_bytes: ReadBytes) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("notes.txt", "words")
    assert read_bytes(f"a{ending}", buffer.getvalue()).error == "not_of_format"


def test_elements_nested_without_end_are_no_danger(
    ending: str, read_bytes: ReadBytes, make_document: MakeDocument
) -> None:
    content = make_document.smallest(ending)[MAIN[ending]]
    deep = content.replace("lamp", "<span>" * 10**5 + "lamp" + "</span>" * 10**5)
    started = time.monotonic()
    found = read_bytes(f"a{ending}", make_document(ending, {MAIN[ending]: deep}))
    assert found.text == text_of(ending)
    assert time.monotonic() - started < 10
