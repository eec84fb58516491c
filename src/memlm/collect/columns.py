"""Which column of a table is the text, which the label, and how a row becomes a text.

What people name goes first, by name (in any case) or number. Else known names decide, then what the
columns hold; a choice of the last kind is a guess, and is said.
"""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from numbers import Number
from pathlib import Path

from memlm.collect.config import Reading
from memlm.collect.files import Item, normalise_text
from memlm.errors import InputError
from memlm.messages import spell_out
from memlm.records import SourceNote, SourceProblem, SourceText
from memlm.tasks import task_of, write_example

SAMPLE_ROWS = 50
_TEXT_NAMES = (
    "text", "content", "body", "review", "sentence", "document", "message", "full_text",
    "文本", "内容", "正文", "评论", "句子",
)  # fmt: skip
_LABEL_NAMES = (
    "label", "category", "class", "sentiment", "intent", "标签", "类别", "分类", "情感",
)  # fmt: skip
_LISTED_NAMES, _LISTED_CHARACTERS = 20, 40
_MOST_DEPTH = 100
_LONGEST_NAME = 120
_LONGEST_LABEL = 40
_LEAST_ROWS = 6
_Row = Mapping[str, object]


@dataclass(frozen=True)
class Columns:
    """The columns of one table that mean something to memlm; the rest are fields."""

    text: str
    label: str | None
    key: str | None
    joins_lists: bool = False
    """The text was named by the user, so a list of strings in it is a text of lines."""
    is_guess: bool = False
    """No name told which column is the text."""
    target: str | None = None
    """What a task wants for the text, which is then its source."""


def rows_to_texts(
    path: Path, reading: Reading, items: Iterable[tuple[int, dict[str, object] | SourceProblem]]
) -> Iterator[Item]:
    """Yield the texts of rows that name their own columns (JSON, Parquet), and their problems."""
    items = iter(items)
    sample = list(islice(items, SAMPLE_ROWS))
    if not sample:
        raise InputError("file_empty", path=path.name)
    rows = [row for _, row in sample if isinstance(row, dict)]
    header = list(dict.fromkeys(name for row in rows for name in row))  # not all have all keys
    columns = choose_columns(path, reading, header, rows) if rows else None
    if columns is not None:
        yield from note_columns(path, columns)
    for number, row in chain(sample, items):
        if isinstance(row, SourceProblem):
            yield row
            continue
        columns = columns or choose_columns(path, reading, list(row), [row])
        yield row_to_text(row, columns, number)


def choose_columns(
    path: Path, reading: Reading, header: Sequence[str], sample: Sequence[_Row]
) -> Columns:
    """Return the columns to read; InputError if one that was named is missing, or none is clear."""
    config = reading.config
    if len(header) > reading.limits.columns:
        most = reading.limits.columns
        raise InputError("too_many_columns", path=path.name, found=len(header), most=most)
    key = _named(path, config.id_column, header) or _by_name(header, ("id",))
    if config.task is not None:
        return _columns_of_task(path, reading, header, key)
    names = (*reading.text_names, *_TEXT_NAMES)
    named = _named(path, config.text_column, header) or _by_name(header, names)
    text = named or _longest_column([name for name in header if name != key], sample)
    if text is None:
        raise InputError("text_column_unknown", path=path.name, found=_list_names(header))
    label = _named(path, config.label_column, header) or _by_name(header, _LABEL_NAMES)
    is_label_named = label is not None
    if label is None and config.no_header:
        label = _repeating_column([name for name in header if name not in (text, key)], sample)
    return Columns(
        text=text,
        label=label if label != text else None,
        key=key if key != text else None,
        joins_lists=config.text_column is not None,
        is_guess=(named is None and len(header) > 1) or (label is not None and not is_label_named),
    )


def _columns_of_task(
    path: Path, reading: Reading, header: Sequence[str], key: str | None
) -> Columns:
    """Return the columns of a task's source and target; the other of two is what is left."""
    config = reading.config
    assert config.task is not None
    task, free = task_of(config.task), [name for name in header if name != key]
    source = _named(path, config.source_column, header)
    target = _named(path, config.target_column, header)
    target = target or _by_name([name for name in free if name != source], task.target_names)
    source = source or _by_name([name for name in free if name != target], task.source_names)
    if len(free) == 2 and (source is None) != (target is None):
        (other,) = (name for name in free if name not in (source, target))
        source, target = source or other, target or other
    if source is None or target is None or source == target:
        option = "--source-column" if source is None else "--target-column"
        found = _list_names(header)
        raise InputError("task_column_unknown", path=path.name, option=option, found=found)
    return Columns(
        text=source,
        label=None,
        key=key if key not in (source, target) else None,
        joins_lists=True,
        target=target,
    )


