"""Texts that were handed over in Python: each is a row of a table whose columns are known.

So an `id` names a text for good, and labels are what they are in files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from memlm.collect.columns import Columns, row_to_text
from memlm.records import SourceProblem, SourceText

TextFromMemory = str | tuple[str, str] | Mapping[str, object]
_COLUMNS = Columns(text="text", label="label", key="id")


def texts_from_memory(texts: Iterable[TextFromMemory]) -> Iterator[SourceText | SourceProblem]:
    """Yield strings, (text, label) pairs, or {"text", "label", "id", ...}, whose rest are fields.

    A DataFrame (anything with `to_dict("records")`) is taken row by row.
    """
    table: Any = texts  # Any: pandas and polars are no dependencies of ours
    if hasattr(table, "to_dict"):
        texts = table.to_dict("records")
    for number, item in enumerate(texts, start=1):
        yield row_to_text(_as_row(item), _COLUMNS, number)


def _as_row(item: TextFromMemory) -> dict[str, object]:
    if isinstance(item, str):
        return {"text": item}
    if isinstance(item, tuple):
        return {"text": item[0], "label": item[1]}
    return {
        name: None if name in ("label", "id") and _is_missing(value) else value
        for name, value in item.items()
    }


def _is_missing(value: object) -> bool:
    """Say whether this is what a DataFrame has where there is nothing: it is not itself."""
    try:
        return bool(value != value)
    except TypeError:  # pandas.NA will not even say that
        return True
    except ValueError:  # an array, which is no label; the reader will say so
        return False
