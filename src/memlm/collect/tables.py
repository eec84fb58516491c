"""Tables of characters: CSV and TSV, one row one text.

Rows are streamed. A row of the wrong shape is a problem of its own; an unbalanced quote, after
which no row can be trusted, is a problem of the file and names the line where the quote opened.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

from memlm.collect.columns import (
    SAMPLE_ROWS,
    choose_columns,
    note_columns,
    note_header,
    refuse_data_as_header,
    row_to_text,
    shorten_name,
)
from memlm.collect.config import Reading
from memlm.collect.files import Item, bounded_lines, normalise_text, open_text
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem

_DELIMITERS = ",\t;|"
_SNIFFED_CHARACTERS, _SNIFFED_ROWS = 1 << 16, 20
_SAID_DELIMITER = re.compile(r'\ufeff?"?sep=([^\w"\r\n])"?[\r\n]', re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*(?:"|\Z)')
_QUOTED_CELL = re.compile(r'(?:^\ufeff?|\t)"')
_Row = tuple[int, list[str] | SourceProblem]
_Rows = Iterator[_Row]


def read_csv(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the rows of a comma-separated file (semicolons, tabs and bars are noticed)."""
    yield from _read_separated(path, reading, has_quotes=True)


def read_tsv(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the rows of a tab-separated file.

    Spreadsheets quote cells in it, other programs never do: quotes are ordinary characters unless
    every cell that begins with one ends with one.
    """
    yield from _read_separated(path, reading, has_quotes=False)


def _read_separated(path: Path, reading: Reading, *, has_quotes: bool) -> Iterator[Item]:
    file, notes = open_text(path, reading, newline="")
    with file:
        yield from notes
        if has_quotes:
            rows = _quoted_rows(path, file, reading, *_find_delimiter(file))
        elif not _has_quoted_cells(file, reading):
            rows = _tabbed_rows(path, file, reading)
        elif _closes_its_quotes(path, file, reading):
            rows = _quoted_rows(path, file, reading, "\t")
        else:
            yield SourceNote(code="quotes_kept", values={"path": path.name})
            rows = _tabbed_rows(path, file, reading)
        sample = list(islice(rows, SAMPLE_ROWS))
        header, sample = _take_header(path, reading, sample)
        whole = [row for _, row in sample if not isinstance(row, SourceProblem)]
        named = [dict(zip(header, row, strict=False)) for row in whole]
        columns = choose_columns(path, reading, header, named)
        yield from note_header(path, reading, header)
        yield from note_columns(path, columns)
        for line, row in chain(sample, rows):
            if isinstance(row, SourceProblem):
                yield row
            elif len(row) != len(header):
                values = {"found": len(row), "expected": len(header)}
                yield SourceProblem(code="row_shape", values=values, position=line)
            else:
                yield row_to_text(dict(zip(header, row, strict=True)), columns, line)


def _take_header(path: Path, reading: Reading, sample: list[_Row]) -> tuple[list[str], list[_Row]]:
    """Return the names of the columns, and the rows without the one that names them."""
    first = next((row for _, row in sample if not isinstance(row, SourceProblem)), None)
    if first is None:
        raise InputError("file_empty", path=path.name)
    if len(first) > reading.limits.columns:
        most = reading.limits.columns
        raise InputError("too_many_columns", path=path.name, found=len(first), most=most)
    if reading.config.no_header:
        return [f"#{number}" for number in range(1, len(first) + 1)], sample
    others = [(line, row) for line, row in sample if row is not first]
    return _header(path, reading, first, [row for _, row in others]), others


def _header(
    path: Path, reading: Reading, first: list[str], rows: Iterable[list[str] | SourceProblem]
) -> list[str]:
    """Return the names of the columns; InputError if they are none, or not all different."""
    # Spreadsheets leave unnamed columns behind.
    header = [normalise_text(name).strip() or f"#{n}" for n, name in enumerate(first, 1)]
    whole = [row for row in rows if not isinstance(row, SourceProblem)]
    refuse_data_as_header(path, reading, header, whole)
    repeated = [shorten_name(name) for name, times in Counter(header).items() if times > 1]
    if repeated:
        raise InputError("columns_repeated", path=path.name, found=", ".join(repeated[:20]))
    return header


def _tabbed_rows(path: Path, file: TextIO, reading: Reading) -> _Rows:
    """Yield (line, fields) of each row that is not blank."""
    for number, line in bounded_lines(file, reading.limits.row_characters):
        if line is None:
            yield number, _too_long(number, reading)
        elif line.count("\t") >= reading.limits.columns:
            yield number, _too_wide(path, number, line.count("\t") + 1, reading)
        elif stripped := line.removeprefix("\ufeff").rstrip("\r\n"):
            yield number, stripped.split("\t")


def _has_quoted_cells(file: TextIO, reading: Reading) -> bool:
    lines = bounded_lines(file, reading.limits.row_characters)
    found = any(line is not None and _QUOTED_CELL.search(line) for _, line in lines)
    file.seek(0)
    return found


def _closes_its_quotes(path: Path, file: TextIO, reading: Reading) -> bool:
    """Say whether all of a file can be read as a table of tabs with quoted cells."""
    try:
        for _ in _quoted_rows(path, file, reading, "\t"):
            pass
    except InputError:
        return False
    finally:
        file.seek(0)
    return True


def _quoted_rows(
    path: Path, file: TextIO, reading: Reading, delimiter: str, is_said: bool = False
) -> _Rows:
    """Yield (line where it begins, fields) of each row that is not blank.

    Where the delimiter `is_said`, the first line, which says it, is no row.
    """
    lines = _QuotedLines(path, file, delimiter, reading)
    csv.field_size_limit(reading.limits.field_characters)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        lines.of_row.clear()
        try:
            row = next(reader, None)
        except csv.Error as error:
            opened, size = _open_quote(lines.of_row, delimiter)
            if max(size, *map(len, lines.of_row)) > reading.limits.field_characters:
                raise lines.too_long(start + opened) from error
            raise InputError("quote_unbalanced", path=path.name, line=start + opened) from error
        if row is None:
            return
        if lines.width:
            yield start, _too_wide(path, start, lines.width, reading)
            lines.width = 0
        elif row and not (is_said and start == 1):
            yield start, row


class _QuotedLines:
    """The lines of a CSV file, those of the row being read remembered, and never without end."""

    def __init__(self, path: Path, file: TextIO, delimiter: str, reading: Reading) -> None:
        self.of_row: list[str] = []
        self.width = 0
        """Cells of a row that has too many and comes out empty; splitting it would take memory."""
        self._path, self._file, self._delimiter = path, file, delimiter
        self._limits = reading.limits

    def __iter__(self) -> Iterator[str]:
        characters, checked = 0, 1
        for number, line in bounded_lines(self._file, self._limits.row_characters):
            if line is None:
                raise InputError("line_too_long", path=self._path.name, line=number)
            if not self.of_row:
                characters, checked = 0, 1
            # A byte order mark that the named encoding did not take away would hide a quote.
            self.of_row.append(self._if_not_too_wide(line.removeprefix("\ufeff")))
            characters += len(line)
            lines = len(self.of_row)
            if (
                lines > 1
                and max(
                    characters / self._limits.field_characters, lines / self._limits.field_lines
                )
                > checked
            ):
                checked *= 2
                self._refuse_endless(number - lines + 1)
            yield self.of_row[-1]

    def _if_not_too_wide(self, line: str) -> str:
        most = self._limits.columns
        # Behind the first line of a row it is unknown whether a quote is open.
        if self.of_row or line.count(self._delimiter) < most:
            return line
        width = _QUOTED.sub("", line).count(self._delimiter) + 1
        if width <= most:
            return line
        self.width = width
        return "\n"

    def too_long(self, line: int) -> InputError:
        """Return what to say of a field that is longer than a field may be."""
        limits = self._limits
        return InputError(
            "field_too_long",
            path=self._path.name,
            line=line,
            characters=limits.field_characters,
            lines=limits.field_lines,
        )

    def _refuse_endless(self, start: int) -> None:
        opened, size = _open_quote(self.of_row, self._delimiter)
        lines = len(self.of_row) - opened
        if size > self._limits.field_characters or lines > self._limits.field_lines:
            raise self.too_long(start + opened)


def _open_quote(lines: Sequence[str], delimiter: str) -> tuple[int, int]:
    """Return the offset of the line with the quote that never closed properly, and its length."""
    opened, state, size = 0, "start", 0  # of a field; plain, quoted; closing: a quote in quotes
    for number, line in enumerate(lines):
        for character in line:
            size += 1
            if state in ("quoted", "closing") and character == '"':
                state = "closing" if state == "quoted" else "quoted"  # two are one, and no end
            elif state == "quoted":
                continue
            elif character in (delimiter, "\r", "\n"):
                state = "start"
            elif state == "closing":  # something stands between the closing quote and the next
                return opened, 0
            elif state == "start" and character == '"':
                opened, state, size = number, "quoted", 0
            else:
                state = "plain"
    return opened, size if state == "quoted" else 0


def _find_delimiter(file: TextIO) -> tuple[str, bool]:
    """Return the delimiter, and whether the first line says it, as spreadsheets write: `sep=;`.

    Else it is that with which the first rows have the same number of fields, above one.
    """
    text = file.read(_SNIFFED_CHARACTERS)
    file.seek(0)
    said = _SAID_DELIMITER.match(text)
    if said is not None:
        return said[1], True
    lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    if len(text) == _SNIFFED_CHARACTERS:
        lines = lines[:-1] or lines  # the last may be cut
    return max(_DELIMITERS, key=lambda delimiter: _regularity(lines, delimiter)), False


def _regularity(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    rows: list[list[str]] = []
    try:
        for row in islice(csv.reader(lines, delimiter=delimiter), _SNIFFED_ROWS):
            rows += [row] if row else []
    except csv.Error:  # it comes again, with its line, when the rows are read
        pass
    width = len(rows[0]) if rows else 0
    if width < 2:
        return 0.0, 0
    return sum(len(row) == width for row in rows) / len(rows), width


def _too_wide(path: Path, number: int, found: int, reading: Reading) -> SourceProblem:
    """Return what to say of a row with more cells than a table has; InputError of the first."""
    values = {"path": path.name, "found": found, "most": reading.limits.columns}
    if number == 1:
        raise InputError("too_many_columns", **values)
    return SourceProblem(code="too_many_columns", values=values, position=number)


def _too_long(number: int, reading: Reading) -> SourceProblem:
    values = {"most": reading.limits.row_characters}
    return SourceProblem(code="row_too_long", values=values, position=number)
