"""JSON: one value a line, one array of values, or one object with such an array in it.

Arrays are read value by value from blocks, so that a file of gigabytes needs the memory of its
largest value. A value that cannot be kept (a key twice, a number or a nesting without end) is a
problem of its own; where the syntax breaks, what came before is kept and the rest is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from memlm.collect.columns import rows_to_texts
from memlm.collect.config import Reading
from memlm.collect.files import Item, bounded_lines, open_text
from memlm.errors import InputError
from memlm.records import SourceProblem

_BLOCK_CHARACTERS = 1 << 16
_WHITE = " \t\r\n\ufeff"
_OUTSIDE, _INSIDE = re.compile(r'["\[\]{},]'), re.compile(r'["\\]')
Row = dict[str, object] | SourceProblem
Rows = Iterator[tuple[int, Row]]


class _RepeatedKeyError(ValueError):
    """An object names a key twice."""


class _TooLongError(ValueError):
    """A value has more characters than a row may have."""


def read_json_lines(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the objects (or strings) of a file that holds one JSON value a line."""
    file, notes = open_text(path, reading, newline="\n")
    with file:
        yield from notes
        yield from rows_to_texts(path, reading, _line_rows(file, reading))


def read_json(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the values of a JSON file: of its array, or the only one in its object, or its lines.

    An object without an array of objects, or whose text column is named or known, is one text.
    The position of a value in an array is its number, from 1.
    """
    file, notes = open_text(path, reading, newline="\n")
    with file:
        yield from notes
        if _has_lines(file, reading):
            rows = _line_rows(file, reading)
        else:
            stream = JsonStream(file, most=reading.limits.row_characters)
            is_array = stream.peek() == "["
            rows = array_rows(stream) if is_array else _object_rows(path, stream, reading)
        yield from rows_to_texts(path, reading, rows)


def _has_lines(file: TextIO, reading: Reading) -> bool:
    """Say whether a file holds one JSON value in each of its lines, and not one in all of them."""
    lines = bounded_lines(file, reading.limits.row_characters)
    filled = (line for _, line in lines if line is None or line.strip(_WHITE))
    first, second = next(filled, ""), next(filled, "")
    file.seek(0)
    if not first or not second or first.lstrip(_WHITE).startswith("["):
        return False
    try:
        _DECODER.decode(first.strip(_WHITE))
    except (_RepeatedKeyError, RecursionError):
        return True
    except ValueError:
        return second.lstrip(_WHITE).startswith("{") and first.rstrip(_WHITE).endswith("}")
    return True


def _line_rows(file: TextIO, reading: Reading) -> Rows:
    """Yield (line, object) of each line that is not blank, or what is wrong with it."""
    for number, line in bounded_lines(file, reading.limits.row_characters):
        if line is None:
            yield number, _problem(_TooLongError(), number, reading.limits.row_characters)
        elif line.strip(_WHITE):
            try:
                yield number, _as_row(_DECODER.decode(line.strip(_WHITE)), number)
            except (ValueError, RecursionError) as error:
                problem = _problem(error, number, reading.limits.row_characters)
                is_cut = not line.endswith("\n")  # the last, and perhaps not all of it
                yield number, replace(problem, hides="here") if is_cut else problem


def array_rows(stream: JsonStream) -> Rows:
    """Yield (number, object) of each value of the array at which the stream stands."""
    stream.take()
    number = 0
    is_closed = stream.peek() == "]"
    while not is_closed:
        number += 1
        try:
            yield number, _next_row(stream, number)
            if (following := stream.peek()) not in (",", "]"):
                raise json.JSONDecodeError("", "", 0)
        except json.JSONDecodeError:
            yield number, _broken(number)
            return
        stream.take()
        is_closed = following == "]"
    if number == 0:
        stream.take()


def _broken(number: int) -> SourceProblem:
    return SourceProblem(code="json_broken", values={}, position=number, hides="here")


def _next_row(stream: JsonStream, number: int) -> Row:
    try:
        return _as_row(stream.value(), number)
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        stream.skip()
        return _problem(error, number, stream.most)


def _object_rows(path: Path, stream: JsonStream, reading: Reading) -> Rows:
    """Yield the rows of the one object that is the file."""
    if stream.peek() != "{":
        raise InputError("json_no_rows", path=path.name)
    if path.stat().st_size > stream.most:
        yield from _rows_of_large_object(path, stream)
        return
    try:
        value = stream.value()
        if stream.peek():
            raise json.JSONDecodeError("", "", 0)
    except (ValueError, RecursionError) as error:
        raise InputError("json_no_rows", path=path.name) from error
    assert isinstance(value, dict)  # it begins with a brace
    lists = {name: found for name, found in value.items() if _is_table(found, len(value) == 1)}
    wish = reading.config.text_column
    is_text = wish in value and wish not in lists
    if is_text or isinstance(value.get("text"), str) or not lists:
        yield 1, value
    elif len(lists) > 1:
        raise InputError("json_many_lists", path=path.name, found=", ".join(lists)[:200])
    else:
        for number, item in enumerate(next(iter(lists.values())), start=1):
            yield number, _as_row(item, number)


def _is_table(value: object, is_alone: bool) -> bool:
    """Say whether a value is the list of the rows: of objects, or of anything if it is alone."""
    return isinstance(value, list) and (is_alone or any(isinstance(one, dict) for one in value))


def _rows_of_large_object(path: Path, stream: JsonStream) -> Rows:
    """Yield the rows of the only array in an object that is too large to be read whole."""
    stream.take()
    arrays = []
    try:
        while stream.peek() == '"':
            name = str(stream.value())
            if stream.take() != ":":
                raise json.JSONDecodeError("", "", 0)
            if stream.peek() == "[":
                arrays.append(name)
                if len(arrays) > 1:
                    raise InputError("json_many_lists", path=path.name, found=", ".join(arrays))
                yield from array_rows(stream)
            else:
                stream.skip()
            if stream.take() != ",":
                return
    except json.JSONDecodeError as error:
        raise InputError("json_no_rows", path=path.name) from error


class JsonStream:
    """The values of a JSON text, read one after the other from blocks of a file."""

    def __init__(self, file: TextIO, *, most: int) -> None:
        self.most = most
        self._file = file
        self._buffer, self._at, self._has_ended = "", 0, False

    def peek(self) -> str:
        """Return the next character that is not white; nothing at the end."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in _WHITE:
                    return self._buffer[self._at]
                self._at += 1
            if self._has_ended:
                return ""
            self._grow()

    def take(self) -> str:
        """Return the next character that is not white, and go past it."""
        character = self.peek()
        self._at += 1
        return character

    def value(self) -> object:
        """Return the next value and go past it.

        Raises JSONDecodeError where it is no JSON, and ValueError or RecursionError where it is
        but cannot be kept; then `skip` goes past it.
        """
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if self._has_ended or not self._may_be_cut(error):
                    raise
            else:
                if end < len(self._buffer) or self._has_ended:  # a number may go on
                    self._at = end
                    return value
            if len(self._buffer) - self._at > self.most:
                raise _TooLongError
            self._grow()

    def skip(self) -> None:
        """Go past the next value without building it."""
        self.peek()
        depth, is_inside = 0, False
        while True:
            pattern = _INSIDE if is_inside else _OUTSIDE
            match = pattern.search(self._buffer, self._at)
            if match is None:
                self._at = max(self._at, len(self._buffer))
                if self._has_ended:
                    raise json.JSONDecodeError("", "", 0)
                self._grow()
                continue
            character, start = match[0], match.start()
            if depth == 0 and character in ",]}":
                self._at = start
                return
            self._at = start + (2 if character == "\\" else 1)
            is_inside ^= character == '"'
            depth += (character in "[{") - (character in "]}")

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        # A string that does not close is reported where it begins; all else where it breaks.
        return error.msg.startswith("Unterminated") or error.pos > len(self._buffer) - 16

    def _grow(self) -> None:
        """Read on; as much again as is waiting, so that a long value is not tried too often."""
        waiting = self._buffer[self._at :]
        block = self._file.read(max(_BLOCK_CHARACTERS, len(waiting)))
        self._at = max(0, self._at - len(self._buffer))
        self._buffer = waiting + block
        self._has_ended = not block


def _as_row(value: object, number: int) -> Row:
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, dict):
        return value
    return SourceProblem(code="json_line_no_object", values={}, position=number)


def _problem(error: ValueError | RecursionError, number: int, most: int) -> SourceProblem:
    if isinstance(error, _RepeatedKeyError):
        return SourceProblem(code="json_key_repeated", values={}, position=number)
    if isinstance(error, _TooLongError):
        return SourceProblem(code="row_too_long", values={"most": most}, position=number)
    return SourceProblem(code="json_line_bad", values={}, position=number)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedKeyError
    return found


def _constant(name: str) -> str | None:
    """Return what stands for a number that JSON lacks: NaN is how Python writes a missing one."""
    return None if name == "NaN" else name


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
