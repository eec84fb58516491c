"""What tests of readers of documents share: a file of given bytes, read under given limits."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from memlm.collect import CollectConfig, Limits, Reading, read_file
from memlm.errors import InputError
from memlm.records import SourceNote, SourceText


@dataclass(frozen=True)
class Found:
    """What a reader gave of one file: its text, or the code of its error."""

    text: str = ""
    fields: Mapping[str, object] | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None
    sentence: str = ""


class ReadBytes(Protocol):
    def __call__(self, name: str, data: bytes, **options: Any) -> Found: ...


@pytest.fixture
def read_bytes(tmp_path: Path) -> ReadBytes:
    """Write bytes under a name and read them; options are those of CollectConfig, and `limits`."""

    def read(name: str, data: bytes, *, limits: Limits | None = None, **options: Any) -> Found:
        path = tmp_path / name
        path.write_bytes(data)
        reading = Reading(config=CollectConfig(**options), limits=limits or Limits())
        try:
            found = list(read_file(path, reading))
        except InputError as error:
            return Found(error=error.code, sentence=str(error))
        (text,) = (item for item in found if isinstance(item, SourceText))
        notes = tuple(item.code for item in found if isinstance(item, SourceNote))
        return Found(text=text.text, fields=text.fields, notes=notes)

    return read


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="a" Type="http://x/officeDocument" Target="word/document.xml"/>'
    "</Relationships>"
)
ODF = "urn:oasis:names:tc:opendocument:xmlns:"
CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OPS/book.opf" media-type="x"/></rootfiles></container>'
)
PACKAGE = (
    '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    "<metadata><dc:title>The Lamp</dc:title><dc:creator>A. Writer</dc:creator>"
    "<dc:date>1901-02-03</dc:date></metadata><manifest>"
    '<item id="two" href="two%20.xhtml"/><item id="one" href="one.xhtml"/>'
    '<item id="toc" href="toc.xhtml" properties="nav"/></manifest>'
    '<spine><itemref idref="toc"/><itemref idref="one"/><itemref idref="two"/></spine></package>'
)
SMALLEST: dict[str, dict[str, str]] = {
    ".docx": {
        "_rels/.rels": RELATIONS,
        "word/document.xml": f"<w:document {W}><w:body><w:p><w:r><w:t>The lamp was lit.</w:t>"
        "</w:r></w:p></w:body></w:document>",
    },
    ".odt": {
        "content.xml": f'<o:document-content xmlns:o="{ODF}office:1.0" xmlns:t="{ODF}text:1.0">'
        "<o:body><o:text><t:p>The lamp was lit.</t:p></o:text></o:body></o:document-content>",
    },
    ".epub": {
        "META-INF/container.xml": CONTAINER,
        "OPS/book.opf": PACKAGE,
        "OPS/toc.xhtml": "<html><body><p>Contents</p></body></html>",
        "OPS/one.xhtml": "<html><body><p>The lamp was lit.</p></body></html>",
        "OPS/two .xhtml": "<html><body><p>Nobody came.</p></body></html>",
    },
}


class MakeDocument:
    """Makes the smallest document of an ending, with some of its parts replaced or added."""

    def __call__(self, ending: str, parts: Mapping[str, str | bytes] | None = None) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in (SMALLEST[ending] | dict(parts or {})).items():
                archive.writestr(name, content)
        return buffer.getvalue()

    def smallest(self, ending: str) -> dict[str, str]:
        return SMALLEST[ending]


@pytest.fixture(scope="session")
def make_document() -> MakeDocument:
    return MakeDocument()


class MakePdf(Protocol):
    def __call__(self, *pages: str, password: str | None = None, **properties: str) -> bytes: ...


@pytest.fixture(scope="session")
def make_pdf() -> MakePdf:
    return _pdf


def _pdf(*pages: str, password: str | None = None, **properties: str) -> bytes:
    """A PDF file with a line of text on each page; none where it is empty."""
    import pypdf
    from pypdf import generic

    writer = pypdf.PdfWriter()
    for text in pages:
        page = writer.add_blank_page(200, 200)
        if text:
            font = generic.DictionaryObject(
                {
                    generic.NameObject("/Type"): generic.NameObject("/Font"),
                    generic.NameObject("/Subtype"): generic.NameObject("/Type1"),
                    generic.NameObject("/BaseFont"): generic.NameObject("/Helvetica"),
                }
            )
            fonts = generic.DictionaryObject({generic.NameObject("/F1"): font})
            resources = generic.DictionaryObject({generic.NameObject("/Font"): fonts})
            page[generic.NameObject("/Resources")] = resources
            stream = generic.DecodedStreamObject()
            lines = "".join(f"({line}) Tj 0 -14 Td " for line in text.split("\n"))
            stream.set_data(f"BT /F1 12 Tf 20 150 Td {lines}ET".encode())
            page[generic.NameObject("/Contents")] = writer._add_object(stream)
    writer.add_metadata({f"/{name}": value for name, value in properties.items()})
    if password is not None:
        writer.encrypt(password, algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()
