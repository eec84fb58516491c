"""JSON: one value a line, one array of values, or one object with such an array in it.

Arrays are read value by value from blocks, so that a file of gigabytes needs the memory of its
largest value. A value that cannot be kept (a key twice, a number or a nesting without end) is a
problem of its own; where the syntax breaks, what came before is kept and the rest is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, TextIO

from memlm.collect.columns import rows_to_texts, shorten_name
from memlm.collect.config import Reading
from memlm.collect.files import Item, bounded_lines, open_text
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem

_BLOCK_CHARACTERS = 1 << 16
_WHITE = " \t\r\n\ufeff"
_OUTSIDE, _INSIDE = re.compile(r'["\[\]{},]'), re.compile(r'["\\]')
_LISTED_KEYS = 20
_Kind = Literal["string", "objects", "list", "other"]
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
    The other keys of an object whose array is read are named in a note.
    The position of a value in an array is its number, from 1.
    """
    file, notes = open_text(path, reading, newline="\n")
    with file:
        yield from notes
        if _has_lines(file, reading):
            rows: Iterable[tuple[int, Row]] = _line_rows(file, reading)
        else:
            stream = _from_start(file, reading)
            if stream.peek() == "[":
                rows = _rows_of_array(stream)
            else:
                rows, others = _object_rows(path, file, reading)
                yield from others
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


def _rows_of_array(stream: JsonStream) -> Rows:
    """Yield the rows of the array that is the file, and a problem for what follows it."""
    number = yield from array_rows(stream)
    if number is not None and stream.peek():
        yield number + 1, _broken(number + 1)


def array_rows(stream: JsonStream) -> Generator[tuple[int, Row], None, int | None]:
    """Yield (number, object) of each value of the array at which the stream stands.

    Returns how many they were; None where the array does not come to its end.
    """
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
            return None
        stream.take()
        is_closed = following == "]"
    if number == 0:
        stream.take()
    return number


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


def _object_rows(
    path: Path, file: TextIO, reading: Reading
) -> tuple[Iterable[tuple[int, Row]], list[SourceNote]]:
    """Return the rows of the one object that is the file, and what to say of its other keys.

    The keys are looked at first, so that large and small files follow one rule.
    """
    stream = _from_start(file, reading)
    if stream.peek() != "{":
        raise InputError("json_no_rows", path=path.name)
    most = reading.limits.row_characters
    value = _whole_object(stream) if path.stat().st_size <= most else None
    if value is not None:
        kinds, is_whole = {name: _kind(found) for name, found in value.items()}, True
    else:
        kinds, is_whole = _kinds_in_stream(_from_start(file, reading))
    name = _list_of_rows(path, kinds, reading.config.text_column)
    if name is None and value is not None:
        return [(1, value)], []
    if name is None:
        if not is_whole or path.stat().st_size <= most:
            raise InputError("json_no_rows", path=path.name)
        return [(1, _problem(_TooLongError(), 1, most))], []
    others = ", ".join(shorten_name(other) for other in list(kinds)[:_LISTED_KEYS] if other != name)
    values = {"path": path.name, "list": shorten_name(name), "found": others}
    notes = [SourceNote(code="keys_left_out", values=values)] if others else []
    return _rows_in_object(_from_start(file, reading), name, is_whole=is_whole), notes


def _from_start(file: TextIO, reading: Reading) -> JsonStream:
    file.seek(0)
    return JsonStream(file, most=reading.limits.row_characters)


def _whole_object(stream: JsonStream) -> dict[str, object] | None:
    """Return the object that is all of a file; None if it is more, or cannot be read at once."""
    try:
        value = stream.value()
        return value if isinstance(value, dict) and not stream.peek() else None
    except (ValueError, RecursionError):
        return None


def _kind(value: object) -> _Kind:
    if isinstance(value, list):
        return "objects" if any(isinstance(one, dict) for one in value) else "list"
    return "string" if isinstance(value, str) else "other"


def _list_of_rows(path: Path, kinds: Mapping[str, _Kind], wish: str | None) -> str | None:
    """Return the key of the list of the rows; None where the object as a whole is one text.

    It is the list of objects, or a list of anything if it is alone.
    """
    is_alone = len(kinds) == 1
    lists = [
        name for name, kind in kinds.items() if kind == "objects" or (is_alone and kind == "list")
    ]
    is_text = wish in kinds and wish not in lists
    if is_text or kinds.get("text") == "string" or not lists:
        return None
    if len(lists) > 1:
        found = ", ".join(map(shorten_name, lists[:_LISTED_KEYS]))
        raise InputError("json_many_lists", path=path.name, found=found)
    return lists[0]


def _kinds_in_stream(stream: JsonStream) -> tuple[dict[str, _Kind], bool]:
    """Return what kind of value each key of an object has, and whether all of it is JSON."""
    kinds: dict[str, _Kind] = {}
    try:
        for name in _keys(stream):
            if name in kinds:
                raise InputError("json_key_repeated")
            kinds[name] = "string" if stream.peek() == '"' else "other"
            if stream.peek() == "[":
                kinds[name] = "list"
                for first in _pass_list(stream):
                    kinds[name] = "objects" if first == "{" else kinds[name]
            else:
                stream.skip()
        return kinds, not stream.peek()
    except json.JSONDecodeError:
        return kinds, False


def _rows_in_object(stream: JsonStream, wanted: str, *, is_whole: bool) -> Rows:
    """Yield the rows of one list in an object, and what ended it before its time."""
    number: int | None = 0
    for name in _keys(stream):
        if name == wanted:
            number = yield from array_rows(stream)
            break
        stream.skip()
    if number is not None and not is_whole:
        yield number + 1, _broken(number + 1)


def _keys(stream: JsonStream) -> Iterator[str]:
    """Yield the keys of the object at which a stream stands; each value is the caller's to pass."""
    stream.take()
    following = "," if stream.peek() != "}" else stream.take()
    while following == ",":
        if stream.peek() != '"':
            raise json.JSONDecodeError("", "", 0)
        try:
            name = str(stream.value())
        except _TooLongError as error:
            raise json.JSONDecodeError("", "", 0) from error
        if stream.take() != ":":
            raise json.JSONDecodeError("", "", 0)
        yield name
        following = stream.take()
    if following != "}":
        raise json.JSONDecodeError("", "", 0)


def _pass_list(stream: JsonStream) -> Iterator[str]:
    """Go past a list; yield the first character of each of its values."""
    stream.take()
    following = "," if stream.peek() != "]" else stream.take()
    while following == ",":
        yield stream.peek()
        _next_row(stream, 0)  # built and forgotten, which is faster than to skip it
        following = stream.take()
    if following != "]":
        raise json.JSONDecodeError("", "", 0)


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
