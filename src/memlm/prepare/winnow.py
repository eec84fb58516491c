"""Few numbers that stand for a text, and still meet wherever two texts share a long passage.

Hash every window of 40 characters, and of every 31 neighbouring windows keep the least hash, the
last of equals: the *fingerprints* (winnowing: Schleimer, Wilkerson and Aiken 2003). Every passage
of 100 characters holds 31 such windows, whatever lies around it, so wherever it occurs it has the
same fingerprints at the same places in it. A hanzi, kana or hangul counts as two characters.

Windows are hashed by prefix sums of a polynomial modulo 2^64, and least hashes found by doubling:
the least of 2, of 4, 8 and 16 neighbours, and of two such stretches that overlap. No Python runs
for each character.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from memlm.prepare.shingles import powers, whole_words

PASSAGE = 100
"""Characters of the shortest passage that is certain to be found; a hanzi counts as two."""
_WINDOW = 40
_NEIGHBOURS = (PASSAGE - _WINDOW) // 2 + 1  # windows in a passage, even one of hanzi alone
_AT_ONCE = 1 << 15  # what stays in a core's own cache
_OVERLAP = PASSAGE  # no passage is longer, in code points
_PLACE_BITS = np.uint64(20)
_PLACES = np.uint64((1 << 20) - 1)
_NONE = np.uint64((1 << 64) - 1)
_FIRST_WIDE = 0x1100
_BASE = 0xD6E8FEB86659FD93  # odd, so that it has an inverse modulo 2^64
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
Codes = npt.NDArray[np.uint32]
Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


def fingerprints(texts: Sequence[str]) -> tuple[Hashes, Places]:
    """Return the fingerprints of texts and the code points, texts end to end, where they begin."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    joined = "".join(texts)
    hashes, places = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for start, end, bounds in _slices(lengths):
        found = _winnow(code_points(joined[start:end]), bounds)
        hashes.append(found[0])
        places.append(found[1] + start)
    # Where slices overlap, the same fingerprint is found twice.
    distinct, firsts = np.unique(np.concatenate(places), return_index=True)
    return np.concatenate(hashes)[firsts], distinct


def passage_hashes(codes: Codes, starts: Places) -> tuple[Hashes, Places]:
    """Return hash and end of the passage of 100 characters that begins at each of `starts`.

    The end of a passage that the text is too short for is -1.
    """
    hashes, ends = np.zeros(len(starts), np.uint64), np.full(len(starts), -1, dtype=np.int64)
    for start in range(0, len(codes), _AT_ONCE):
        low, high = np.searchsorted(starts, (start, start + _AT_ONCE))
        if low == high:
            continue
        piece = codes[start : start + _AT_ONCE + _OVERLAP]
        own = starts[low:high] - start
        bounds = np.full(len(piece), len(piece))
        piece_hashes, piece_ends = _hash_windows(piece, bounds, PASSAGE)
        hashes[low:high] = piece_hashes[own]
        found = piece_ends[own]
        ends[low:high] = np.where(found <= len(piece), found + start, -1)
    return hashes, ends


def passages_with(codes: Codes, places: Places) -> Places:
    """Return where all passages of 100 characters begin that hold a window at one of `places`.

    (A passage that only just misses its window may be among them.)
    """
    found = [np.zeros(0, np.int64)]
    for start in range(0, len(codes), _AT_ONCE):
        low, high = np.searchsorted(places, (start, start + _AT_ONCE + _OVERLAP))
        if low < high:
            piece = codes[start : start + _AT_ONCE + 2 * _OVERLAP]
            starts = _passages_in_piece(piece, places[low:high] - start)
            found.append(starts[starts < _AT_ONCE] + start)
    return np.concatenate(found)


def _passages_in_piece(codes: Codes, places: Places) -> Places:
    if codes.max() < _FIRST_WIDE:
        firsts = np.maximum(0, places + _WINDOW - PASSAGE)
    else:
        before = np.cumsum(np.concatenate([[0], _widths(codes)]))
        window_ends = np.searchsorted(before, before[places] + _WINDOW)
        firsts = np.searchsorted(before, np.maximum(0, before[window_ends] - PASSAGE - 1))
    change = np.zeros(len(codes) + 1, dtype=np.int64)
    np.add.at(change, firsts, 1)
    np.add.at(change, places + 1, -1)
    return np.flatnonzero(np.cumsum(change) > 0)


def code_points(text: str) -> Codes:
    """Return a text as an array of code points."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def _slices(lengths: Places) -> Iterator[tuple[int, int, Places]]:
    """Cut the texts, laid end to end, into slices that overlap; yield for each where each of its
    code points' text ends."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, _AT_ONCE):
        end = min(total, start + _AT_ONCE + _OVERLAP)
        low, high = np.searchsorted(ends, (start, end - 1), side="right")
        inside = np.minimum(ends[low : high + 1], end) - start
        yield start, end, np.repeat(inside, np.diff(inside, prepend=0))


def _winnow(codes: Codes, bounds: Places) -> tuple[Hashes, Places]:
    if len(codes) < _NEIGHBOURS:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    hashes, ends = _hash_windows(codes, bounds, _WINDOW)
    # The place is in the low bits, counted from the end: of equal hashes the last is the least.
    places = np.arange(len(codes), 0, -1, dtype=np.uint64)
    keys = np.where(ends <= bounds, (hashes & ~_PLACES) | places, _NONE)
    for width in (1, 2, 4, 8):
        keys = np.minimum(keys[:-width], keys[width:])
    least = np.minimum(keys[: -(_NEIGHBOURS - 16)], keys[_NEIGHBOURS - 16 :])
    least = least[np.diff(least, prepend=_NONE) != 0]
    least = least[least != _NONE]
    chosen = len(codes) - (least & _PLACES).astype(np.int64)
    return hashes[chosen], chosen


def _hash_windows(codes: Codes, bounds: Places, size: int) -> tuple[Hashes, Places]:
    """Return hash and end of the window of `size` characters at each code point.

    An end beyond `bounds` says that there is no such window, and its hash means nothing.
    """
    ends = _window_ends(codes, size)
    weights, inverses = _weights(len(codes))
    sums = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum((codes + np.uint64(1)) * weights, out=sums[1:])
    hashes = (sums[np.minimum(ends, len(codes))] - sums[:-1]) * inverses
    hashes ^= hashes >> np.uint64(32)
    return hashes * _SPREAD, ends


def _window_ends(codes: Codes, size: int) -> Places:
    """Return the end of the shortest window of `size` characters at each code point.

    Beyond the end of the text it is one more than the length of the text, or greater.
    """
    length = len(codes)
    if not length or codes.max() < _FIRST_WIDE:
        return np.arange(size, length + size)
    widths = _widths(codes)
    at_unit = np.full(int(widths.sum()) + 1 + size, length + 1, dtype=np.int64)
    at_unit[0] = 0
    at_unit[1 : len(at_unit) - size] = np.repeat(np.arange(1, length + 1), widths)
    before = np.cumsum(widths) - widths
    return np.asarray(at_unit[before + size])


def _widths(codes: Codes) -> Places:
    return np.asarray(whole_words()[codes] + np.int64(1))


def _weights(length: int) -> tuple[Hashes, Hashes]:
    weights, inverses = _longest_weights(_AT_ONCE + _OVERLAP)
    return weights[:length], inverses[:length]


@cache
def _longest_weights(length: int) -> tuple[Hashes, Hashes]:
    return powers(_BASE, length), powers(pow(_BASE, -1, 1 << 64), length)
