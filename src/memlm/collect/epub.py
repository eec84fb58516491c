"""E-books: the chapters of an EPUB in reading order, with its title, author and date.

An EPUB is a zip: `META-INF/container.xml` names the package file, whose manifest lists the parts
and whose spine puts chapters in order (EPUB 3.3, W3C). Chapters are XHTML; where one is not well
formed it is read as browsers read HTML. Every block of text is a line, chapters have a blank line
between them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from html.entities import html5
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from memlm.collect.apart import Parsed, Task, read_apart
from memlm.collect.config import Reading
from memlm.collect.document_zip import DocumentZip
from memlm.collect.files import normalise_text
from memlm.collect.page_encoding import decode_page
from memlm.collect.xml_events import Listener, read_xml
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem, SourceText
from memlm.runtime import require_package

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PREFIXES = {"http://www.w3.org/1999/xhtml": "", "http://purl.org/dc/elements/1.1/": "dc"}
_DECLARATION = re.compile(r"\s*<\?xml[^>]{0,300}\?>")
# One without a subset of its own declares nothing.
_PLAIN_DOCTYPE = re.compile(r"<!DOCTYPE[^>\[]{0,500}>", re.IGNORECASE)
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{1,30});")
_OF_XML = ("amp", "lt", "gt", "quot", "apos")
_UNREAD = frozenset({"head", "script", "style", "template", "svg", "rp", "rt", "noscript"})
_INLINE = frozenset(
    {
        "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data",
        "del", "dfn", "em", "font", "i", "img", "ins", "kbd", "label", "mark",
        "q", "ruby", "rb", "rtc", "s", "samp", "small", "span", "strike", "strong",
        "sub", "sup", "time", "tt", "u", "var", "wbr",
    }
)  # fmt: skip
_CELL = "\x1f"  # no text has it: XML forbids it
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


def read_epub(path: Path, reading: Reading) -> Iterator[SourceText | SourceProblem | SourceNote]:
    """Yield the text of an e-book."""
    require_package("lxml", extra="documents")
    yield from read_apart("epub", path, reading)


def parse_epub(file: BinaryIO, task: Task) -> Parsed:
    """Return the text of all chapters of an EPUB file; runs in the child process."""
    document = DocumentZip(file, task, format="EPUB")
    if not document.has(_CONTAINER):
        raise InputError("not_of_format", path=task.name, format="EPUB")
    container, book = _Container(), _Book()
    _read(document, _CONTAINER, container, task)
    _read(document, container.package, book, task)
    folder = posixpath.dirname(container.package)
    parts = [_resolve(folder, href) for href in book.chapters()]
    _check_readable(document, parts, task)
    found = [part for part in parts if document.has(part)]
    chapters = [_chapter_text(document, part, task) for part in found]
    text = normalise_text("\n\n".join(chapter for chapter in chapters if chapter))
    if not text:
        raise InputError("file_empty", path=task.name)
    values = {"path": task.name, "count": len(parts) - len(found)}
    notes = (SourceNote(code="chapters_missing", values=values),) if values["count"] else ()
    return Parsed(text=text, fields=book.fields(), notes=notes)


def _read(document: DocumentZip, part: str, listener: Listener, task: Task) -> None:
    read_xml(document.pieces(part), listener, path=task.name, format="EPUB", prefixes=_PREFIXES)


def _resolve(folder: str, href: str) -> str:
    return posixpath.normpath(posixpath.join(folder, unquote(href.partition("#")[0])))


def _check_readable(document: DocumentZip, parts: list[str], task: Task) -> None:
    """Raise InputError if chapters are encrypted (fonts often are, and are no text)."""
    if not document.has(_ENCRYPTION):
        return
    listed = _Encrypted()
    _read(document, _ENCRYPTION, listed, task)
    if listed.parts & set(parts):
        raise InputError("document_encrypted", path=task.name)


class _Container:
    """Hears where the package file is."""

    package = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name.endswith(":rootfile") and not self.package:
            self.package = attributes.get("full-path", "")

    def end(self, name: str) -> None:
        return

    def text(self, data: str) -> None:
        return


class _Encrypted:
    """Hears which parts are encrypted."""

    def __init__(self) -> None:
        self.parts: set[str] = set()

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name.endswith(":CipherReference"):
            self.parts.add(_resolve("", attributes.get("URI", "")))

    def end(self, name: str) -> None:
        return

    def text(self, data: str) -> None:
        return


class _Book:
    """Hears the package file: what there is, in which order, and what the book is called."""

    def __init__(self) -> None:
        self._hrefs: dict[str, str] = {}
        self._spine: list[str] = []
        self._said: dict[str, list[str]] = {"dc:title": [], "dc:creator": [], "dc:date": []}
        self._name = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._name, local = name, name.rpartition(":")[2]
        # A table of contents repeats the headings.
        if local == "item" and "nav" not in attributes.get("properties", "").split():
            self._hrefs[attributes.get("id", "")] = attributes.get("href", "")
        elif local == "itemref":
            self._spine.append(attributes.get("idref", ""))
        elif name in self._said:
            self._said[name].append("")

    def end(self, name: str) -> None:
        self._name = ""

    def text(self, data: str) -> None:
        if self._name in self._said:
            self._said[self._name][-1] += data

    def chapters(self) -> list[str]:
        """Return where the chapters lie, in reading order, each once."""
        return [self._hrefs[one] for one in dict.fromkeys(self._spine) if one in self._hrefs]

    def fields(self) -> dict[str, str]:
        """Return title, date and author, those that the book states."""
        titles, authors, dates = (
            [" ".join(line.split()) for line in lines if line.strip()]
            for lines in self._said.values()
        )
        date = _DATE.match(dates[0]) if dates else None
        known = {
            "title": titles[0] if titles else "",
            "date": date[0] if date else "",
            "author": "; ".join(authors),
        }
        return {name: normalise_text(value) for name, value in known.items() if value}


def _chapter_text(document: DocumentZip, part: str, task: Task) -> str:
    """Return the text of a chapter, a line for each block."""
    page = decode_page(document.read(part), name=task.name).text
    page = _PLAIN_DOCTYPE.sub("", _DECLARATION.sub("", page, count=1), count=1)
    chapter = _Chapter()
    try:
        data = _ENTITY.sub(_character, page).encode()
        read_xml([data], chapter, path=task.name, format="EPUB", prefixes=_PREFIXES)
    except InputError as error:
        if error.code != "file_damaged":
            raise
        chapter = _Chapter()
        _read_loosely(page, chapter)
    return chapter.finish()


def _character(entity: re.Match[str]) -> str:
    """Return the character that a named entity of HTML stands for, which XML does not know."""
    name = entity[1]
    value = html5.get(f"{name};")
    return entity[0] if name in _OF_XML or value is None or value in "<&" else value


def _read_loosely(page: str, chapter: _Chapter) -> None:
    """Read a chapter as browsers do, who forgive everything."""
    import lxml.etree
    import lxml.html

    parser = lxml.html.HTMLParser(
        remove_comments=True, remove_pis=True, no_network=True, encoding="utf-8"
    )
    try:
        tree = lxml.html.document_fromstring(page.encode(), parser=parser)
    except lxml.etree.ParserError:  # there is nothing in it
        return
    for event, element in lxml.etree.iterwalk(tree, events=("start", "end")):
        name = f":{element.tag}"
        if event == "start":
            chapter.start(name, {})
            chapter.text(element.text or "")
        else:
            chapter.end(name)
            chapter.text(element.tail or "")


class _Chapter:
    """Hears XHTML and gathers lines."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._parts: list[str] = []
        self._unread = 0
        self._preformatted = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        prefix, _, local = name.rpartition(":")
        if self._unread or local in _UNREAD:
            self._unread += 1
        elif not prefix and local not in _INLINE:
            self._break(local)
            self._preformatted += local == "pre"

    def end(self, name: str) -> None:
        prefix, _, local = name.rpartition(":")
        if self._unread:
            self._unread -= 1
        elif not prefix and local not in _INLINE:
            self._break(local)
            self._preformatted -= local == "pre"

    def text(self, data: str) -> None:
        if not self._unread:
            self._parts.append(data)

    def finish(self) -> str:
        """Return all lines."""
        self._break("")
        return "\n".join(self._lines)

    def _break(self, element: str) -> None:
        """End a line; cells of a row stay on one, with tabs between them."""
        if element in ("td", "th"):
            self._parts.append(_CELL)
            return
        text = "".join(self._parts)
        self._parts.clear()
        if self._preformatted:
            self._lines += text.strip("\n").split("\n")
            return
        cells = (" ".join(cell.split()) for cell in text.split(_CELL))
        line = "\t".join(cell for cell in cells if cell)
        if line:
            self._lines.append(line)
