"""Which documents are copies of others? Exact ones by hash, near ones by MinHash.

Two documents are near copies if at least 64 % of the shingles (see `shingles.py`) that either has
are in both: their Jaccard similarity. No more can be asked if a text of 30 words is to be found
again with 5 % of them changed: two words spoil six of its 28 shingles, and 22 of 34 are shared. So
a template that is filled in with two other names is a near copy, too; where such texts must stay,
near copies must be kept, and `prepare` says how. In fewer than 30 words each may be what matters
(*he* or *she*, Monday or Thursday, plus or minus): there, near copies have the same words and signs
in the same order, and differ in case and in the punctuation of sentences alone.

To compare all pairs is too much, so each text is reduced to 128 minima whose chance of agreeing is
that similarity (Broder 1997), and only pairs that agree in all 4 minima of one of 32 *bands* are
looked at (Indyk and Motwani 1998): a pair of similarity s
with the chance 1 - (1 - s^4)^32, which is 0.998 at 0.64 and 0.05 at 0.2. Each such pair is then
compared exactly, so that chance can only miss a copy, never invent one. (Of texts of many megabytes
the shingles whose hash ends in some zero bits are compared, still a hundred thousand and more.)

Documents that differ in label or target are never copies: they teach different things. They are of
one group all the same, so that what is learned under one label is not measured under another.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.prepare.shingles import WORDS, run_hashes, shingle_hashes, written_form
from memlm.runtime import require_package

SIMILARITY = 0.64
"""Least Jaccard similarity of near copies; with 5 % of its words changed a copy has about 0.75."""
SIMILARITY_OF_RUNS = 0.08
"""The same of the runs of 21 words of long texts: about 0.2 with 5 % of the words changed."""
FEWEST_WORDS = 30
"""Of texts with fewer, all words and signs of near copies are the same."""
_LONG_WORDS = 400
BANDS = 32
_ROWS = 4
_SEED = 20_080_513
_REMEMBERED = 4_000_000  # shingles of the documents that were compared last
_AT_ONCE = 1_000_000  # code points
_COMPARED_WHOLE = 4_000_000  # code points
Keys = npt.NDArray[np.uint64]
_NO_WORDS = np.uint64((1 << 64) - 1)


@dataclass(frozen=True)
class Copies:
    """What `find_copies` found, one entry a document."""

    kept: npt.NDArray[np.int64]
    """Row of the document that stands for this one; its own row where it stands for itself."""
    similarity: npt.NDArray[np.float32]
    """Jaccard similarity with that document; 1 for itself and for exact copies."""
    is_exact: npt.NDArray[np.bool_]
    """Whether it is an exact copy of another document."""
    group: npt.NDArray[np.int64]
    """First row of the documents that are joined to this one by a chain of copies, whatever their
    kinds; its own where there are none. Followed only where the hashes of the texts are given."""


def sign_texts(texts: Sequence[str]) -> Keys:
    """Return the keys of each text in every band (n, 32); those of a text without words are 0."""
    require_package("rensa", extra="words")
    from rensa import RMinHash

    minima = np.full((len(texts), BANDS * _ROWS), _NO_WORDS, dtype=np.uint64)
    num_shingles = np.zeros(len(texts), dtype=np.int64)
    for numbers, pieces in _batches(texts):
        hashes, offsets = shingle_hashes(pieces)
        num_shingles[numbers] += np.diff(offsets)
        if len(hashes) == 0:
            continue
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            hashes, offsets.astype(np.uint64), BANDS * _ROWS, _SEED
        )
        found = np.asarray(matrix.to_rows(), dtype=np.uint64)
        found[np.diff(offsets) == 0] = _NO_WORDS
        minima[numbers] = np.minimum(minima[numbers], found)
    keys = np.zeros((len(texts), BANDS), dtype=np.uint64)
    for row in range(_ROWS):
        keys = (keys ^ minima[:, row::_ROWS]) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    keys[num_shingles == 0] = 0
    for number in np.flatnonzero((num_shingles > 0) & _is_short(num_shingles)).tolist():
        form = written_form(texts[number]).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(form, digest_size=8).digest()
        keys[number] = max(1, int.from_bytes(digest, "big"))
    return keys


def _is_short(num_shingles: Any) -> Any:  # Any: a number or an array of them
    return num_shingles < FEWEST_WORDS - (WORDS - 1)


def _batches(texts: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
    """Yield texts with their numbers; a long one comes piece by piece, each alone."""
    short = [number for number, text in enumerate(texts) if len(text) <= _AT_ONCE]
    yield short, [texts[number] for number in short]
    for number, text in enumerate(texts):
        if len(text) > _AT_ONCE:
            yield from (([number], [piece]) for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    """Cut a text where a word ends, so that what is hashed at once is bounded."""
    start = 0
    while len(text) - start > _AT_ONCE:
        end = start + _AT_ONCE
        space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
        end = space if space > start else end
        yield text[start:end]
        start = end
    yield text[start:]


def find_copies(
    contents: Keys,
    kinds: Keys,
    order: npt.NDArray[np.int64],
    *,
    band: Callable[[int], Keys] | None,
    read: Callable[[int], str],
    texts: Keys | None = None,
) -> Copies:
    """Return which documents are copies of which; a copy comes later in `order` than its original.

    `contents` (n, 2) are hashes of text and kind, equal for exact copies only; `kinds` (n,) hashes
    of label and target; `order` says which row goes first; `band` returns the keys (n,) of a band,
    and is None where near copies are not wanted; `read` returns the text of a row; `texts` (n,) are
    hashes of the text alone, given where groups are wanted: of all that are like one another,
    whatever their kind.
    """
    num = len(order)
    rank = np.empty(num, dtype=np.int64)
    rank[order] = np.arange(num)
    kept = np.arange(num, dtype=np.int64)
    for first, later in _groups(contents[:, 0], rank):
        same = contents[later, 1] == contents[first, 1]
        kept[later[same]] = first
    is_exact = kept != np.arange(num)
    similarity = np.ones(num, dtype=np.float32)
    group = kept.copy()
    if band is not None:
        comparison = _Comparison(read)
        for row, earlier in _candidates(band, kinds, rank, ~is_exact):
            for original in dict.fromkeys(int(kept[other]) for other in earlier):
                found = comparison.similarity(original, row)
                if found >= SIMILARITY:
                    kept[row], similarity[row] = original, found
                    break
        kept = kept[kept]  # an exact copy of a near copy stands behind the same document
        for row in np.flatnonzero(kept != np.arange(num)).tolist():
            _join(group, row, int(kept[row]))
        if texts is not None:
            _join_alike(group, texts, rank, band, comparison)
    elif texts is not None:
        _join_equal(group, texts, rank)
    for row in np.flatnonzero(group != np.arange(num)).tolist():
        group[row] = _first(group, row)
    return Copies(kept, similarity, is_exact, group)


def _join_equal(
    group: npt.NDArray[np.int64], texts: Keys, rank: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Join all rows of one text; say which are the first of theirs."""
    is_first = np.ones(len(texts), dtype=bool)
    for first, later in _groups(texts, rank):
        is_first[later] = False
        for row in later.tolist():
            _join(group, row, first)
    return is_first