def note_columns(path: Path, columns: Columns) -> Iterator[SourceNote]:
    """Yield a note where the columns were guessed."""
    if columns.is_guess:
        values = {"path": path.name, "text": shorten_name(columns.text)}
        if columns.label is None:
            yield SourceNote(code="text_guessed", values=values)
        else:
            values["label"] = shorten_name(columns.label)
            yield SourceNote(code="columns_guessed", values=values)


def note_header(path: Path, reading: Reading, header: Sequence[str]) -> Iterator[SourceNote]:
    """Yield a note where nothing but its place tells that a row names the columns."""
    if not reading.config.no_header and not _has_known_name(reading, header):
        values = {"path": path.name, "row": _list_names(header)}
        yield SourceNote(code="header_taken", values=values)


def refuse_data_as_header(
    path: Path, reading: Reading, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Raise InputError where the first row is no header, so that no row is lost as one."""
    if _has_known_name(reading, header):
        return
    for number, name in enumerate(header):
        column = [row[number] for row in rows if len(row) == len(header)]
        if _is_data(name, column):
            raise InputError("header_is_data", path=path.name, column=number + 1)


def row_to_text(row: _Row, columns: Columns, number: int) -> SourceText | SourceProblem:
    """Return what one row is: a text, or what is wrong with it."""
    text = row.get(columns.text)
    if isinstance(text, list) and text and all(isinstance(line, str) for line in text):
        if not columns.joins_lists:
            values = {"column": shorten_name(columns.text)}
            return SourceProblem(code="text_is_list", values=values, position=number)
        text = "\n".join(text)
    if columns.target is not None:
        text = _example(text, row, columns)
        if isinstance(text, InputError):
            return SourceProblem(code=text.code, values=text.values, position=number)
    label = row.get(columns.label) if columns.label else None
    if not isinstance(text, str):
        kind = "—" if columns.text not in row else type(text).__name__
        values = {"column": shorten_name(columns.text), "kind": kind}
        return SourceProblem(code="text_is_no_string", values=values, position=number)
    if not text.removeprefix("\ufeff").strip():
        return SourceProblem(code="text_empty", values={}, position=number)
    if not isinstance(label, str | Number | None):
        values = {"column": shorten_name(str(columns.label)), "kind": type(label).__name__}
        return SourceProblem(code="label_is_no_word", values=values, position=number)
    used = {columns.text, columns.label, columns.key, columns.target}
    key = row.get(columns.key) if columns.key else None
    # Some JSON carries a byte order mark into the first key of every object.
    fields = {name.removeprefix("\ufeff"): row[name] for name in row if name not in used}
    try:
        _refuse_deep(fields)
        _refuse_surrogates([key, fields])
        return SourceText(
            text=normalise_text(text),
            position=number,
            key=None if key is None or key == "" else str(key),
            label=None if label is None else normalise_text(str(label)).strip() or None,
            fields=fields,
        )
    except InputError as error:
        return SourceProblem(code=error.code, values=error.values, position=number)


def _example(source: object, row: _Row, columns: Columns) -> object:
    """Return source and target of a row as one text, or what is wrong with them."""
    target = row.get(columns.target or "")
    if isinstance(target, int | float) and not isinstance(target, bool):
        is_none = isinstance(target, float) and math.isnan(target)
        target = None if is_none else str(target)  # a label may be a number
    for name, value, if_none in (
        (columns.text, source, "source_empty"),
        (columns.target, target, "target_empty"),
    ):
        if value is None:
            return InputError(if_none)
        if not isinstance(value, str):
            kind = type(value).__name__
            return InputError("text_is_no_string", column=shorten_name(str(name)), kind=kind)
    try:
        return write_example(normalise_text(str(source)), normalise_text(str(target)))
    except InputError as error:
        return error


def shorten_name(name: str) -> str:
    """Return the name of a column, cut where it is too long, lone surrogates spelt out."""
    name = spell_out(name)
    return name if len(name) <= _LISTED_CHARACTERS else f"{name[:_LISTED_CHARACTERS]}…"


def _has_known_name(reading: Reading, header: Sequence[str]) -> bool:
    """Say whether a row has the name of a column in it that people or memlm know."""
    config = reading.config
    wishes = (
        config.text_column, config.label_column, config.id_column, config.source_column,
        config.target_column,
    )  # fmt: skip
    names = [wish.lower() for wish in wishes if wish is not None] + list(reading.text_names)
    if config.task is not None:
        names += [*task_of(config.task).source_names, *task_of(config.task).target_names]
    return _by_name(header, (*names, *_TEXT_NAMES, *_LABEL_NAMES, "id")) is not None


def _refuse_deep(fields: dict[str, object]) -> None:
    """Raise InputError for fields nested so deep that writing or reading them again may fail."""
    inside: list[object] = [fields]
    for _ in range(_MOST_DEPTH + 1):
        inside = [
            inner
            for one in inside
            if isinstance(one, list | dict)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not inside:
            return
    raise InputError("field_too_deep", most=_MOST_DEPTH)


def _refuse_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError("lone_surrogate", offset=error.start) from error


def _named(path: Path, wish: str | None, header: Sequence[str]) -> str | None:
    """Return the column that was asked for by name or number, if any was."""
    if wish is None or wish in header:
        return wish
    number = wish.removeprefix("#")
    if number.isdecimal() and 1 <= int(number) <= len(header):
        return header[int(number) - 1]
    found = _by_name(header, (wish.lower(),))
    if found is not None:
        return found
    values = {"path": path.name, "column": wish, "found": _list_names(header)}
    close = difflib.get_close_matches(wish.lower(), {n.lower(): n for n in header[:1000]}, n=1)
    if close:
        known = _by_name(header, close)
        raise InputError("column_misspelt", **values, known=known)
    raise InputError("column_missing", **values)


def _by_name(header: Sequence[str], names: Sequence[str]) -> str | None:
    lower = {name.lower().removeprefix("\ufeff"): name for name in reversed(header)}
    return next((lower[name] for name in names if name in lower), None)


def _list_names(header: Sequence[str]) -> str:
    names = ", ".join(shorten_name(name) for name in header[:_LISTED_NAMES])
    names = names.replace("\ufeff", "")
    return f"{names}, … ({len(header)})" if len(header) > _LISTED_NAMES else names


def _longest_column(header: Sequence[str], sample: Sequence[_Row]) -> str | None:
    """Return the only column; else that of strings if it is clearly the longest of its kind."""
    if len(header) <= 1:
        return next(iter(header), None)
    totals = {name: sum(_length(row.get(name)) for row in sample) for name in header}
    strings = {
        name: total
        for name, total in totals.items()
        if all(isinstance(row.get(name), str | None) for row in sample)
    }
    longest = max(totals, key=lambda name: totals[name])
    others = [total for name, total in strings.items() if name != longest]
    is_text = longest in strings and totals[longest] > 3 * max(others, default=0)
    return longest if is_text else None


def _length(value: object, depth: int = 0) -> int:
    if isinstance(value, list | dict):
        inside = value.values() if isinstance(value, dict) else value
        return sum(_length(one, depth + 1) for one in inside) if depth < _MOST_DEPTH else 0
    return len(value) if isinstance(value, str) else 0


def _repeating_column(header: Sequence[str], sample: Sequence[_Row]) -> str | None:
    """Return the only column of few short values that come again and again, like labels."""
    found = []
    for name in header:
        values = [str(row[name]) for row in sample if row.get(name) not in (None, "")]
        different = set(values)
        if len(values) >= _LEAST_ROWS and 1 < len(different) <= len(values) / 3:
            found += [name] if all(len(value) <= _LONGEST_LABEL for value in different) else []
    return found[0] if len(found) == 1 else None


def _is_data(name: str, column: Sequence[str]) -> bool:
    """Say whether the first cell of a column is a value like those below it, and no name."""
    if len(name) > _LONGEST_NAME or "\n" in name:
        return True
    if _is_number(name):
        filled = [cell for cell in column if cell.strip()]
        return bool(filled) and all(map(_is_number, filled))
    return bool(name) and Counter(column)[name] > 1


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
