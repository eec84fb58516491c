"""Plain text files: one text as a rule, one text a line or a table of tabs where people say so.

Nothing in a `.txt` file says what its lines are. `--lines` makes each a text; `--labels FILE` does
so too and gives each the label in the same line of another file. Where columns are named and the
lines have the same number of tabs, the file is a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from memlm.collect.config import Reading
from memlm.collect.files import (
    Item,
    bounded_lines,
    normalise_text,
    open_text,
    read_text_file,
)
from memlm.collect.tables import read_tsv
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem, SourceText

_SAMPLE_BYTES, _SAMPLE_LINES = 1 << 16, 50
_LEAST_TABBED = 0.9


def read_plain_text(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield what is in a plain text file: one text, a text a line, or the rows of a table."""
    config = reading.config
    if config.has_lines:
        yield from _read_lines(path, reading)
    elif not _is_tabbed(path, reading):
        yield from read_text_file(path, reading)
    elif config.no_header or any((config.text_column, config.label_column, config.id_column)):
        yield from read_tsv(path, reading)
    else:
        yield SourceNote(code="looks_like_table", values={"path": path.name})
        yield from read_text_file(path, reading)


def _read_lines(path: Path, reading: Reading) -> Iterator[Item]:
    labels = _read_labels(path, reading)
    found = 0
    file, notes = open_text(path, reading, newline="")
    with file:
        yield from notes
        for number, line in bounded_lines(file, reading.limits.row_characters):
            found += 1
            if labels is not None and found > len(labels):
                continue  # only counted, for the error below
            label = labels[number - 1] if labels is not None else None
            if labels is not None or line is None or line.strip():
                yield _line_to_text(line, number, label, reading)
    if labels is not None and found != len(labels):
        raise InputError("labels_count", path=path.name, texts=found, labels=len(labels))
    if not found:
        raise InputError("file_empty", path=path.name)


def _line_to_text(
    line: str | None, number: int, label: str | None, reading: Reading
) -> SourceText | SourceProblem:
    if line is None:
        values = {"most": reading.limits.row_characters}
        return SourceProblem(code="row_too_long", values=values, position=number)
    try:
        text = normalise_text(line.rstrip("\r\n"))
        if not text.strip():
            return SourceProblem(code="text_empty", values={}, position=number)
        return SourceText(text=text, position=number, label=label)
    except InputError as error:
        return SourceProblem(code=error.code, values=error.values, position=number)


def _read_labels(path: Path, reading: Reading) -> list[str | None] | None:
    """Return the labels of the file named by `--labels`, one for each of its lines."""
    file = reading.config.labels
    if file is None:
        return None
    if not file.is_file():
        raise InputError("labels_missing", labels=file.name)
    opened, _ = open_text(file, reading)
    with opened:
        text = normalise_text(opened.read())
    return [line.strip() or None for line in text.removesuffix("\n").split("\n")]


def _is_tabbed(path: Path, reading: Reading) -> bool:
    """Say whether most of the first lines have the same number of tabs, and have some."""
    if path.suffix.lower() not in ("", ".txt", ".text"):
        return False
    with path.open("rb") as raw:
        if b"\t" not in raw.read(_SAMPLE_BYTES):
            return False
    file, _ = open_text(path, reading, newline="")
    with file:
        lines = islice(bounded_lines(file, reading.limits.row_characters), _SAMPLE_LINES)
        tabs = Counter(line.count("\t") for _, line in lines if line is not None and line.strip())
    commonest, times = tabs.most_common(1)[0] if tabs else (0, 0)
    return commonest > 0 and times > 1 and times >= _LEAST_TABBED * tabs.total()
