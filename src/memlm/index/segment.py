"""One immutable segment: some entries, their symbols, and all suffixes in sorted order.

An *entry* is a document, or a stretch of one. Entries are laid end to end with the symbol 0 after
each, which no question contains, so that no match crosses from one entry into the next. There are
two alphabets. Characters become the ranks of their code points among those of the segment, in the
fewest bytes that hold them; token ids become id + 1, in the fewest bytes for the vocabulary. Either
way a greater character, or id, is a greater symbol.

    symbols.bin    the symbols (N,)                 starts.bin      first position of each entry
    suffixes.bin   start of each suffix, sorted     entries.json   key and content hash of each
    keys.bin       first bytes of some suffixes     segment.json    sizes of all these
    alphabet.bin   code point of each symbol (characters only)

All arrays are little-endian. A suffix ends, for every question, at its first 0: suffixes that are
equal up to there may stand in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.errors import CorruptArtefactError
from memlm.storage import read_json

Integers = npt.NDArray[np.integer]
KEY_BYTES = 8
KEY_EVERY = 16
"""Suffixes for each key: half a byte a position, and a last search within one cache line."""

_AT_ONCE = 1 << 13
_MANY = 10_000  # code points from which on a table of all is worth making


@dataclass(frozen=True)
class SegmentEntry:
    """A document, or a stretch of one, as it enters a segment."""

    key: str
    """A document's id, or `id:number` of a stretch of its tokens."""
    content: str
    """Hash of all that the entry depends on: another content is another entry to the index."""
    symbols: str | Integers
    """Its text, or its token ids."""


