"""E-books: chapters in the order of the spine, and the text of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.collect.conftest import MakeDocument, ReadBytes

DOCTYPE = (
    '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" '
    '"http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">\n'
)


@pytest.fixture
def chapter(read_bytes: ReadBytes, make_document: MakeDocument):
    def read(content: str | bytes):
        parts = {"OPS/one.xhtml": content, "OPS/two .xhtml": "<html/>"}
        return read_bytes("a.epub", make_document(".epub", parts))

    return read


def test_chapters_come_in_the_order_of_the_spine_with_the_fields_of_the_book(
    read_bytes: ReadBytes, make_document: MakeDocument
) -> None:
    found = read_bytes("a.epub", make_document(".epub"))
    assert found.text == "The lamp was lit.\n\nNobody came."
    assert found.fields == {"title": "The Lamp", "date": "1901-02-03", "author": "A. Writer"}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<h1>Head</h1><p>a <em>b</em>\n c</p><div>d<p>e</p>f</div>", "Head\na b c\nd\ne\nf"),
        ("<p>a<br/>b</p><ul><li>c</li><li>d</li></ul>", "a\nb\nc\nd"),
        ("<table><tr><td>a</td><td>b\tc</td></tr><tr><td>d</td></tr></table>", "a\tb c\nd"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("<script>x()</script><style>p{}</style><p>seen</p>", "seen"),
        ("<p>caf&eacute;&nbsp;&mdash; &lt;b&gt; &amp;c</p>", "café — <b> &c"),
        ("<p>&LT;script&GT;</p>", "<script>"),
        ("<p>unclosed<p>and <b>wrong</p>", "unclosed\nand wrong"),
        ('<script src="x"/><a id="y"/><p>after empty elements</p>', "after empty elements"),
    ],
    ids=["blocks", "breaks and lists", "table", "preformatted", "script", "entities",
         "entity that is markup", "not well formed", "empty elements"],
)  # fmt: skip
def test_text_of_a_chapter(chapter, body: str, text: str) -> None:
    content = f"{DOCTYPE}<html><head><title>T</title></head><body>{body}</body></html>"
    assert chapter(content).text == text


def test_chapter_in_utf16_is_read(chapter) -> None:
    content = (
        '<?xml version="1.0" encoding="utf-16"?><html><body><p>夜里没有人来。</p></body></html>'
    )
    assert chapter(content.encode("utf-16")).text == "夜里没有人来。"


def test_missing_chapter_is_said(read_bytes: ReadBytes, make_document: MakeDocument) -> None:
    package = make_document.smallest(".epub")["OPS/book.opf"].replace("one.xhtml", "gone.xhtml")
    found = read_bytes("a.epub", make_document(".epub", {"OPS/book.opf": package}))
    assert (found.text, found.notes) == ("Nobody came.", ("chapters_missing",))


@pytest.mark.parametrize(
    ("part", "error"), [("OPS/one.xhtml", "document_encrypted"), ("OPS/font.otf", None)]
)
def test_book_is_encrypted_where_its_chapters_are(
    read_bytes: ReadBytes, make_document: MakeDocument, part: str, error: str | None
) -> None:
    listed = (
        '<e xmlns="http://www.w3.org/2001/04/xmlenc#"><CipherData>'
        f'<CipherReference URI="{part}"/></CipherData></e>'
    )
    document = make_document(".epub", {"META-INF/encryption.xml": listed})
    assert read_bytes("a.epub", document).error == error


@pytest.mark.parametrize("href", ["../../../etc/passwd", "/etc/passwd", "file:///etc/passwd"])
def test_chapter_outside_the_book_is_never_read(
    read_bytes: ReadBytes, make_document: MakeDocument, href: str
) -> None:
    package = make_document.smallest(".epub")["OPS/book.opf"].replace("one.xhtml", href)
    found = read_bytes("a.epub", make_document(".epub", {"OPS/book.opf": package}))
    assert (found.text, found.notes) == ("Nobody came.", ("chapters_missing",))


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wasteland.epub", "April is the cruellest month, breeding\nLilacs out of the dead land"),
        ("georgia-cfi.epub", "a southern state of the United States of America"),
        ("childrens-literature.epub", "It was the little live Nightingale"),
        ("regime-anticancer-arabic.epub", "ما هو السرطان؟"),
    ],
)
def test_real_book_is_read(read_bytes: ReadBytes, shared_data: Path, name: str, words: str) -> None:
    found = read_bytes(name, (shared_data / "documents" / "epub" / name).read_bytes())
    assert words in found.text
    assert found.notes == ()
