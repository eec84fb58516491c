"""Parquet, Arrow and Feather files, and so the folders of Hugging Face data sets; pyarrow reads.

Rows come in small batches, so that memory holds a batch and not the file. A data set folder needs
nothing of its own: its tables are files like others, with the names of their labels in them, and
the JSON beside them, which describes them, is left alone by `sources.py`.

These formats write a value once however often it comes, and compress besides: what rows unpack to
is counted against the size of their file, as it is for archives.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, time
from functools import partial
from pathlib import Path
from typing import Any, cast

from memlm.collect.columns import rows_to_texts
from memlm.collect.config import Reading
from memlm.collect.files import Item
from memlm.collect.json_rows import Rows
from memlm.collect.unpacking import Allowance
from memlm.errors import InputError
from memlm.records import SourceNote
from memlm.runtime import require_package

JSON_MARK = {b"memlm": b"json"}
"""What an exported column says of itself where its cells are JSON."""
_BATCH_ROWS, _BATCH_BYTES = 256, 1 << 28
_ROW_BYTES = 8  # that a row of nothing costs
_FORMAT_MAGIC = b"ARROW1"


def read_parquet(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the rows of a Parquet file."""
    require_package("pyarrow", extra="documents")
    import pyarrow
    import pyarrow.parquet

    with (
        _damage_said(path),
        pyarrow.OSFile(os.fsencode(path)) as source,  # names need not be UTF-8
        pyarrow.parquet.ParquetFile(source, buffer_size=1 << 20) as file,
    ):
        columns, notes = _kept_columns(path, file.schema_arrow)
        yield from notes
        allowance = Allowance(reading.limits, packed_bytes=path.stat().st_size)
        rows = _rows_of_batch(_largest_part(file.metadata, allowance))
        batches = file.iter_batches(batch_size=rows, columns=columns, use_threads=False)
        yield from rows_to_texts(path, reading, _rows(batches, file.schema_arrow, allowance))


def read_arrow(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield the rows of an Arrow file (a stream, as data sets are saved, or Feather)."""
    require_package("pyarrow", extra="documents")
    import pyarrow

    with _damage_said(path), pyarrow.OSFile(os.fsencode(path)) as source:
        is_file = source.read(len(_FORMAT_MAGIC)) == _FORMAT_MAGIC
        source.seek(0)
        opened = pyarrow.ipc.open_file(source) if is_file else pyarrow.ipc.open_stream(source)
        columns, notes = _kept_columns(path, opened.schema)
        yield from notes
        batches = (
            (opened.get_batch(n) for n in range(opened.num_record_batches)) if is_file else opened
        )
        small = (
            batch.slice(start, rows).select(columns)
            for batch in map(_validated, batches)
            for rows in [_rows_of_batch(batch.nbytes)]
            for start in range(0, batch.num_rows, rows)
        )
        allowance = Allowance(reading.limits, packed_bytes=path.stat().st_size)
        yield from rows_to_texts(path, reading, _rows(small, opened.schema, allowance))


@contextmanager
def _damage_said(path: Path) -> Iterator[None]:
    """Turn what pyarrow says of a damaged file into one clear problem."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError("table_damaged", path=path.name) from error


def _kept_columns(path: Path, schema: Any) -> tuple[list[str], list[SourceNote]]:
    """Return the columns that can be kept, and a note of those that hold bytes (pictures)."""
    left_out = [column.name for column in schema if _holds_bytes(column.type)]
    kept = [column.name for column in schema if column.name not in left_out]
    if len(set(kept)) < len(kept):
        raise InputError("columns_repeated", path=path.name, found=", ".join(kept[:20]))
    values = {"path": path.name, "found": ", ".join(left_out[:20])}
    notes = [SourceNote(code="columns_left_out", values=values)] if left_out else []
    return kept, notes


def _holds_bytes(kind: Any) -> bool:  # Any: a type of pyarrow
    import pyarrow.types as types

    tests = (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    if any(test(kind) for test in tests):
        return True
    return any(_holds_bytes(kind.field(number).type) for number in range(kind.num_fields))


def _rows_of_batch(size_bytes: int) -> int:
    """Return how many rows to read at once where each may hold all of so many bytes."""
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, size_bytes)))


