"""What became of each document when its part was cleaned: one record a document, on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.errors import CorruptArtefactError

FATE = np.dtype(
    [
        ("id", "S32"),  # of the document; its row in the store may be another's tomorrow
        ("identity", "<u8"),  # hash of its id
        ("is_kept", "?"),  # by the steps; copies are told by `copies.bin`
        ("is_changed", "?"),
        ("is_fixed", "?"),  # its side is given, so it stands before copies that are free
        ("text_start", "<i8"),  # bytes of texts.bin
        ("text_end", "<i8"),
        ("origin_start", "<i8"),  # stretches of origins.bin
        ("origin_end", "<i8"),
        ("characters", "<i8"),
        ("han", "<f8"),  # how many of them are Chinese, estimated
        ("content", "<u8", (2,)),  # hash of text (with its stop words), label, target
        ("text", "<u8"),  # hash of the text alone
        ("kind", "<u8"),  # hash of label and target
        ("fields", "<u8"),  # hash of all columns but text and label
    ]
)
_MAPPED_AT_ONCE = 8


class Fates:
    """The fates of all documents, row by row in reading order.

    Millions of records do not fit in memory, so a field of all of them is read where it is needed.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        sizes = [_num_fates(folder) for folder in folders]
        self._first_rows = np.cumsum([0, *sizes])
        self._mapped = lru_cache(maxsize=_MAPPED_AT_ONCE)(self._map)

    def __len__(self) -> int:
        return int(self._first_rows[-1])

    def __getitem__(self, row: int) -> Any:  # Any: a record by names
        part, place = self.place_of(row)
        return self._mapped(part)[place]

    def id_of(self, row: int) -> str:
        """Return the id of the document of a row."""
        return str(self[row]["id"].decode("ascii"))

    def place_of(self, row: int) -> tuple[int, int]:
        """Return the number of the part that a row is in, and its row there."""
        part = int(np.searchsorted(self._first_rows, row, side="right")) - 1
        return part, row - int(self._first_rows[part])

    def parts(self) -> Iterator[tuple[Path, slice]]:
        """Yield the folder of each part, and its rows."""
        bounds = self._first_rows.tolist()
        yield from zip(self.folders, map(slice, bounds, bounds[1:]), strict=False)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return one field of all documents."""
        found = np.empty(len(self), dtype=FATE[name])
        for folder, rows in self.parts():
            found[rows] = read_fates(folder)[name]
        return found

    def _map(self, part: int) -> npt.NDArray[Any]:
        return np.memmap(self.folders[part] / "fates.bin", dtype=FATE, mode="r")


def read_fates(part: Path) -> npt.NDArray[Any]:  # Any: records by name
    """Return the fates of the documents of a part."""
    return np.fromfile(part / "fates.bin", dtype=FATE, count=_num_fates(part))


def _num_fates(part: Path) -> int:
    path = part / "fates.bin"
    num, rest = divmod(path.stat().st_size, FATE.itemsize)
    if rest:
        raise CorruptArtefactError("artefact_unreadable", path=path)
    return num
