"""One immutable segment: some documents, their characters, and all suffixes in sorted order.

The documents are laid end to end with the symbol 0 after each, which no query contains, so that no
match crosses from one document into the next. Characters become the ranks of their code points, in
the fewest bytes that hold them, most significant byte first: comparing bytes compares text.

    text.bin       symbols                        starts.bin    first position of each document
    suffixes.bin   start of each suffix, sorted   documents.jsonl   id and content hash of each
    alphabet.bin   code point of each symbol      segment.json  sizes of all these
"""

from __future__ import annotations

import json
import mmap
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from memlm.errors import CorruptArtefactError
from memlm.storage import read_json

_FIRST_STEP = 64
_OPENING = 4  # symbols
_MOST_OPENINGS = 1 << 16


@dataclass(frozen=True)
class SegmentDocument:
    """A document as a segment knows it."""

    id: str
    content: str
    """Hash of its text and label: another content is another document to the index."""
    text: str


def build_segment(folder: Path, documents: Iterable[SegmentDocument]) -> None:
    """Write the segment of these documents into `folder` (an empty one that `storage` gave)."""
    from pydivsufsort import divsufsort

    kept, blocks, starts, position = [], [], [], 0
    for document in documents:
        kept.append([document.id, document.content])
        codes = np.frombuffer(document.text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        blocks += [codes.astype(np.uint32) + 1, np.zeros(1, np.uint32)]
        starts.append(position)
        position += len(codes) + 1
    shifted = np.concatenate(blocks)  # code point + 1, so that 0 is free for the separator
    alphabet = np.unique(shifted)
    # The symbol after the last stands for every character that the segment lacks.
    symbol_bytes = next(size for size in (1, 2, 4) if len(alphabet) < 1 << (8 * size))
    symbols = np.searchsorted(alphabet, shifted).astype(f"=u{symbol_bytes}")
    suffixes = divsufsort(symbols)
    symbols.astype(f">u{symbol_bytes}").tofile(folder / "text.bin")
    suffixes.astype(f"<i{suffixes.itemsize}").tofile(folder / "suffixes.bin")
    alphabet.astype("<u4").tofile(folder / "alphabet.bin")
    np.asarray([*starts, position], dtype="<i8").tofile(folder / "starts.bin")
    with (folder / "documents.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in kept)
    sizes = {
        "positions": position,
        "symbol_bytes": symbol_bytes,
        "position_bytes": suffixes.itemsize,
        "symbols": len(alphabet),
        "documents": len(kept),
    }
    (folder / "segment.json").write_text(json.dumps(sizes), encoding="utf-8")


class Segment:
    """A segment on disk, memory-mapped; positions count symbols from its beginning."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        sizes = read_json(folder / "segment.json")
        self.positions: int = sizes["positions"]
        self._width: int = sizes["symbol_bytes"]
        self._suffixes = _map(folder / "suffixes.bin", f"<i{sizes['position_bytes']}")
        self._alphabet = _map(folder / "alphabet.bin", "<u4")
        self._starts = _map(folder / "starts.bin", "<i8")
        if (
            len(self._suffixes) != self.positions
            or len(self._alphabet) != sizes["symbols"]
            or len(self._starts) != sizes["documents"] + 1
            or (folder / "text.bin").stat().st_size != self.positions * self._width
        ):
            raise CorruptArtefactError("artefact_unreadable", path=folder)
        with (folder / "text.bin").open("rb") as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        lines = (folder / "documents.jsonl").read_text(encoding="utf-8").splitlines()
        self._openings: dict[bytes, tuple[int, int]] = {}
        self.documents: list[tuple[str, str]] = [tuple(json.loads(line)) for line in lines]

    @property
    def characters(self) -> int:
        """Code points of its documents, separators not counted."""
        return self.positions - len(self.documents)

    @property
    def symbols(self) -> npt.NDArray[np.unsignedinteger]:
        """(N,) its symbols, 0 after each document."""
        return np.frombuffer(self._text, dtype=f">u{self._width}")

    @property
    def suffixes(self) -> npt.NDArray[np.integer]:
        """(N,) start of each suffix, in the order of the suffixes."""
        return self._suffixes

    @property
    def num_symbols(self) -> int:
        """Distinct characters, the separator not counted."""
        return len(self._alphabet) - 1

    def encode(self, text: str) -> bytes:
        """Return a text in the symbols of this segment, to be handed to the other methods."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4") + np.uint32(1)
        ranks = np.searchsorted(self._alphabet, codes)
        ranks = np.where(
            self._alphabet[np.minimum(ranks, len(self._alphabet) - 1)] == codes,
            ranks,
            len(self._alphabet),
        )
        return ranks.astype(f">u{self._width}").tobytes()

    def slice(self, query: bytes, start: int, end: int) -> bytes:
        """Return the symbols [start, end) of an encoded text."""
        return query[start * self._width : end * self._width]

    def interval(self, pattern: bytes) -> tuple[int, int]:
        """Return the range of suffixes that begin with `pattern`."""
        length, (low, high) = len(pattern), self._opening(pattern)
        ranks = range(self.positions)
        low = bisect_left(
            ranks, pattern, lo=low, hi=high, key=lambda rank: self._suffix(rank, length)
        )
        if low == high or self._suffix(low, length) != pattern:
            return low, low
        return low, bisect_right(
            ranks, pattern, lo=low, hi=high, key=lambda rank: self._suffix(rank, length)
        )

    def occurs(self, pattern: bytes) -> bool:
        """Say whether `pattern` begins any suffix."""
        rank = self._rank(pattern)
        return rank < self.positions and self._suffix(rank, len(pattern)) == pattern

    def longest_match(self, query: bytes, start: int) -> int:
        """Return how many symbols of `query` from `start` on occur here together."""
        available = len(query) // self._width - start
        step, matched = _FIRST_STEP, 0
        while matched < available:
            length = min(step, available)
            pattern = self.slice(query, start, start + length)
            rank = self._rank(pattern)
            matched = max(
                _common_prefix(pattern, self._suffix(near, len(pattern))) // self._width
                for near in (rank - 1, rank)
                if 0 <= near < self.positions
            )
            if matched < length:
                break
            step *= 4
        return matched

    def places(self, interval: tuple[int, int], *, limit: int) -> list[tuple[str, int]]:
        """Return (document id, offset in the document) of the first suffixes of an interval."""
        found = self._suffixes[interval[0] : interval[1]]
        if len(found) > limit:
            found = np.partition(found, limit - 1)[:limit]
        places = []
        for position in np.sort(found):
            number = int(np.searchsorted(self._starts, position, side="right")) - 1
            offset = int(position - self._starts[number])
            places.append((self.documents[number][0], offset))
        return places

    def _rank(self, pattern: bytes) -> int:
        """Return how many suffixes sort before `pattern`."""
        length, (low, high) = len(pattern), self._opening(pattern)
        return bisect_left(
            range(self.positions),
            pattern,
            lo=low,
            hi=high,
            key=lambda rank: self._suffix(rank, length),
        )

    def _opening(self, pattern: bytes) -> tuple[int, int]:
        """Return the range of suffixes that share the first symbols of `pattern`, remembered.

        Texts are full of the same few openings; what is left to search is a thousandth or less.
        """
        length = _OPENING * self._width
        if len(pattern) < length:
            return 0, self.positions
        opening = pattern[:length]
        found = self._openings.get(opening)
        if found is None:
            ranks = range(self.positions)
            low = bisect_left(ranks, opening, key=lambda rank: self._suffix(rank, length))
            found = (
                low,
                bisect_right(ranks, opening, lo=low, key=lambda rank: self._suffix(rank, length)),
            )
            if len(self._openings) >= _MOST_OPENINGS:
                self._openings.clear()
            self._openings[opening] = found
        return found

    def _suffix(self, rank: int, length_bytes: int) -> bytes:
        start = self._suffixes.item(rank) * self._width
        return self._text[start : start + length_bytes]


def _map(path: Path, dtype: str) -> npt.NDArray[np.integer]:
    size, itemsize = path.stat().st_size, np.dtype(dtype).itemsize
    if size == 0 or size % itemsize:
        raise CorruptArtefactError("artefact_unreadable", path=path)
    # A plain view: indexing np.memmap itself is several times slower.
    return np.asarray(np.memmap(path, dtype=dtype, mode="r")).view(np.ndarray)


def _common_prefix(one: bytes, other: bytes) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
