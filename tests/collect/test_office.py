"""DOCX and ODT: what is text in them, in which order, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.collect.conftest import MakeDocument, ReadBytes

W = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
)
O = "urn:oasis:names:tc:opendocument:xmlns:"  # noqa: E741
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
TABLE_OF_DOCX = (
    "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc>"
    "<w:tc><w:p><w:r><w:t>c</w:t></w:r></w:p></w:tc></w:tr>"
    "<w:tr><w:tc><w:p/></w:tc><w:tc><w:p><w:r><w:t>d</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
)
TABLE_OF_ODT = (
    "<x:table><x:table-row><x:table-cell><t:p>a</t:p><t:p>b</t:p></x:table-cell>"
    "<x:table-cell><t:p>c</t:p></x:table-cell></x:table-row><x:table-row><x:table-cell/>"
    "<x:table-cell><t:p>d</t:p></x:table-cell></x:table-row></x:table>"
)


@pytest.fixture
def docx(read_bytes: ReadBytes, make_document: MakeDocument):
    def read(body: str, **parts: str):
        content = f"<w:document {W}><w:body>{body}</w:body></w:document>"
        return read_bytes("a.docx", make_document(".docx", {"word/document.xml": content} | parts))

    return read


@pytest.fixture
def odt(read_bytes: ReadBytes, make_document: MakeDocument):
    def read(body: str, parts: dict[str, str] | None = None):
        content = (
            f'<o:document-content xmlns:o="{O}office:1.0" xmlns:t="{O}text:1.0" '
            f'xmlns:x="{O}table:1.0"><o:body><o:text>{body}</o:text></o:body>'
            "</o:document-content>"
        )
        return read_bytes("a.odt", make_document(".odt", {"content.xml": content} | (parts or {})))

    return read


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<w:p><w:r><w:t>one</w:t></w:r></w:p><w:p><w:r><w:t>two</w:t></w:r></w:p>", "one\ntwo"),
        ("<w:p><w:r><w:t>o</w:t></w:r><w:r><w:t>ne</w:t></w:r></w:p>", "one"),
        ('<w:p><w:r><w:t xml:space="preserve">a  b</w:t></w:r></w:p>', "a  b"),
        ("<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r></w:p>", "a\tb\nc"),
        (
            "<w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr><w:r><w:t>no stop</w:t></w:r></w:p>",
            "no stop",
        ),
        (
            "<w:p><w:r><w:t>kept</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
            "<w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom></w:p>",
            "kept",
        ),
        ("<w:p><w:r><w:instrText>PAGE</w:instrText><w:t>seen</w:t></w:r></w:p>", "seen"),
        (
            "<w:p><mc:AlternateContent><mc:Choice><w:r><w:t>once</w:t></w:r></mc:Choice>"
            "<mc:Fallback><w:r><w:t>once</w:t></w:r></mc:Fallback></mc:AlternateContent></w:p>",
            "once",
        ),
        (
            "<w:p><w:r><w:t>before</w:t></w:r></w:p>"
            f"{TABLE_OF_DOCX}<w:p><w:r><w:t>after</w:t></w:r></w:p>",
            "before\na b\tc\n\td\nafter",
        ),
        (
            "<w:p><w:r><w:t>outer</w:t><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p>"
            "</w:txbxContent></w:r></w:p>",
            "box\nouter",
        ),
    ],
    ids=["paragraphs", "runs", "spaces", "tab and break", "tab stops", "deleted", "field",
         "said twice", "table", "text box"],
)  # fmt: skip
def test_text_of_docx(docx, body: str, text: str) -> None:
    assert docx(body).text == text


def test_notes_of_docx_stand_at_its_end(docx) -> None:
    notes = (
        f'<w:footnotes {W}><w:footnote w:type="separator"><w:p><w:r><w:separator/></w:r></w:p>'
        "</w:footnote><w:footnote><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote>"
        "</w:footnotes>"
    )
    found = docx("<w:p><w:r><w:t>Text.</w:t></w:r></w:p>", **{"word/footnotes.xml": notes})
    assert found.text == "Text.\n\nA note."


def test_properties_of_docx_become_fields(docx) -> None:
    core = (
        f'<p {DC} xmlns:dcterms="http://purl.org/dc/terms/"><dc:title>The  Lamp</dc:title>'
        "<dc:creator>A. Writer</dc:creator><dcterms:created>2020-02-03T10:00:00Z</dcterms:created>"
        "</p>"
    )
    found = docx("<w:p><w:r><w:t>Text.</w:t></w:r></w:p>", **{"docProps/core.xml": core})
    assert found.fields == {"title": "The Lamp", "author": "A. Writer", "date": "2020-02-03"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<t:h>Head</t:h><t:p>one</t:p><t:list><t:list-item><t:p>two</t:p></t:list-item></t:list>",
         "Head\none\ntwo"),
        ("<t:p>a <t:span> b</t:span>\n   c</t:p>", "a b c"),
        ('<t:p>a<t:s t:c="3"/>b<t:tab/>c<t:line-break/>d</t:p>', "a   b\tc\nd"),
        ("<t:tracked-changes><t:p>gone</t:p></t:tracked-changes><t:p>kept</t:p>", "kept"),
        ("<t:p>kept<o:annotation><t:p>remark</t:p></o:annotation></t:p>", "kept"),
        (f"<t:p>before</t:p>{TABLE_OF_ODT}<t:p>after</t:p>", "before\na b\tc\n\td\nafter"),
        ("<t:p>Text<t:note><t:note-citation>1</t:note-citation><t:note-body><t:p>A note.</t:p>"
         "</t:note-body></t:note>.</t:p>", "Text.\n\nA note."),
    ],
    ids=["paragraphs", "folded spaces", "marks", "deleted", "comment", "table", "note"],
)  # fmt: skip
def test_text_of_odt(odt, body: str, text: str) -> None:
    assert odt(body).text == text


def test_spaces_that_one_element_stands_for_are_bounded(odt) -> None:
    assert len(odt('<t:p>a<t:s t:c="99999999"/>b</t:p>').text) < 200


def test_encrypted_odt_is_said(odt) -> None:
    manifest = "<manifest><encryption-data/></manifest>"
    found = odt("<t:p>x</t:p>", {"META-INF/manifest.xml": manifest})
    assert found.error == "document_encrypted"


def test_document_without_text_is_empty(odt) -> None:
    assert odt("<t:p/>").error == "file_empty"


def test_docx_of_another_writer_is_read_as_it_was_written(
    read_bytes: ReadBytes, tmp_path: Path
) -> None:
    docx = pytest.importorskip("docx")
    document = docx.Document()
    document.core_properties.title = "灯"
    document.add_heading("第一章", level=1)
    document.add_paragraph("The lamp was lit.")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "oil", "three"
    document.add_paragraph("Nobody came.", style="List Bullet")
    document.save(tmp_path / "made.docx")
    found = read_bytes("a.docx", (tmp_path / "made.docx").read_bytes())
    assert found.text == "第一章\nThe lamp was lit.\noil\tthree\nNobody came."
    assert found.fields is not None
    assert found.fields["title"] == "灯"


@pytest.mark.shared_data
def test_text_of_libreoffice_is_read(read_bytes: ReadBytes, shared_data: Path) -> None:
    data = (shared_data / "documents" / "odt" / "source.odt").read_bytes()
    assert read_bytes("a.odt", data).text.startswith("Lorem ipsum dolor sit amet, consetetur")