class Segment:
    """A segment on disk, memory-mapped; positions count symbols from its beginning."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        sizes = _read_sizes(folder)
        self.positions: int = sizes["positions"]
        self.group: str = sizes["group"]
        self.vocabulary_size: int | None = sizes["vocabulary_size"]
        """Of the tokenizer whose ids these are; None for characters."""
        self.symbols = _map(folder / "symbols.bin", f"<u{sizes['symbol_bytes']}")
        """(N,) 0 after each entry."""
        self.suffixes = _map(folder / "suffixes.bin", f"<i{sizes['position_bytes']}")
        """(N,) start of each suffix, in the order of the suffixes."""
        self.starts = _map(folder / "starts.bin", "<i8")
        """(entries + 1,) first position of each entry, and N."""
        self.alphabet = None
        if self.vocabulary_size is None:
            self.alphabet = _map(folder / "alphabet.bin", "<u4")
        self.keys = None
        """(N / 16,) first 8 bytes of every 16th suffix, most significant first; None if compact."""
        if sizes["layout"] == "fast":
            self.keys = _map(folder / "keys.bin", "<u8")
        if (
            {len(self.symbols), len(self.suffixes), int(self.starts[-1])} != {self.positions}
            or len(self.starts) != sizes["entries"] + 1
            or (self.alphabet is not None and len(self.alphabet) != sizes["symbols"])
            or (self.keys is not None and len(self.keys) != -(-self.positions // KEY_EVERY))
        ):
            raise CorruptArtefactError("artefact_unreadable", path=folder)

    @cached_property
    def entries(self) -> list[tuple[str, str]]:
        """Key and content hash of each entry, in the order in which they lie."""
        path = self.folder / "entries.json"
        found = read_json(path)
        if not isinstance(found, list) or len(found) != len(self.starts) - 1:
            raise CorruptArtefactError("artefact_unreadable", path=path)
        return [(key, content) for key, content in found]

    @property
    def num_read(self) -> int:
        """Characters, or tokens, of its entries; separators are not counted."""
        return self.positions - len(self.starts) + 1

    @property
    def unknown(self) -> int:
        """The symbol that stands for whatever the segment's alphabet lacks."""
        size = self.vocabulary_size if self.alphabet is None else len(self.alphabet) - 1
        assert size is not None
        return size + 1

    def encode(self, query: str | Integers) -> Integers:
        """Return a text, or token ids, (T,) in the symbols of this segment; 0 is none of them."""
        if isinstance(query, str):
            return self.encode_codes(code_points(query))
        symbols = np.asarray(query).astype(np.int64) + 1
        symbols[(symbols < 1) | (symbols > self.unknown)] = self.unknown
        return symbols.astype(self.symbols.dtype)

    def encode_codes(self, codes: Integers) -> Integers:
        """Return code points (T,) in the symbols of this segment."""
        assert self.alphabet is not None
        if len(codes) >= _MANY:
            return np.asarray(self._ranks.take(codes, mode="clip"))
        shifted = codes.astype(np.uint32) + np.uint32(1)
        ranks = np.searchsorted(self.alphabet, shifted)
        is_known = self.alphabet[np.minimum(ranks, len(self.alphabet) - 1)] == shifted
        return np.where(is_known, ranks, self.unknown).astype(self.symbols.dtype)

    @cached_property
    def _ranks(self) -> Integers:
        """The symbol of each code point up to the greatest here, and of one that is unknown."""
        assert self.alphabet is not None
        ranks = np.full(int(self.alphabet[-1]) + 1, self.unknown, self.symbols.dtype)
        ranks[self.alphabet[1:] - 1] = np.arange(1, len(self.alphabet))
        return ranks

    def decode(self, symbols: Integers) -> npt.NDArray[np.int64]:
        """Return the code points, or token ids, of symbols."""
        if self.alphabet is None:
            return symbols.astype(np.int64) - 1
        return self.alphabet[symbols].astype(np.int64) - 1

    def places(self, interval: tuple[int, int], *, limit: int) -> list[tuple[str, int]]:
        """Return (key, offset in the entry) of the first suffixes of an interval, as they stand."""
        found = self.suffixes[interval[0] : interval[1]]
        if len(found) > limit:
            found = np.partition(found, limit - 1)[:limit]
        found = np.sort(found).astype(np.int64)
        numbers = np.searchsorted(self.starts, found, side="right") - 1
        offsets = found - self.starts[numbers]
        return [
            (self.entries[number][0], offset)
            for number, offset in zip(numbers.tolist(), offsets.tolist(), strict=True)
        ]


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """Return the code points of a text (T,); lone surrogates are code points too."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def pack(symbols: Integers, places: Integers) -> npt.NDArray[np.uint64]:
    """Return the 8 bytes of symbols that begin at each place, most significant first.

    Whoever compares these numbers compares the symbols. Past the end stand zeros.
    """
    width = symbols.dtype.itemsize
    packed = np.zeros(len(places), np.uint64)
    for first in range(0, len(places), _AT_ONCE):  # what one pass reads is there for the next
        some, own = places[first : first + _AT_ONCE], packed[first : first + _AT_ONCE]
        for number in range(KEY_BYTES // width):
            # The last symbol of a segment is 0, and so is what clipping repeats.
            own <<= np.uint64(8 * width)
            own |= symbols.take(some + number, mode="clip")
    return packed


def _read_sizes(folder: Path) -> dict[str, Any]:  # Any: JSON
    sizes = read_json(folder / "segment.json")
    wanted = {
        "positions", "group", "vocabulary_size", "symbol_bytes", "position_bytes", "symbols",
        "entries", "layout",
    }  # fmt: skip
    if not isinstance(sizes, dict) or not wanted <= sizes.keys():
        raise CorruptArtefactError("artefact_unreadable", path=folder / "segment.json")
    return sizes


def _map(path: Path, dtype: str) -> Integers:
    size, itemsize = path.stat().st_size, np.dtype(dtype).itemsize
    if size == 0 or size % itemsize:
        raise CorruptArtefactError("artefact_unreadable", path=path)
    # A plain view: indexing np.memmap itself is several times slower.
    return np.asarray(np.memmap(path, dtype=dtype, mode="r")).view(np.ndarray)
