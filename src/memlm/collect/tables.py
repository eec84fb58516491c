"""Tables: CSV, TSV and JSON lines, one row one text.

Rows are streamed. A row of the wrong shape is a problem of its own; an unbalanced quote, after
which no row can be trusted, is a problem of the file and names the line where the quote opened.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

from memlm.collect.config import Reading
from memlm.collect.encoding import find_encoding
from memlm.collect.files import normalise_text, note_encoding
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem, SourceText

_TEXT_NAMES = (
    "text", "content", "body", "review", "sentence", "document", "message",
    "文本", "内容", "正文", "评论", "句子",
)  # fmt: skip
_LABEL_NAMES = (
    "label", "category", "class", "sentiment", "intent", "标签", "类别", "分类", "情感",
)  # fmt: skip
_LARGEST_FIELD = 1 << 26
_SAMPLE_ROWS = 50
Item = SourceText | SourceProblem | SourceNote


@dataclass(frozen=True)
class _Columns:
    text: str
    label: str | None
    key: str | None


def read_csv(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the rows of a comma-separated file (semicolons, tabs and bars are noticed)."""
    yield from _read_separated(path, reading, has_quotes=True)


def read_tsv(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the rows of a tab-separated file; quotes in it are ordinary characters."""
    yield from _read_separated(path, reading, has_quotes=False)


def read_json_lines(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the objects (or strings) of a file that holds one JSON value a line."""
    encoding = find_encoding(path, wish=reading.config.encoding)
    yield from note_encoding(path, encoding, reading)
    with path.open(encoding=encoding, newline="\n") as file:
        items = _json_rows(file)
        sample = list(islice(items, _SAMPLE_ROWS))
        if not sample:
            raise InputError("file_empty", path=path.name)
        rows = [row for _, row in sample if isinstance(row, dict)]
        header = list(dict.fromkeys(name for row in rows for name in row))  # not all have all keys
        columns = _choose_columns(path, reading, header, rows) if rows else None
        for line, row in chain(sample, items):
            if isinstance(row, SourceProblem):
                yield row
                continue
            columns = columns or _choose_columns(path, reading, list(row), [row])
            yield from _row_to_text(row, columns, line)


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, object] | SourceProblem]]:
    """Yield (line, object) of each line that is not blank, or what is wrong with it."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.removeprefix("\ufeff"), parse_constant=_constant)
        except (ValueError, RecursionError):
            yield number, SourceProblem(code="json_line_bad", values={}, position=number)
            continue
        row = {"text": value} if isinstance(value, str) else value
        if isinstance(row, dict):
            yield number, row
        else:
            yield number, SourceProblem(code="json_line_no_object", values={}, position=number)


def _constant(name: str) -> str | None:
    """Return what stands for a number that JSON lacks: NaN is how Python writes a missing one."""
    return None if name == "NaN" else name


def _read_separated(path: Path, reading: Reading, *, has_quotes: bool) -> Iterator[Item]:
    encoding = find_encoding(path, wish=reading.config.encoding)
    yield from note_encoding(path, encoding, reading)
    csv.field_size_limit(_LARGEST_FIELD)
    with path.open(encoding=encoding, newline="") as file:
        rows = _rows(path, file, _find_delimiter(file) if has_quotes else None)
        _, header = next(rows, (0, []))
        if not header:
            raise InputError("file_empty", path=path.name)
        # Spreadsheets leave unnamed columns behind.
        header = [normalise_text(name).strip() or f"#{n}" for n, name in enumerate(header, 1)]
        if len(set(header)) < len(header):
            raise InputError("columns_repeated", path=path.name, found=", ".join(header))
        sample = list(islice(rows, _SAMPLE_ROWS))
        columns = _choose_columns(
            path, reading, header, [dict(zip(header, row, strict=False)) for _, row in sample]
        )
        for line, row in chain(sample, rows):
            if len(row) != len(header):
                yield SourceProblem(
                    code="row_shape",
                    values={"found": len(row), "expected": len(header)},
                    position=line,
                )
            else:
                yield from _row_to_text(dict(zip(header, row, strict=True)), columns, line)


def _rows(path: Path, file: TextIO, delimiter: str | None) -> Iterator[tuple[int, list[str]]]:
    """Yield (line where it begins, fields) of each row that is not blank.

    Without a delimiter it is the tab, and quotes are ordinary characters.
    """
    recent: list[str] = []

    def remembering() -> Iterator[str]:
        for line in file:
            # A byte order mark that the named encoding did not take away would hide a quote.
            recent.append(line.removeprefix("\ufeff"))
            yield recent[-1]

    if delimiter is None:
        reader = csv.reader(remembering(), delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(remembering(), delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        recent.clear()
        try:
            row = next(reader, None)
        except csv.Error as error:
            line = start + _line_of_open_quote(recent, delimiter or "\t")
            raise InputError("quote_unbalanced", path=path.name, line=line) from error
        if row is None:
            return
        if row:
            yield start, row


def _line_of_open_quote(lines: Sequence[str], delimiter: str) -> int:
    """Return the offset of the line that opened the quote which never closed properly."""
    opened, state = 0, "start"  # of a field; then plain or quoted; closing after a quote in quotes
    for number, line in enumerate(lines):
        for character in line:
            if state in ("quoted", "closing") and character == '"':
                state = "closing" if state == "quoted" else "quoted"  # two are one, and no end
            elif state == "quoted":
                continue
            elif character in (delimiter, "\r", "\n"):
                state = "start"
            elif state == "closing":  # something stands between the closing quote and the next
                return opened
            elif state == "start" and character == '"':
                opened, state = number, "quoted"
            else:
                state = "plain"
    return opened


def _find_delimiter(file: TextIO) -> str:
    first = re.sub('"[^"]*"', "", file.readline())
    file.seek(0)
    return max(",\t;|", key=first.count)


def _choose_columns(
    path: Path, reading: Reading, header: list[str], sample: list[dict[str, object]]
) -> _Columns:
    text = _named(path, reading.config.text_column, header) or _by_name(header, _TEXT_NAMES)
    text = text or _longest_column(header, sample)
    if text is None:
        raise InputError("text_column_unknown", path=path.name, found=", ".join(header))
    label = _named(path, reading.config.label_column, header) or _by_name(header, _LABEL_NAMES)
    key = _named(path, reading.config.id_column, header) or _by_name(header, ("id",))
    return _Columns(text=text, label=label if label != text else None, key=key)


def _named(path: Path, wish: str | None, header: list[str]) -> str | None:
    if wish is None:
        return None
    if wish not in header:
        raise InputError("column_missing", path=path.name, column=wish, found=", ".join(header))
    return wish


def _by_name(header: list[str], names: Sequence[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(header)}
    return next((lower[name] for name in names if name in lower), None)


def _longest_column(header: list[str], sample: list[dict[str, object]]) -> str | None:
    """Return the column that is clearly the longest (or the only one)."""
    if len(header) == 1:
        return header[0]
    totals = dict.fromkeys(header, 0)
    for row in sample:
        for name in header:
            value = row.get(name)
            totals[name] += len(value) if isinstance(value, str) else 0
    first, second = sorted(totals.values(), reverse=True)[:2]
    return max(totals, key=lambda name: totals[name]) if first > 3 * second else None


def _row_to_text(
    row: dict[str, object], columns: _Columns, line: int
) -> Iterator[SourceText | SourceProblem]:
    text = row.get(columns.text)
    label = row.get(columns.label) if columns.label else None
    if not isinstance(text, str):
        kind = "—" if columns.text not in row else type(text).__name__
        values = {"column": columns.text, "kind": kind}
        yield SourceProblem(code="text_is_no_string", values=values, position=line)
    elif not text.strip():
        yield SourceProblem(code="text_empty", values={}, position=line)
    elif not isinstance(label, str | int | float | None):
        values = {"column": str(columns.label), "kind": type(label).__name__}
        yield SourceProblem(code="label_is_no_word", values=values, position=line)
    else:
        used = {columns.text, columns.label, columns.key}
        key = row.get(columns.key) if columns.key else None
        fields = {name: value for name, value in row.items() if name not in used}
        try:
            normalise_text(json.dumps([key, fields], ensure_ascii=False))
            yield SourceText(
                text=normalise_text(text),
                position=line,
                key=None if key is None or key == "" else str(key),
                label=None if label is None else normalise_text(str(label)).strip() or None,
                fields=fields,
            )
        except InputError as error:  # a lone surrogate
            yield SourceProblem(code=error.code, values=error.values, position=line)
