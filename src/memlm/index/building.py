"""How a segment comes to be: sorted from its entries, or another one without some of its entries.

Taking entries out sorts nothing. A suffix is compared, by any question, up to its first separator,
and that stretch lies in its own entry: it does not change when other entries go. So the suffixes
that stay are in the right order as they stand. (Sorting anew might put suffixes that are equal up
to their separators in another order among themselves, since what follows the separators differs;
no question can tell.) Characters that no entry has any more leave the alphabet, which keeps the
order of the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from memlm.index.search import find_intervals
from memlm.index.segment import KEY_EVERY, Integers, Segment, SegmentEntry, code_points, pack

Layout = Literal["compact", "fast"]
_AT_ONCE = 1 << 16  # positions that stay in the cache
_PAGE = 12  # bits of a position within its page


def build_segment(
    folder: Path,
    entries: Iterable[SegmentEntry],
    *,
    vocabulary_size: int | None = None,
    group: str = "",
    layout: Layout = "fast",
) -> None:
    """Write the segment of these entries into `folder` (an empty one that `storage` gave).

    Their symbols are ids below `vocabulary_size`, or characters where that is None. The *compact*
    layout is without keys: half a byte a position less, and slower to ask.
    """
    kept, blocks, starts, position = [], [], [], 0
    separator = np.zeros(1, np.uint32)
    for entry in entries:
        kept.append((entry.key, entry.content))
        codes = _codes(entry.symbols, vocabulary_size)
        blocks += [codes, separator]
        starts.append(position)
        position += len(codes) + 1
    shifted = np.concatenate(blocks)  # + 1 already, so that 0 is free for the separator
    alphabet = None
    if vocabulary_size is None:
        alphabet = np.flatnonzero(np.bincount(shifted)).astype(np.uint32)
        ranks = np.zeros(int(alphabet[-1]) + 1, np.uint32)
        ranks[alphabet] = np.arange(len(alphabet))
        shifted = ranks[shifted]
    size = vocabulary_size + 1 if alphabet is None else len(alphabet)  # type: ignore[operator]  # one of them is there
    symbols = shifted.astype(_narrowest(size))
    _write(
        folder,
        symbols,
        [sort_suffixes(symbols)],
        np.asarray([*starts, position], np.int64),
        kept,
        alphabet=alphabet,
        vocabulary_size=vocabulary_size,
        group=group,
        layout=layout,
    )


def write_without(folder: Path, segment: Segment, removed: npt.NDArray[np.bool_]) -> None:
    """Write `segment` without the entries that `removed` (entries,) marks, into an empty folder."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], removed, [False]]).astype(np.int8)))
    # The stretches of positions that go.
    holes = np.asarray(segment.starts[edges], np.int64).reshape(-1, 2)
    symbols, alphabet = _outside(segment.symbols, holes), segment.alphabet
    if alphabet is not None:
        is_left = _is_left(segment, holes)
        if not is_left.all():
            alphabet = alphabet[is_left]
            symbols = (np.cumsum(is_left) - 1).astype(_narrowest(len(alphabet)))[symbols]
    _write(
        folder,
        symbols,
        filter_suffixes(segment.suffixes, holes),
        np.concatenate([[0], np.cumsum(np.diff(segment.starts)[~removed])]),
        [entry for entry, gone in zip(segment.entries, removed.tolist(), strict=True) if not gone],
        alphabet=alphabet,
        vocabulary_size=segment.vocabulary_size,
        group=segment.group,
        layout="compact" if segment.keys is None else "fast",
    )


