"""PDF: the text layer of each page, in order; pypdf reads it.

Words hyphenated at the end of a line stay as they are: whether the hyphen belongs to the word is
not written in the file. Scanned pages have no text layer, and nothing is read out of pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from memlm.collect.apart import Parsed, Task, read_apart
from memlm.collect.config import Reading
from memlm.collect.files import normalise_text
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem, SourceText
from memlm.runtime import require_package

if TYPE_CHECKING:
    import pypdf

_HEAD_BYTES = 1024  # readers look for the signature this far, since Acrobat did
_SPACE_AT_LINE_END = re.compile(r"[ \t\0]+(?=\n|$)")
_BLANK_LINES = re.compile(r"\n{3,}")


def read_pdf(path: Path, reading: Reading) -> Iterator[SourceText | SourceProblem | SourceNote]:
    """Yield the text of a PDF file."""
    require_package("pypdf", extra="documents")
    yield from read_apart("pdf", path, reading)


def parse_pdf(file: BinaryIO, task: Task) -> Parsed:
    """Return the text of all pages of a PDF file; runs in the child process."""
    import pypdf

    if b"%PDF-" not in file.read(_HEAD_BYTES):
        raise InputError("not_of_format", path=task.name, format="PDF")
    file.seek(0)
    try:
        reader = pypdf.PdfReader(file)
        _unlock(reader, task)
        pages = [_text_of(page) for page in reader.pages]
        fields = dict(_fields_of(reader))
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a damaged file brings up nearly every exception there is
        raise InputError("file_damaged", path=task.name, format="PDF") from error
    empty = sum(not page for page in pages)
    if empty == len(pages):
        raise InputError("pdf_without_text", path=task.name, count=len(pages))
    values = {"path": task.name, "count": empty, "of": len(pages)}
    notes = (SourceNote(code="pdf_pages_without_text", values=values),) if empty else ()
    return Parsed(text=_join(page for page in pages if page), fields=fields, notes=notes)


def _unlock(reader: pypdf.PdfReader, task: Task) -> None:
    if not reader.is_encrypted:
        return
    if reader.decrypt(task.password or ""):  # many are encrypted with no password at all
        return
    code = "pdf_encrypted" if task.password is None else "pdf_password_wrong"
    raise InputError(code, path=task.name)


def _text_of(page: pypdf.PageObject) -> str:
    # Halves of characters beyond 16 bits come out apart.
    text = page.extract_text().encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = _SPACE_AT_LINE_END.sub("", normalise_text(text).replace("\0", ""))
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


def _join(pages: Iterator[str]) -> str:
    """Join pages by a blank line, by a line break where a sentence runs on."""
    text = next(pages)
    for page in pages:
        runs_on = text[-1:].isalnum() and page[:1].islower()
        text += ("\n" if runs_on else "\n\n") + page
    return text


def _fields_of(reader: pypdf.PdfReader) -> Iterator[tuple[str, str]]:
    known = reader.metadata
    if known is None:
        return
    for name, value in (("title", known.title), ("author", known.author)):
        line = " ".join(str(value or "").split())
        if line:
            text = line.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            yield name, normalise_text(text)
    try:
        date = known.creation_date
    except ValueError:  # not written as a date is
        return
    if date is not None:
        yield "date", date.date().isoformat()
