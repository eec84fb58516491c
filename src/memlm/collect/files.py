"""Plain text: one file or one string is one text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from memlm.collect.config import Reading
from memlm.collect.encoding import find_encoding
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem, SourceText

Item = SourceText | SourceProblem | SourceNote
_MOST_MARKS = 30
_NO_LETTERS = re.compile(rf"[^\w\s\x00-\x7f]{{{_MOST_MARKS + 1},}}")  # marks are no letters to it
TextFromMemory = str | tuple[str, str] | Mapping[str, object]


def read_text_file(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the one text of a file, decoded and normalised."""
    size = path.stat().st_size
    if size > reading.limits.text_bytes:
        raise InputError("file_too_large", path=path.name, size_mb=size / 1e6)
    file, notes = open_text(path, reading)
    with file:
        yield from notes
        text = normalise_text(file.read())
    if not text.strip():
        raise InputError("file_empty", path=path.name)
    yield SourceText(text=text)


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


def texts_from_memory(texts: Iterable[TextFromMemory]) -> Iterator[SourceText | SourceProblem]:
    """Yield texts handed over in Python: strings, (text, label) pairs, or {"text", "label", ...}.

    A DataFrame (anything with `to_dict("records")`) is taken row by row.
    """
    table: Any = texts  # Any: pandas and polars are no dependencies of ours
    if hasattr(table, "to_dict"):
        texts = table.to_dict("records")
    for number, item in enumerate(texts, start=1):
        fields = _as_fields(item)
        text, label = fields.pop("text", None), fields.pop("label", None)
        if not isinstance(text, str):
            values = {"column": "text", "kind": type(text).__name__}
            yield SourceProblem(code="text_is_no_string", values=values, position=number)
        elif not text.removeprefix("\ufeff").strip():
            yield SourceProblem(code="text_empty", values={}, position=number)
        else:
            try:
                yield SourceText(
                    text=normalise_text(text),
                    position=number,
                    # A DataFrame says NaN, which is not itself, where there is none.
                    label=None if label is None or label != label else normalise_text(str(label)),
                    fields=fields,
                )
            except InputError as error:  # a lone surrogate
                yield SourceProblem(code=error.code, values=error.values, position=number)


def _as_fields(item: TextFromMemory) -> dict[str, object]:
    if isinstance(item, str):
        return {"text": item}
    if isinstance(item, tuple):
        return {"text": item[0], "label": item[1]}
    return dict(item)
