"""Word processor files: DOCX and ODT, paragraph by paragraph, tables row by row.

Both are XML in a zip. Paragraphs and headings come out a line each, in order; the cells of a row
with tabs between them; foot and end notes at the end. What is deleted but still in the file
(tracked changes) and comments are left out. DOCX: ECMA-376, part 1; ODT: OASIS OpenDocument 1.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from memlm.collect.apart import Parsed, Task, read_apart
from memlm.collect.config import Reading
from memlm.collect.document_zip import DocumentZip
from memlm.collect.files import normalise_text
from memlm.collect.xml_events import read_xml
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem, SourceText

_OASIS = "urn:oasis:names:tc:opendocument:xmlns:"
_OOXML = "http://schemas.openxmlformats.org/"
_PREFIXES = {
    f"{_OOXML}wordprocessingml/2006/main": "w",
    "http://purl.oclc.org/ooxml/wordprocessingml/main": "w",
    f"{_OOXML}officeDocument/2006/math": "m",
    f"{_OOXML}markup-compatibility/2006": "mc",
    f"{_OASIS}text:1.0": "text",
    f"{_OASIS}table:1.0": "table",
    f"{_OASIS}office:1.0": "office",
    f"{_OASIS}meta:1.0": "meta",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://purl.org/dc/terms/": "dcterms",
}
_SPACES = re.compile("[ \t\r\n]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOST_SPACES = 100  # of one element that stands for many


@dataclass(frozen=True, kw_only=True)
class _Grammar:
    """Which elements are what."""

    paragraphs: frozenset[str]
    cell: str
    row: str
    marks: Mapping[str, str]
    """Elements that stand for characters."""
    skipped: frozenset[str]
    holders: frozenset[str] | None = None
    """The elements whose text counts; None: all text of a paragraph does, its spaces folded."""
    note: str | None = None
    """A note, inside the paragraph that it belongs to."""


_DOCX = _Grammar(
    paragraphs=frozenset({"w:p"}),
    cell="w:tc",
    row="w:tr",
    marks={"w:tab": "\t", "w:ptab": "\t", "w:br": "\n", "w:cr": "\n", "w:noBreakHyphen": "\u2011"},
    # Properties hold tab stops; a fallback says again what the choice before it said.
    skipped=frozenset({"w:pPr", "w:rPr", "w:del", "w:moveFrom", "mc:Fallback"}),
    holders=frozenset({"w:t", "m:t"}),
)
_ODT = _Grammar(
    paragraphs=frozenset({"text:p", "text:h"}),
    cell="table:table-cell",
    row="table:table-row",
    marks={"text:tab": "\t", "text:line-break": "\n"},
    skipped=frozenset(
        {"text:tracked-changes", "text:note-citation", "office:annotation", "office:binary-data"}
    ),
    note="text:note-body",
)


def read_docx(path: Path, reading: Reading) -> Iterator[SourceText | SourceProblem | SourceNote]:
    """Yield the text of a Word document."""
    yield from read_apart("docx", path, reading)


def read_odt(path: Path, reading: Reading) -> Iterator[SourceText | SourceProblem | SourceNote]:
    """Yield the text of an OpenDocument text."""
    yield from read_apart("odt", path, reading)


def parse_docx(file: BinaryIO, task: Task) -> Parsed:
    """Return the text of a DOCX file; runs in the child process."""
    document = DocumentZip(file, task, format="DOCX")
    if not document.has("_rels/.rels"):
        raise InputError("not_of_format", path=task.name, format="DOCX")
    relations = _Relations()
    _read(document, "_rels/.rels", relations, task)
    main = relations.targets.get("officeDocument", "word/document.xml").lstrip("/")
    text = _Text(_DOCX)
    _read(document, main, text, task)
    for name in ("footnotes.xml", "endnotes.xml"):
        part = main.rpartition("/")[0] + "/" + name
        if document.has(part):
            notes = _Text(_DOCX)
            _read(document, part, notes, task)
            text.notes += [line for line in notes.lines if line.strip()]
    return _parsed(text, _properties(document, "docProps/core.xml", task), task)


def parse_odt(file: BinaryIO, task: Task) -> Parsed:
    """Return the text of an ODT file; runs in the child process."""
    document = DocumentZip(file, task, format="ODT")
    if not document.has("content.xml"):
        raise InputError("not_of_format", path=task.name, format="ODT")
    manifest = "META-INF/manifest.xml"
    if document.has(manifest) and b"encryption-data" in document.read(manifest):
        raise InputError("document_encrypted", path=task.name)
    text = _Text(_ODT)
    _read(document, "content.xml", text, task)
    return _parsed(text, _properties(document, "meta.xml", task), task)


def _read(
    document: DocumentZip, part: str, listener: _Text | _Relations | _Properties, task: Task
) -> None:
    read_xml(
        document.pieces(part),
        listener,
        path=task.name,
        format=document.format,
        prefixes=_PREFIXES,
    )


def _parsed(text: _Text, fields: dict[str, str], task: Task) -> Parsed:
    lines = "\n".join(text.lines).strip("\n")
    notes = "\n".join(text.notes)
    whole = _BLANK_LINES.sub("\n\n", normalise_text(f"{lines}\n\n{notes}" if notes else lines))
    if not whole.strip():
        raise InputError("file_empty", path=task.name)
    return Parsed(text=whole, fields=fields)


@dataclass
class _Frame:
    """An element that is open and gathers text: a paragraph, or what holds paragraphs."""

    name: str
    is_paragraph: bool
    parts: list[str] = field(default_factory=list)


class _Text:
    """Hears XML and gathers `lines` and `notes`.

    Open elements are a stack, because paragraphs hold others: a text box or a note lies inside the
    paragraph that it is anchored to, and comes out before it.
    """

    def __init__(self, grammar: _Grammar) -> None:
        self.lines: list[str] = []
        self.notes: list[str] = []
        self._grammar = grammar
        self._frames = [_Frame("", is_paragraph=False, parts=self.lines)]
        self._skipped = 0
        self._holders = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        grammar = self._grammar
        if self._skipped or name in grammar.skipped:
            self._skipped += 1
        elif name in grammar.paragraphs:
            self._frames.append(_Frame(name, is_paragraph=True))
        elif name in (grammar.cell, grammar.row, grammar.note):
            self._frames.append(_Frame(name, is_paragraph=False))
        elif grammar.holders is not None and name in grammar.holders:
            self._holders += 1
        elif self._frames[-1].is_paragraph:
            self._frames[-1].parts.append(_characters_of(name, attributes, grammar))

    def end(self, name: str) -> None:
        grammar = self._grammar
        if self._skipped:
            self._skipped -= 1
        elif name in (*grammar.paragraphs, grammar.cell, grammar.row, grammar.note):
            self._close(self._frames.pop())
        elif grammar.holders is not None and name in grammar.holders:
            self._holders -= 1

    def text(self, data: str) -> None:
        frame = self._frames[-1]
        if self._skipped or not frame.is_paragraph:
            return
        if self._grammar.holders is not None:
            if self._holders:
                frame.parts.append(data)
            return
        data = _SPACES.sub(" ", data)
        is_after_space = not "".join(frame.parts[-1:]).strip(" ")
        frame.parts.append(data.lstrip(" ") if is_after_space else data)

    def _close(self, frame: _Frame) -> None:
        below = next(one for one in reversed(self._frames) if not one.is_paragraph)
        if frame.is_paragraph:
            below.parts.append("".join(frame.parts).rstrip())
        elif frame.name == self._grammar.row:
            below.parts.append("\t".join(frame.parts).rstrip())
        else:
            line = " ".join(" ".join(part.split("\n")) for part in frame.parts if part.strip())
            (self.notes if frame.name == self._grammar.note else below.parts).append(line)


def _characters_of(name: str, attributes: Mapping[str, str], grammar: _Grammar) -> str:
    """Return the characters that an element inside a paragraph stands for."""
    if name == "text:s":
        count = attributes.get("text:c", "1")
        return " " * min(int(count) if count.isdecimal() and len(count) < 9 else 1, _MOST_SPACES)
    return grammar.marks.get(name, "")


class _Relations:
    """Hears which part of a DOCX file is what."""

    def __init__(self) -> None:
        self.targets: dict[str, str] = {}

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name.endswith(":Relationship"):
            kind = attributes.get("Type", "").rpartition("/")[2]
            self.targets.setdefault(kind, attributes.get("Target", ""))

    def end(self, name: str) -> None:
        return

    def text(self, data: str) -> None:
        return


class _Properties:
    """Hears the properties of a document."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._name = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._name = name

    def end(self, name: str) -> None:
        self._name = ""

    def text(self, data: str) -> None:
        if self._name:
            self.found[self._name] = self.found.get(self._name, "") + data


def _properties(document: DocumentZip, part: str, task: Task) -> dict[str, str]:
    """Return title, date and author, those that the document states."""
    if not document.has(part):
        return {}
    heard = _Properties()
    _read(document, part, heard, task)
    wanted = {
        "title": ("dc:title",),
        "date": ("dcterms:created", "meta:creation-date"),
        "author": ("meta:initial-creator", "dc:creator"),
    }
    found: dict[str, str] = {}
    for name, elements in wanted.items():
        value = next((heard.found[one] for one in elements if heard.found.get(one)), "")
        line = normalise_text(" ".join(value.split()))
        day = _DAY.match(line)
        if name == "date":
            line = day[0] if day else ""
        if line:
            found[name] = line
    return found