def _join_alike(
    group: npt.NDArray[np.int64],
    texts: Keys,
    rank: npt.NDArray[np.int64],
    band: Callable[[int], Keys],
    comparison: _Comparison,
) -> None:
    """Join all rows of texts that are like one another, whatever their kinds."""
    is_first = _join_equal(group, texts, rank)
    for row, earlier in _candidates(band, np.zeros_like(texts), rank, is_first):
        for other in earlier:
            is_joined = _first(group, row) == _first(group, other)
            if not is_joined and comparison.similarity(other, row) >= SIMILARITY:
                _join(group, row, other)


def _join(group: npt.NDArray[np.int64], one: int, other: int) -> None:
    first, second = _first(group, one), _first(group, other)
    group[max(first, second)] = min(first, second)


def _first(group: npt.NDArray[np.int64], row: int) -> int:
    """Return the first row of the group that a row belongs to, and shorten the way to it."""
    first = row
    while group[first] != first:
        first = int(group[first])
    while group[row] != first:
        group[row], row = first, int(group[row])
    return first


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
    band: Callable[[int], Keys],
    kinds: Keys,
    rank: npt.NDArray[np.int64],
    is_wanted: npt.NDArray[np.bool_],
) -> Iterator[tuple[int, list[int]]]:
    """Yield (row, rows before it that may be like it), in order of rank.

    In a band's group each document is paired with the first and with the one before it: enough,
    since a copy of a copy is led back to the document that stands for both.
    """
    rows = np.flatnonzero(is_wanted)
    rows = rows[np.argsort(rank[rows], kind="stable")]
    pairs: Keys = np.zeros(0, dtype=np.uint64)
    for number in range(BANDS):
        keys = band(number)[rows]
        has_words = keys != 0
        keys = keys ^ (kinds[rows] * np.uint64(0x9E3779B97F4A7C15))
        by_key = np.argsort(keys, kind="stable")
        by_key = by_key[has_words[by_key]]
        is_same = np.concatenate([[False], keys[by_key][1:] == keys[by_key][:-1]])
        heads = np.maximum.accumulate(np.where(is_same, 0, np.arange(len(by_key))))
        later = np.flatnonzero(is_same)
        found = [_pair(by_key[later], by_key[at]) for at in (heads[later], later - 1)]
        pairs = np.unique(np.concatenate([pairs, *found]))
    later_rows, earlier_rows = rows[pairs >> np.uint64(32)], rows[pairs & np.uint64(0xFFFFFFFF)]
    starts = np.flatnonzero(np.diff(later_rows, prepend=-1))
    ends = np.append(starts, len(pairs))[1:]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield int(later_rows[start]), earlier_rows[start:end].tolist()


