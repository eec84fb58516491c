"""Plain text: one file or one string is one text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from memlm.collect.config import Reading
from memlm.collect.encoding import find_encoding
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem, SourceText

LONG_TEXT_BYTES = 1 << 24
_BLOCK_CHARACTERS = 1 << 22
TextFromMemory = str | tuple[str, str] | Mapping[str, object]


def read_text_file(
    path: Path, reading: Reading
) -> Iterator[SourceText | SourceProblem | SourceNote]:
    """Yield the one text of a file, decoded and normalised."""
    size = path.stat().st_size
    if size > reading.limits.text_bytes:
        raise InputError("file_too_large", path=path.name, size_mb=size / 1e6)
    encoding = find_encoding(path, wish=reading.config.encoding)
    yield from note_encoding(path, encoding, reading)
    if size > LONG_TEXT_BYTES:
        blocks = partial(_read_blocks, path, encoding)
        if not any(block.strip() for block in blocks()):
            raise InputError("file_empty", path=path.name)
        yield SourceText(text="", blocks=blocks)
        return
    text = normalise_text(path.read_text(encoding=encoding))
    if not text.strip():
        raise InputError("file_empty", path=path.name)
    yield SourceText(text=text)


def _read_blocks(path: Path, encoding: str) -> Iterator[str]:
    """Yield a long text in blocks that are, joined, what `normalise_text` makes of the whole.

    Unicode composes a character with those before it; a block therefore ends before one of which
    it is known that it composes with nothing before it.
    """
    kept = ""
    # Universal newlines: a CR at the end of one block knows of the LF that opens the next.
    with path.open(encoding=encoding, newline=None) as file:
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


def note_encoding(path: Path, encoding: str, reading: Reading) -> Iterator[SourceNote]:
    """Yield a note where an encoding was found that people do not expect."""
    if reading.config.encoding is None and not encoding.startswith("utf-8"):
        yield SourceNote(code="encoding_found", values={"path": path.name, "encoding": encoding})


def normalise_text(text: str) -> str:
    """Return the text as memlm keeps it: no BOM, line ends LF, Unicode NFC.

    Raises InputError for a lone surrogate, which no encoding can hold.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError("lone_surrogate", offset=error.start) from error
    return text


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
        elif not text.strip():
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
