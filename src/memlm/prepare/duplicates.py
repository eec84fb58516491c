"""Which documents are copies of others? Exact ones by hash, near ones by MinHash.

Two documents are near copies if at least 55 % of the shingles (see `shingles.py`) that either has
are in both: their Jaccard similarity. To compare all pairs is too much, so each text is reduced to
a *signature* of 128 minima whose chance of agreeing is that similarity (Broder 1997), and only
pairs that agree in one of 32 bands of 4 minima are looked at (Indyk and Motwani 1998): a pair of
similarity s with the chance 1 - (1 - s^4)^32, which is 0.998 at 0.65 and 0.05 at 0.2. Each such
pair is then compared exactly, so that chance can only miss a copy, never invent one.

Documents that differ in label or target are never copies: they teach different things.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memlm.prepare.shingles import shingle_hashes
from memlm.runtime import require_package

NUM_MINIMA = 128
SIMILARITY = 0.55
"""Least Jaccard similarity of near copies; with 5 % of its words changed a copy has about 0.75."""
_BANDS, _ROWS = 32, 4
_CLEARLY_DIFFERENT = 0.3  # share of agreeing minima; its standard error at 0.55 is 0.044
_SEED = 20_080_513
_REMEMBERED = 2_000  # shingle sets of documents that were compared last
Signatures = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Copies:
    """What `find_copies` found, one entry a document."""

    kept: npt.NDArray[np.int64]
    """Row of the document that stands for this one; its own row where it stands for itself."""
    similarity: npt.NDArray[np.float32]
    """Jaccard similarity with that document; 1 for itself and for exact copies."""
    is_exact: npt.NDArray[np.bool_]
    """Whether it is an exact copy of another document."""


def sign_texts(texts: Sequence[str]) -> tuple[Signatures, npt.NDArray[np.bool_]]:
    """Return the signatures of texts (n, 128), and which of them have any word at all."""
    require_package("rensa", extra="words")
    from rensa import RMinHash

    hashes, offsets = shingle_hashes(texts)
    has_words = np.diff(offsets) > 0
    if not len(texts):
        return np.zeros((0, NUM_MINIMA), np.uint32), has_words
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, offsets.astype(np.uint64), NUM_MINIMA, _SEED
    )
    return np.asarray(matrix.to_rows(), dtype=np.uint32), has_words


def find_copies(
    contents: npt.NDArray[np.uint64],
    kinds: npt.NDArray[np.uint64],
    order: npt.NDArray[np.int64],
    *,
    signatures: Signatures | None,
    read: Callable[[int], str],
) -> Copies:
    """Return which documents are copies of which; a copy comes later in `order` than its original.

    `contents` (n, 2) are hashes of text and kind, equal for exact copies only; `kinds` (n,) hashes
    of label and target; `order` says which row goes first; `signatures` (n, 128) may be a memory
    map, and is None where near copies are not wanted; `read` returns the text of a row.
    """
    num = len(order)
    rank = np.empty(num, dtype=np.int64)
    rank[order] = np.arange(num)
    kept = np.arange(num, dtype=np.int64)
    for first, later in _groups(contents[:, 0] ^ (contents[:, 1] << np.uint64(1)), rank):
        same = np.all(contents[later] == contents[first], axis=1)
        kept[later[same]] = first
    is_exact = kept != np.arange(num)
    similarity = np.ones(num, dtype=np.float32)
    if signatures is not None:
        comparison = _Comparison(read)
        for row, earlier in _candidates(signatures, kinds, rank, ~is_exact):
            for original in dict.fromkeys(int(kept[other]) for other in earlier):
                found = comparison.similarity(original, row)
                if found >= SIMILARITY:
                    kept[row], similarity[row] = original, found
                    break
        kept = kept[kept]  # an exact copy of a near copy stands behind the same document
    return Copies(kept, similarity, is_exact)


def _groups(
    keys: npt.NDArray[np.uint64], rank: npt.NDArray[np.int64]
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield (first row, later rows) of each group of rows with the same key."""
    by_key = np.lexsort((rank, keys))
    for start, end in _runs(keys[by_key]):
        yield int(by_key[start]), by_key[start + 1 : end]


