"""Plain text: one file is one text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

from memlm.collect.config import Reading
from memlm.collect.encoding import find_encoding
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem, SourceText

Item = SourceText | SourceProblem | SourceNote
_MOST_MARKS = 30
_NO_LETTERS = re.compile(rf"[^\w\s\x00-\x7f]{{{_MOST_MARKS + 1},}}")  # marks are no letters to it
LONG_TEXT_BYTES = 1 << 24
_BLOCK_CHARACTERS = 1 << 22


def read_text_file(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the one text of a file, decoded and normalised."""
    size = path.stat().st_size
    if size > reading.limits.text_bytes:
        raise InputError("file_too_large", path=path.name, size_mb=size / 1e6)
    if size > LONG_TEXT_BYTES:
        yield from _read_long_text(path, reading)
        return
    file, notes = open_text(path, reading)
    with file:
        yield from notes
        text = normalise_text(file.read())
    if not text.strip():
        raise InputError("file_empty", path=path.name)
    yield SourceText(text=text)


def _read_long_text(path: Path, reading: Reading) -> Iterator[SourceText | SourceNote]:
    """Yield a text that is read in blocks, as often as it is asked for."""
    file, notes = open_text(path, reading)
    with file:
        yield from notes
        blocks = partial(_read_blocks, path, file.encoding, file.errors or "strict")
    if not any(block.strip() for block in blocks()):
        raise InputError("file_empty", path=path.name)
    yield SourceText(text="", blocks=blocks)


def open_text(
    path: Path, reading: Reading, *, newline: str | None = None
) -> tuple[TextIO, list[SourceNote]]:
    """Open a file in the encoding that it is found to be in, and say so where it is not UTF-8."""
    found = find_encoding(path, wish=reading.config.encoding)
    notes, values = [], {"path": path.name, "encoding": found.name}
    if found.is_cut:
        notes.append(SourceNote(code="character_cut", values={"path": path.name}))
    elif found.is_doubtful:
        notes.append(SourceNote(code="encoding_doubtful", values=values))
    elif reading.config.encoding is None and not found.name.startswith("utf-8"):
        notes.append(SourceNote(code="encoding_found", values=values))
    # Where the last character is cut, nothing else is wrong that could be ignored.
    errors = "ignore" if found.is_cut else "strict"
    return path.open(encoding=found.name, errors=errors, newline=newline), notes


def bounded_lines(file: TextIO, most: int) -> Iterator[tuple[int, str | None]]:
    """Yield (number, line) of a file; None for a line of more than `most` characters."""
    number = 0
    while line := file.readline(most + 1):
        number += 1
        if len(line) <= most or line.endswith(("\n", "\r")):
            yield number, line
            continue
        while line and not line.endswith(("\n", "\r")):
            line = file.readline(most)
        yield number, None


def _read_blocks(path: Path, encoding: str, errors: str) -> Iterator[str]:
    """Yield a long text in blocks that are, joined, what `normalise_text` makes of the whole.

    Unicode composes a character with those before it; a block therefore ends before one of which
    it is known that it composes with nothing before it.
    """
    kept = ""
    # Universal newlines: a CR at the end of one block knows of the LF that opens the next.
    with path.open(encoding=encoding, errors=errors, newline=None) as file:
        while read := file.read(_BLOCK_CHARACTERS):
            text = kept + read
            cut = next((n for n in range(len(text) - 1, 0, -1) if _begins_anew(text[n])), 0)
            kept = text[cut:]
            if cut:
                yield normalise_text(text[:cut])
    if kept:
        yield normalise_text(kept)


def _begins_anew(character: str) -> bool:
    """Say whether NFC never composes this character with one before it (a choice of the many)."""
    # Below the first combining mark, hanzi, and the punctuation and space between hanzi.
    return character < "\u0300" or "\u4e00" <= character <= "\u9fff" or character in "\u3000、。"


def normalise_text(text: str) -> str:
    """Return the text as memlm keeps it: no BOM, line ends LF, Unicode NFC.

    Raises InputError for a lone surrogate, which no encoding can hold, and for marks piled on one
    letter without end, whose normal form takes the square of their number in time.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    _refuse_piled_marks(text)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError("lone_surrogate", offset=error.start) from error
    return text


def _refuse_piled_marks(text: str) -> None:
    """Raise InputError where more marks stand on one letter than Unicode's stream-safe form has."""
    for run in () if text.isascii() else _NO_LETTERS.finditer(text):
        marks = 0
        for at in range(run.start(), run.end()):
            marks = marks + 1 if unicodedata.combining(text[at]) else 0
            if marks > _MOST_MARKS:
                raise InputError("marks_piled", offset=at - marks + 1, most=_MOST_MARKS)