def _largest_part(metadata: Any, allowance: Allowance) -> int:  # Any: the metadata of pyarrow
    """Return the most bytes of one column in one group of rows; InputError where it is too much."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    sizes = [
        group.column(number).total_uncompressed_size
        for group in groups
        for number in range(group.num_columns)
    ]
    largest = max(sizes, default=0)
    allowance.require(largest)
    return largest


def _validated(batch: Any) -> Any:  # Any: a batch of pyarrow
    # The format trusts its own offsets: a damaged one leads out of the file and ends the process.
    batch.validate(full=True)
    return batch


def _rows(
    batches: Any, schema: Any, allowance: Allowance
) -> Rows:  # Any: batches and a schema of pyarrow
    read_cell = dict.fromkeys(schema.names, plain_cell)
    read_cell |= {column.name: _from_json for column in schema if _is_marked(column)}
    read_cell |= {name: partial(_label_name, names) for name, names in _label_names(schema).items()}
    number = 0
    for batch in batches:
        for row in _plain_rows(batch):
            number += 1
            allowance.take(_ROW_BYTES + sum(map(_characters, row.values())))
            yield number, {name: read_cell[name](value) for name, value in row.items()}


def _characters(cell: object) -> int:
    if isinstance(cell, list | tuple | dict):
        return sum(map(_characters, cell.values() if isinstance(cell, dict) else cell))
    return len(cell) if isinstance(cell, str) else 0


def _plain_rows(batch: Any) -> list[dict[str, object]]:  # Any: a batch of pyarrow
    """Return the rows of a batch; a moment that Python cannot hold is the number that it is."""
    try:
        return cast(list[dict[str, object]], batch.to_pylist())
    except (ValueError, OverflowError, KeyError):  # year 100,000; a time zone that nobody knows
        cells = [[_plain_value(cell) for cell in column] for column in batch.columns]
        names = batch.schema.names
        return [dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)]


def _plain_value(cell: Any) -> Any:  # Any: a scalar of pyarrow, and what is in it
    import pyarrow

    try:
        return cell.as_py()
    except (ValueError, OverflowError, KeyError):
        if isinstance(cell, pyarrow.StructScalar):
            return {name: _plain_value(one) for name, one in cell.items()}
        if isinstance(cell, pyarrow.ListScalar):  # of any kind, and maps
            return [_plain_value(one) for one in cell.values]
        return cell.value


def _is_marked(column: Any) -> bool:  # Any: a column of pyarrow
    return bool((column.metadata or {}).items() >= JSON_MARK.items())


def _from_json(value: object) -> object:
    """Return what a marked cell says; what is no JSON, in a file of another program, is itself."""
    try:
        return plain_cell(json.loads(value) if isinstance(value, str) else value)
    except (ValueError, RecursionError):
        return value


def _label_names(schema: Any) -> dict[str, list[str]]:  # Any: a schema of pyarrow
    """Return the names of the labels of each column that a data set counts by numbers."""
    try:
        notes = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = notes.get("info", {}).get("features", {})
        return {
            name: [str(one) for one in feature["names"]]
            for name, feature in features.items()
            if name in schema.names and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, AttributeError, KeyError, TypeError):  # somebody else's notes
        return {}


def _label_name(names: list[str], value: object) -> object:
    """Return the name of a label; none for -1, which says that there is none."""
    if not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None if value == -1 else value


def plain_cell(value: object) -> object:
    """Return a cell as JSON has it: days and times in words, no NaN, exact decimals as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return None if math.isnan(value) else value
    if isinstance(value, list | tuple):
        return [plain_cell(one) for one in value]
    if isinstance(value, dict):
        return {str(name): plain_cell(one) for name, one in value.items()}
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    return str(value)