def _runs(values: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each run of two or more equal values."""
    bounds = np.flatnonzero(np.diff(values)) + 1
    starts, ends = np.concatenate([[0], bounds]), np.concatenate([bounds, [len(values)]])
    long = ends - starts > 1
    yield from zip(starts[long].tolist(), ends[long].tolist(), strict=True)


def _candidates(
    signatures: Signatures,
    kinds: npt.NDArray[np.uint64],
    rank: npt.NDArray[np.int64],
    is_wanted: npt.NDArray[np.bool_],
) -> Iterator[tuple[int, list[int]]]:
    """Yield (row, rows before it that may be like it), in order of rank.

    In a band's group each document is paired with the first and with the one before it: enough,
    since a copy of a copy is led back to the document that stands for both.
    """
    rows = np.flatnonzero(is_wanted)
    rows = rows[np.argsort(rank[rows], kind="stable")]
    pairs: npt.NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
    for band in range(_BANDS):
        minima = signatures[:, band * _ROWS : (band + 1) * _ROWS][rows].astype(np.uint64)
        keys = kinds[rows].copy()
        for column in range(_ROWS):
            keys = (keys ^ minima[:, column]) * np.uint64(0x9E3779B97F4A7C15)
            keys ^= keys >> np.uint64(29)
        by_key = np.argsort(keys, kind="stable")
        is_same = np.concatenate([[False], keys[by_key][1:] == keys[by_key][:-1]])
        heads = np.maximum.accumulate(np.where(is_same, 0, np.arange(len(by_key))))
        later = np.flatnonzero(is_same)
        found = [_pair(by_key[later], by_key[at]) for at in (heads[later], later - 1)]
        pairs = np.unique(np.concatenate([pairs, *found]))
    yield from _agreeing(signatures, rows, pairs)


def _pair(later: npt.NDArray[np.intp], earlier: npt.NDArray[np.intp]) -> npt.NDArray[np.uint64]:
    return (later.astype(np.uint64) << np.uint64(32)) | earlier.astype(np.uint64)


def _agreeing(
    signatures: Signatures, rows: npt.NDArray[np.intp], pairs: npt.NDArray[np.uint64]
) -> Iterator[tuple[int, list[int]]]:
    """Yield the pairs whose signatures do not rule them out, those of each later row together."""
    row, earlier = -1, []
    for start in range(0, len(pairs), 1 << 12):
        block = pairs[start : start + (1 << 12)]
        later_rows, earlier_rows = rows[block >> np.uint64(32)], rows[block & np.uint64(0xFFFFFFFF)]
        agree = np.mean(signatures[later_rows] == signatures[earlier_rows], axis=1)
        for place in np.flatnonzero(agree >= _CLEARLY_DIFFERENT):
            if later_rows[place] != row:
                if earlier:
                    yield row, earlier
                row, earlier = int(later_rows[place]), []
            earlier.append(int(earlier_rows[place]))
    if earlier:
        yield row, earlier


class _Comparison:
    """Compares the shingles of texts, remembering those of the texts that were read last."""

    def __init__(self, read: Callable[[int], str]) -> None:
        self._read = read
        self._sets: OrderedDict[int, npt.NDArray[np.uint64]] = OrderedDict()

    def similarity(self, one: int, other: int) -> float:
        """Return the Jaccard similarity of two rows' texts."""
        first, second = self._shingles(one), self._shingles(other)
        shared = len(np.intersect1d(first, second, assume_unique=True))
        return shared / max(1, len(first) + len(second) - shared)

    def _shingles(self, row: int) -> npt.NDArray[np.uint64]:
        found = self._sets.get(row)
        if found is None:
            found = self._sets[row] = np.unique(shingle_hashes([self._read(row)])[0])
            if len(self._sets) > _REMEMBERED:
                self._sets.popitem(last=False)
        self._sets.move_to_end(row)
        return found
