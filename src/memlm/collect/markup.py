"""Web pages: the main text of a page, with its title, date and author; trafilatura finds it.

It is asked twice, to be precise and to be balanced. The precise answer is the better one (word F1
on `benchmarks/extraction.py`), unless it lost the article: then it is less than half as long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from memlm.collect.apart import Parsed, Task, parse_apart, read_apart
from memlm.collect.config import Reading
from memlm.collect.files import normalise_text
from memlm.collect.page_encoding import DecodedPage, decode_page
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem, SourceText
from memlm.runtime import require_package

_BEGINNINGS_OF_OTHERS = (b"%PDF-", b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0", b"\x89PNG")
# A declaration names the encoding of bytes, and lxml refuses it in what is decoded already.
_DECLARATION = re.compile(r"\s*<\?xml[^>]{0,300}\?>")
_LEAST_OF_BALANCED = 0.5
_SPACE_AT_LINE_END = re.compile(r"[ \t]+(?=\n|$)")
_INDENT = re.compile("^[ \t]+", re.MULTILINE)
_EDITOR = re.compile("责任编辑|责编|编辑[:：]")
_BYLINE = re.compile("^(作者|文)[:：]")
_NOBODY = ("未知", "佚名")


@dataclass(frozen=True)
class Page:
    """What a page says, without its menus and advertisements."""

    text: str
    title: str | None = None
    date: str | None = None
    """The day it was published, as YYYY-MM-DD."""
    author: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """Title, date and author: those that the page states."""
        known = {"title": self.title, "date": self.date, "author": self.author}
        return {name: value for name, value in known.items() if value}


def read_page(path: Path, reading: Reading) -> Iterator[SourceText | SourceProblem | SourceNote]:
    """Yield the main text of an HTML file."""
    require_package("trafilatura", extra="documents")
    yield from read_apart("page", path, reading)


def extract_page_apart(
    data: bytes,
    reading: Reading,
    *,
    name: str,
    address: str | None = None,
    charset: str | None = None,
) -> Parsed:
    """Return the main text, fields and notes of the bytes of a page, parsed in the child process.

    What archives of the web and the web itself call. `name` is for sentences about the page,
    `charset` what its server said. Raises InputError where the page has no main text, is no page,
    or is more than the limits allow.
    """
    require_package("trafilatura", extra="documents")
    task = Task(
        name=name,
        limits=reading.limits,
        encoding=reading.config.encoding,
        charset=charset,
        address=address,
    )
    return parse_apart("page", data, task)


def parse_page(file: BinaryIO, task: Task) -> Parsed:
    """Return the main text of an HTML page; runs in the child process."""
    data = file.read()
    if data.startswith(_BEGINNINGS_OF_OTHERS):
        raise InputError("not_of_format", path=task.name, format="HTML")
    decoded = decode_page(data, name=task.name, wish=task.encoding, charset=task.charset)
    page = _extract(decoded.text, address=task.address)
    if page is None:
        raise InputError("no_main_text", path=task.name)
    return Parsed(text=page.text, fields=page.fields, notes=tuple(_notes(decoded, task)))


def extract_page(
    data: bytes, *, address: str | None = None, charset: str | None = None
) -> Page | None:
    """Return the main text of an HTML page; None where it has none.

    Works in this process and without limits: for pages that come from strangers there is
    `extract_page_apart`.
    """
    require_package("trafilatura", extra="documents")
    return _extract(decode_page(data, name=address or "", charset=charset).text, address=address)


def _extract(text: str, *, address: str | None) -> Page | None:
    import trafilatura

    text = _DECLARATION.sub("", text, count=1)
    precise, balanced = (
        trafilatura.bare_extraction(
            text,
            url=address,
            favor_precision=is_precise,
            with_metadata=True,
            include_comments=False,
            prune_xpath=["//template"],  # no browser shows it
            # Only what the page states: no dates picked from its prose.
            date_extraction_params={"extensive_search": False, "original_date": True},
        )
        for is_precise in (True, False)
    )
    found = balanced
    if _length(precise) >= _LEAST_OF_BALANCED * _length(balanced):
        found = precise
    if found is None or isinstance(found, dict) or not _length(found):
        return None
    return Page(
        text=_tidy(normalise_text(found.text or ""), keeps_indents="<pre" in text.lower()),
        title=_line(found.title),
        date=_line(found.date),
        author=_author(found.author),
    )


def _tidy(text: str, *, keeps_indents: bool) -> str:
    """Return the text without spaces at the ends of lines; only programs mean those before them."""
    text = _SPACE_AT_LINE_END.sub("", text)
    return (text if keeps_indents else _INDENT.sub("", text)).strip("\n")


def _length(found: object) -> int:
    return len((getattr(found, "text", None) or "").strip())


def _author(value: str | None) -> str | None:
    """Return the author without the words around the name; an editor is no author."""
    name = _line(_EDITOR.split(value or "")[0]) or ""
    name = _BYLINE.sub("", name).strip()
    return name if name and name not in _NOBODY else None


def _line(value: str | None) -> str | None:
    return normalise_text(" ".join(value.split())) if value else None


def _notes(decoded: DecodedPage, task: Task) -> Iterator[SourceNote]:
    values = {"path": task.name, "encoding": decoded.encoding}
    if decoded.claimed is not None:
        yield SourceNote(code="page_encoding_lies", values=values | {"claimed": decoded.claimed})
    elif decoded.is_guess:
        yield SourceNote(code="encoding_found", values=values)
    if decoded.bad_bytes:
        yield SourceNote(code="page_damaged", values=values | {"count": decoded.bad_bytes})