def _is_left(segment: Segment, holes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Say of each symbol of the alphabet whether it stands anywhere outside the holes."""
    assert segment.alphabet is not None
    is_left = np.ones(len(segment.alphabet), bool)
    going = np.concatenate([segment.symbols[start:end] for start, end in holes.tolist()])
    found, counts = np.unique(going[going > 0], return_counts=True)
    # How often each stands anywhere is how many suffixes begin with it.
    ones = np.ones(len(found), np.int64)
    low, high = find_intervals(segment, found, np.arange(len(found)), ones)
    is_left[found] = high - low > counts
    return is_left


def sort_suffixes(symbols: Integers) -> Integers:
    """Return the start of each suffix of `symbols` (N,) in sorted order, as i4 or i8 (N,).

    The sorting is libdivsufsort's (Mori), which knows bytes: of a symbol of two bytes, most
    significant first, every second suffix of the bytes is one of the symbols.
    """
    from pydivsufsort import divsufsort

    width = symbols.dtype.itemsize
    found = np.asarray(divsufsort(symbols.astype(f">u{width}").view(np.uint8)))
    if width > 1:
        found = found[found & (width - 1) == 0]
        found >>= width.bit_length() - 1
    return found.astype(_positions_dtype(len(symbols)), copy=False)


def filter_suffixes(suffixes: Integers, holes: npt.NDArray[np.int64]) -> Iterator[Integers]:
    """Yield the suffixes outside the holes (H, 2), in order, as if the holes had closed up.

    By how much a suffix moves is the same for a page of positions, and looked up there; only in a
    page that a hole touches must each be compared with the holes.
    """
    sizes = holes[:, 1] - holes[:, 0]
    dtype = _positions_dtype(int(len(suffixes) - sizes.sum()))
    closed = np.concatenate([[0], np.cumsum(sizes)]).astype(suffixes.dtype)
    pages = np.arange((len(suffixes) >> _PAGE) + 1)
    moved = closed[np.searchsorted(holes[:, 0], pages << _PAGE, side="right")]
    touching = np.zeros(len(pages) + 1, np.int64)
    np.add.at(touching, holes[:, 0] >> _PAGE, 1)
    np.subtract.at(touching, ((holes[:, 1] - 1) >> _PAGE) + 1, 1)
    is_touched = np.cumsum(touching)[:-1] > 0
    for first in range(0, len(suffixes), _AT_ONCE):
        block = suffixes[first : first + _AT_ONCE]
        page = block >> _PAGE
        result = block - moved.take(page)
        near = np.flatnonzero(is_touched.take(page))
        number = np.searchsorted(holes[:, 0], block[near], side="right")
        result[near] = block[near] - closed[number]
        is_inside = (number > 0) & (block[near] < holes[number - 1, 1])
        yield np.delete(result, near[is_inside]).astype(dtype, copy=False)


def _positions_dtype(size: int) -> type[np.int32] | type[np.int64]:
    return np.int32 if size <= np.iinfo(np.int32).max else np.int64


def _outside(symbols: Integers, holes: npt.NDArray[np.int64]) -> Integers:
    edges = [0, *holes.ravel().tolist(), len(symbols)]
    return np.concatenate(
        [symbols[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    )


def _codes(symbols: str | Integers, vocabulary_size: int | None) -> npt.NDArray[np.uint32]:
    """Return code points, or ids, plus one."""
    if vocabulary_size is None:
        assert isinstance(symbols, str)
        return code_points(symbols) + np.uint32(1)
    assert not isinstance(symbols, str)
    assert len(symbols) == 0 or (symbols.min() >= 0 and int(symbols.max()) < vocabulary_size)
    return symbols.astype(np.uint32) + np.uint32(1)


def _narrowest(size: int) -> npt.DTypeLike:
    """Return the type for symbols below `size`, and one more that stands for all unknown."""
    return next(f"=u{width}" for width in (1, 2, 4) if size < 1 << (8 * width))


def _write(
    folder: Path,
    symbols: Integers,
    suffixes: Iterable[Integers],
    starts: npt.NDArray[np.int64],
    entries: Sequence[tuple[str, str]],
    *,
    alphabet: Integers | None,
    vocabulary_size: int | None,
    group: str,
    layout: Layout,
) -> None:
    arrays: dict[str, Iterable[Integers]] = {
        "symbols": [symbols], "suffixes": suffixes, "starts": [starts],
    }  # fmt: skip
    if alphabet is not None:
        arrays["alphabet"] = [alphabet]
    for name, pieces in arrays.items():
        with (folder / f"{name}.bin").open("wb") as file:
            for piece in pieces:
                piece.astype(piece.dtype.newbyteorder("<"), copy=False).tofile(file)
    written = np.memmap(
        folder / "suffixes.bin", np.dtype(_positions_dtype(len(symbols))).newbyteorder("<"), "r"
    )
    if layout == "fast":
        keys = pack(symbols, written[::KEY_EVERY])
        keys.astype("<u8", copy=False).tofile(folder / "keys.bin")
    (folder / "entries.json").write_text(json.dumps(entries), encoding="utf-8")
    sizes = {
        "positions": len(symbols),
        "symbol_bytes": symbols.dtype.itemsize,
        "position_bytes": written.dtype.itemsize,
        "entries": len(entries),
        "symbols": len(alphabet) if alphabet is not None else vocabulary_size,
        "vocabulary_size": vocabulary_size,
        "group": group,
        "layout": layout,
    }
    (folder / "segment.json").write_text(json.dumps(sizes), encoding="utf-8")