def _pair(later: npt.NDArray[np.intp], earlier: npt.NDArray[np.intp]) -> Keys:
    return (later.astype(np.uint64) << np.uint64(32)) | earlier.astype(np.uint64)


class _Comparison:
    """Compares the shingles of texts, remembering those of the texts that were read last."""

    def __init__(self, read: Callable[[int], str]) -> None:
        self._read = read
        self._sets: OrderedDict[int, _Shingles] = OrderedDict()
        self._size = 0

    def similarity(self, one: int, other: int) -> float:
        """Return the Jaccard similarity of two rows' texts; 0 where they are surely no copies."""
        first, second = self._shingles(one), self._shingles(other)
        if first.form is not None or second.form is not None:
            return float(first.form == second.form)
        bits = max(first.bits, second.bits)
        found = _jaccard(first.sampled(bits), second.sampled(bits), least=SIMILARITY)
        if found == 0.0 or not (first.is_long and second.is_long):
            return found
        runs = [_sample(shingles.runs, bits) for shingles in (first, second)]
        return found if _jaccard(*runs, least=SIMILARITY_OF_RUNS) >= SIMILARITY_OF_RUNS else 0.0

    def _shingles(self, row: int) -> _Shingles:
        found = self._sets.get(row)
        if found is None:
            found = self._sets[row] = _collect(self._read(row))
            self._size += len(found.hashes) + len(found.runs)
            while self._size > _REMEMBERED and len(self._sets) > 2:
                last = self._sets.popitem(last=False)[1]
                self._size -= len(last.hashes) + len(last.runs)
        self._sets.move_to_end(row)
        return found


@dataclass(frozen=True)
class _Shingles:
    """The shingles of a text whose hash ends in `bits` zero bits, each once, in order."""

    hashes: Keys
    runs: Keys
    """The same of its runs of 21 words."""
    bits: int
    is_long: bool
    form: str | None
    """How it is written, where it is short (see `written_form`)."""

    def sampled(self, bits: int) -> Keys:
        """Return those that end in more zero bits."""
        return self.hashes if bits == self.bits else _sample(self.hashes, bits)


def _collect(text: str) -> _Shingles:
    bits = (len(text) // _COMPARED_WHOLE).bit_length()
    hashes, runs, num = [], [], 0
    for piece in _pieces(text):
        found = shingle_hashes([piece])[0]
        num += len(found)
        hashes.append(_sample(found, bits))
        runs.append(_sample(run_hashes(found), bits))
    return _Shingles(
        np.unique(np.concatenate(hashes)),
        np.unique(np.concatenate(runs)),
        bits,
        is_long=num >= _LONG_WORDS,
        form=written_form(text) if _is_short(num) else None,
    )


def _jaccard(one: Keys, other: Keys, *, least: float) -> float:
    """Return the Jaccard similarity of two sets; 0 where their sizes alone forbid `least`."""
    smaller, larger = sorted((one, other), key=len)
    if len(smaller) < least * len(larger):
        return 0.0
    shared = len(np.intersect1d(smaller, larger, assume_unique=True))
    return shared / max(1, len(smaller) + len(larger) - shared)


def _sample(hashes: Keys, bits: int) -> Keys:
    return hashes if bits == 0 else hashes[hashes & np.uint64((1 << bits) - 1) == 0]
