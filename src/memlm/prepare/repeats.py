"""Which long passages of the text occur again? Licences, quotations, headers of pages, refrains.

A passage of at least 100 characters (50 hanzi) that stands somewhere earlier in reading order, in
the same document without overlapping or in another one, is *repeated*; the first occurrence is not.
Four steps. What they find waits on disk in ranges, of which one at a time is in memory (some 200
MB); of the whole text 0.13 byte a character is held and 0.8 written, and while the search lasts up
to 38 on disk for each character near a fingerprint that occurs twice:

1. fingerprints (see `winnow.py`) that occur twice tell where to look;
2. there, each passage of exactly 100 characters is hashed;
3. equal hashes, in reading order, tell the first occurrence from those that repeat it;
4. these are compared with the first, character by character, as far as they go on alike.

Step 1 misses no passage, and step 4 invents none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.prepare.winnow import Codes, Places, code_points, passage_hashes, passages_with

AT_ONCE = 1 << 21
_REMEMBERED_CHARACTERS = 1 << 24
_PASSAGES_FOR_EACH = 16  # that begin between a fingerprint and the next, nearly
_WRITTEN_AT_ONCE = 1 << 18
_FIRST_COMPARED = 256
_MOST_COMPARED = 1 << 20
_HASHED = np.dtype([("hash", "<u8"), ("place", "<i8"), ("size", "u1")])
_AGAIN = np.dtype([("place", "<i8"), ("first", "<i8"), ("times", "<u4"), ("size", "u1")])
Records = npt.NDArray[Any]  # Any: records by name


@dataclass(frozen=True)
class Repeat:
    """A passage of a cleaned document that stands somewhere before."""

    row: int
    start: int
    end: int
    """Code points of the cleaned text, end not included."""
    first_row: int
    first_start: int
    times: int
    """How often it occurs; where parts of it occur elsewhere too, how often the rarest does."""


@dataclass(frozen=True)
class PartPrints:
    """The fingerprints of one part of the corpus, as they were written."""

    path: Path
    first_row: int
    characters: Places
    """Code points of each of its documents, those left out counting none."""


def write_fingerprints(path: Path, hashes: npt.NDArray[np.uint64], places: Places) -> None:
    """Write the fingerprints of one part, in the order of their hashes."""
    order = np.argsort(hashes, kind="stable")
    with path.open("wb") as file:
        file.write(hashes[order].astype("<u8").tobytes())
        file.write(places[order].astype("<u4").tobytes())


def find_repeats(
    parts: Sequence[PartPrints], order: Places, *, read: Callable[[int], str], work: Path
) -> Iterator[Repeat]:
    """Yield the passages that are repeated, document by document in reading order.

    `order` holds the rows of the documents that are kept, in reading order; `read` returns the
    cleaned text of a row; `work` is an empty folder for what does not stay in memory.
    """
    sizes = np.concatenate([*(part.characters for part in parts), np.zeros(0, np.int64)])
    layout = _Layout(order, sizes)
    shared = _shared_prints(parts, layout)
    texts = _Texts(read)
    found = int(sum(mask.sum() for mask in shared)) * _PASSAGES_FOR_EACH
    hashed = _Ranges(work, "hashed", _HASHED, "hash", 1 << 64, found)
    for part, mask in zip(parts, shared, strict=True):
        for records in _together(_hash_passages(part, mask, layout, texts)):
            hashed.add(records)
    again = _Ranges(work, "again", _AGAIN, "place", max(1, int(layout.ends[-1:].sum())), found)
    for records in hashed:
        again.add(_later_ones(records))
    yield from _compare(again, layout, texts)


class _Layout:
    """All kept documents end to end in reading order: places in that, and back."""

    def __init__(self, order: Places, sizes: Places) -> None:
        self.order = order
        self.ends = np.cumsum(sizes[order])
        self.starts = np.full(len(sizes), -1, dtype=np.int64)
        """Place at which each row begins; -1: it is left out."""
        self.starts[order] = self.ends - sizes[order]

    def owner(self, place: int) -> tuple[int, int]:
        """Return the row of a place, and the code point in its text."""
        row = int(self.order[np.searchsorted(self.ends, place, side="right")])
        return row, place - int(self.starts[row])


class _Texts:
    """Texts as code points, remembering those that were read last."""

    def __init__(self, read: Callable[[int], str]) -> None:
        self._read = read
        self._held: OrderedDict[int, Codes] = OrderedDict()
        self._characters = 0

    def __call__(self, row: int) -> Codes:
        found = self._held.get(row)
        if found is None:
            found = self._held[row] = code_points(self._read(row))
            self._characters += len(found)
            while self._characters > _REMEMBERED_CHARACTERS and len(self._held) > 1:
                self._characters -= len(self._held.popitem(last=False)[1])
        self._held.move_to_end(row)
        return found


class _Ranges:
    """Records on disk in ranges of one of their fields, to be read back range by range."""

    def __init__(
        self, folder: Path, name: str, dtype: np.dtype[Any], key: str, top: int, expected: int
    ) -> None:
        self._dtype, self._key = dtype, key
        num = expected // AT_ONCE + 1
        self._paths = [folder / f"{name}-{number}.bin" for number in range(num)]
        type_ = dtype[key].type
        self._bounds = np.array([top * number // num for number in range(1, num)], dtype=type_)

    def add(self, records: Records) -> None:
        """Write records, whatever range they are of."""
        numbers = np.searchsorted(self._bounds, records[self._key], side="right")
        by_range = np.argsort(numbers, kind="stable")
        cuts = np.searchsorted(numbers[by_range], np.arange(len(self._paths) + 1))
        for number in np.flatnonzero(np.diff(cuts)).tolist():
            with self._paths[number].open("ab") as file:
                file.write(records[by_range[cuts[number] : cuts[number + 1]]].tobytes())

    def __iter__(self) -> Iterator[Records]:
        for path in self._paths:
            if path.exists():
                yield np.fromfile(path, dtype=self._dtype)
                path.unlink()


def _shared_prints(parts: Sequence[PartPrints], layout: _Layout) -> list[npt.NDArray[np.bool_]]:
    """Say of each part's fingerprints which occur twice among the documents that are kept."""
    live = [layout.starts[_rows_of(part)] >= 0 for part in parts]
    shared = [np.zeros(len(mask), dtype=bool) for mask in live]
    num = sum(map(len, live)) // AT_ONCE + 1
    bounds = np.array([(number << 64) // num for number in range(1, num)], dtype=np.uint64)
    cuts = [
        [0, *np.searchsorted(_map_hashes(part.path), bounds).tolist(), len(mask)]
        for part, mask in zip(parts, live, strict=True)
    ]
    for number in range(num):
        slices = [slice(cut[number], cut[number + 1]) for cut in cuts]
        numbers = [np.flatnonzero(mask[at]) for mask, at in zip(live, slices, strict=True)]
        # Each map holds its file open as long as it lives, and there may be many parts.
        values = [
            _map_hashes(part.path)[at][chosen]
            for part, at, chosen in zip(parts, slices, numbers, strict=True)
        ]
        is_shared = _occur_twice(np.concatenate([*values, np.zeros(0, np.uint64)]))
        done = 0
        for mask, at, chosen in zip(shared, slices, numbers, strict=True):
            mask[at][chosen] = is_shared[done : done + len(chosen)]
            done += len(chosen)
    return shared


def _occur_twice(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    order = np.argsort(values, kind="stable")
    is_same = values[order][1:] == values[order][:-1]
    found = np.zeros(len(values), dtype=bool)
    found[order[1:]] = is_same
    found[order[:-1]] |= is_same
    return found


def _hash_passages(
    part: PartPrints, shared: npt.NDArray[np.bool_], layout: _Layout, texts: _Texts
) -> Iterator[Records]:
    """Yield all passages of 100 characters around the fingerprints that are shared."""
    places = np.sort(_map_places(part.path)[shared].astype(np.int64))
    ends = np.cumsum(part.characters)
    numbers = np.searchsorted(ends, places, side="right")
    for number in np.unique(numbers).tolist():
        low, high = np.searchsorted(numbers, (number, number + 1))
        row = part.first_row + number
        codes = texts(row)
        starts = passages_with(codes, places[low:high] - (ends[number] - len(codes)))
        for at in range(0, len(starts), AT_ONCE):
            own = starts[at : at + AT_ONCE]
            hashes, passage_ends = passage_hashes(codes, own)
            is_whole = passage_ends >= 0
            records = np.zeros(int(is_whole.sum()), dtype=_HASHED)
            records["hash"] = hashes[is_whole]
            records["place"] = own[is_whole] + layout.starts[row]
            records["size"] = (passage_ends - own)[is_whole]
            yield records


def _together(found: Iterator[Records]) -> Iterator[Records]:
    """Join small arrays to larger ones, which take less time to write."""
    held: list[Records] = []
    size = 0
    for records in found:
        held.append(records)
        size += len(records)
        if size >= _WRITTEN_AT_ONCE:
            yield np.concatenate(held)
            held, size = [], 0
    if held:
        yield np.concatenate(held)


def _later_ones(records: Records) -> Records:
    """Return those of equal hash that come after the first of them, and do not overlap it."""
    hashes = np.ascontiguousarray(records["hash"])
    order = np.argsort(hashes)
    hashes, places = hashes[order], records["place"][order]
    heads = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
    times = np.diff(np.append(heads, len(records)))
    first = np.repeat(np.minimum.reduceat(places, heads), times)
    later = np.flatnonzero(places >= first + records["size"][order])
    found = np.zeros(len(later), dtype=_AGAIN)
    found["place"], found["first"] = places[later], first[later]
    found["times"] = np.repeat(times, times)[later]
    found["size"] = records["size"][order[later]]
    return found


def _compare(again: _Ranges, layout: _Layout, texts: _Texts) -> Iterator[Repeat]:
    reached = 0  # what is before is told already; a document may lie in two ranges
    for unsorted in again:
        records = unsorted[np.argsort(unsorted["place"])]
        places, firsts, times = (records[name] for name in ("place", "first", "times"))
        ends = places + records["size"]
        at = int(np.searchsorted(ends, reached, side="right"))
        while at < len(records):
            place = places.item(at)
            row, start = layout.owner(place)
            first_row, first_start = layout.owner(firsts.item(at))
            length = _equal_length(texts(row)[start:], texts(first_row)[first_start:])
            if place + length < ends.item(at):  # equal hashes by chance
                at += 1
                continue
            reached = place + length
            after = int(np.searchsorted(ends, reached, side="right"))
            rarest = int(times[at:after].min())
            yield Repeat(row, start, start + length, first_row, first_start, rarest)
            at = after


def _equal_length(one: Codes, other: Codes) -> int:
    """Return how many code points two texts have in common from their beginnings on."""
    most, reached, step = min(len(one), len(other)), 0, _FIRST_COMPARED
    while reached < most:
        end = min(most, reached + step)
        differs = np.flatnonzero(one[reached:end] != other[reached:end])
        if len(differs):
            return reached + int(differs[0])
        reached, step = end, min(step * 4, _MOST_COMPARED)
    return most


def _rows_of(part: PartPrints) -> Places:
    places = _map_places(part.path)
    return np.searchsorted(np.cumsum(part.characters), places, side="right") + part.first_row


def _map_hashes(path: Path) -> npt.NDArray[np.uint64]:
    return _map(path)[: path.stat().st_size // 12 * 8].view("<u8")


def _map_places(path: Path) -> npt.NDArray[np.uint32]:
    return _map(path)[path.stat().st_size // 12 * 8 :].view("<u4")


def _map(path: Path) -> npt.NDArray[np.uint8]:
    if path.stat().st_size == 0:
        return np.zeros(0, dtype=np.uint8)
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r")).view(np.ndarray)
