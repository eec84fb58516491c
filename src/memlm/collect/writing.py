"""Documents to files, the way out: JSON lines or Parquet, which `collect` reads again.

A document is one row: `id`, `text`, `label`, `source`, `split`, then each of its fields under its
own name; a field that has one of those five names is called `text_2` and so on. In Parquet a
column needs one type: fields that differ in it from row to row, or hold lists, are written as JSON
and say so (`arrow_tables.JSON_MARK`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from memlm.collect.arrow_tables import JSON_MARK, plain_cell
from memlm.errors import ConfigError
from memlm.records import Document
from memlm.runtime import require_package

ENDINGS = (".jsonl", ".parquet")
_OWN = ("id", "text", "label", "source", "split")
_BATCH_ROWS = 512
_BATCH_CHARACTERS = 1 << 24
_TYPES: dict[type, str] = {str: "string", bool: "bool_", int: "int64", float: "float64"}
_LARGEST_INT = 1 << 63
Row = dict[str, object]
Documents = Callable[[], Iterable[Document]]


def check_ending(file: Path) -> None:
    """Raise ConfigError unless there is a writer for files with this ending."""
    if file.suffix.lower() not in ENDINGS:
        raise ConfigError("export_ending", ending=file.suffix, known=" ".join(ENDINGS))
    if file.suffix.lower() == ".parquet":
        require_package("pyarrow", extra="documents")


def write_documents(path: Path, ending: str, documents: Documents) -> None:
    """Write documents to `path` in the format of `ending`.

    `documents` is called for each of two readings: the names and types of the fields come first.
    """
    types = _field_types(documents())
    names = _column_names(types)
    rows = (_row(document, names) for document in documents())
    if ending == ".jsonl":
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        _write_parquet(path, rows, {names[name]: kind for name, kind in types.items()})


def _field_types(documents: Iterable[Document]) -> dict[str, str | None]:
    """Return the name of the type that all cells of each field share; None where they differ."""
    found: dict[str, set[str | None]] = {}
    for document in documents:
        for name, cell in document.fields.items():
            types = found.setdefault(name, set())
            value = plain_cell(cell)
            if value is not None:
                too_large = type(value) is int and abs(value) >= _LARGEST_INT
                types.add(None if too_large else _TYPES.get(type(value)))
    return {
        name: next(iter(types), "string") if len(types) <= 1 else None
        for name, types in found.items()
    }


def _column_names(fields: Iterable[str]) -> dict[str, str]:
    """Return the name of the column in which each of these fields is written."""
    taken, names = {*_OWN, *fields}, {}
    for field in fields:
        name, number = field, 2
        while field in _OWN and name in taken:
            name, number = f"{field}_{number}", number + 1
        names[field] = name
        taken.add(name)
    return names


def _row(document: Document, names: dict[str, str]) -> Row:
    own: Row = {name: getattr(document, name) for name in _OWN}
    return own | {names[name]: plain_cell(value) for name, value in document.fields.items()}


def _write_parquet(path: Path, rows: Iterable[Row], types: dict[str, str | None]) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = [pyarrow.field(name, pyarrow.string()) for name in _OWN]
    for name, kind in types.items():
        mark = JSON_MARK if kind is None else None
        columns.append(pyarrow.field(name, getattr(pyarrow, kind or "string")(), metadata=mark))
    schema = pyarrow.schema(columns)
    marked = [name for name, kind in types.items() if kind is None]
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for batch in _batches(rows):
            for row in batch:
                row |= {name: _as_json(row.get(name)) for name in marked}
            writer.write_batch(pyarrow.RecordBatch.from_pylist(batch, schema=schema))


def _as_json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield rows in lists that are short, and shorter where the texts are long."""
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += len(str(row["text"]))
        if len(batch) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
