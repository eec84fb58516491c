"""The same questions as in `search`, compiled: loops that read memory as little as can be.

Everywhere `symbols` (N,), `suffixes` (N,) and `keys` (N / 16,) are a segment's (`keys` is empty in
the compact layout), and `query` (T,) is in its symbols. Compiled code is kept on disk beside this
file, once for each combination of types that was asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from memlm.index.segment import KEY_EVERY, Integers

Places = npt.NDArray[np.int64]
_LINEAR = 8  # suffixes that are looked at one by one
_FEWEST_FOUND = 4096


def is_compiled(name: str, symbols: Integers, suffixes: Integers) -> bool:
    """Say whether a loop was compiled, or fetched, in this process for a segment's types."""
    loops: dict[str, Any] = {  # Any: numba has no types
        "find_intervals": find_intervals, "follow": follow, "successors": _successors,
    }  # fmt: skip
    wanted = symbols.dtype.name, suffixes.dtype.name
    return any((str(one[0].dtype), str(one[1].dtype)) == wanted for one in loops[name].signatures)


@njit(cache=True, nogil=True)
def _key_range(
    keys: npt.NDArray[np.uint64], size: int, query: Integers, start: int, length: int
) -> tuple[int, int, int]:
    """Return where the range of a pattern begins at the earliest, at the latest, and ends by."""
    bits = 8 * query.itemsize
    per_key = 64 // bits
    least = np.uint64(0)
    for number in range(per_key):
        least <<= np.uint64(bits)
        if number < length:
            least |= np.uint64(query[start + number])
    most = least
    if length < per_key:
        most |= (np.uint64(1) << np.uint64(bits * (per_key - length))) - np.uint64(1)
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < least:
            low = middle + 1
        else:
            high = middle
    first, high = low, len(keys)
    step = 1
    while low < high:  # the end is near, mostly
        middle = min(low + step, high) - 1
        if keys[middle] <= most:
            low = middle + 1
            step *= 2
        else:
            high = middle
            break
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] <= most:
            low = middle + 1
        else:
            high = middle
    from_rank = (first - 1) * KEY_EVERY + 1 if first > 0 else 0
    begins_by = low if length > per_key else first
    return from_rank, min(begins_by * KEY_EVERY, size), min(low * KEY_EVERY, size)


@njit(cache=True, nogil=True)
def find(
    symbols: Integers,
    suffixes: Integers,
    keys: npt.NDArray[np.uint64],
    query: Integers,
    start: int,
    length: int,
) -> tuple[int, int]:
    """Return the range of suffixes that begin with `query[start : start + length]`, 1 or longer."""
    size = len(suffixes)
    low, high, end = 0, size, size
    if len(keys):
        low, high, end = _key_range(keys, size, query, start, length)
    # How many symbols the suffixes at both ends share with the pattern: those between share as many
    # as the lesser, and need not be compared there (Manber and Myers 1993).
    left = right = 0
    while low < high:
        middle = (low + high) >> 1
        position = suffixes[middle]
        same = min(left, right)
        while same < length and symbols[position + same] == query[start + same]:
            same += 1
        if same < length and symbols[position + same] < query[start + same]:
            low, left = middle + 1, same
        else:
            high, right = middle, same
    if low == size:
        return low, low
    position, same = suffixes[low], right if high < size and right < length else 0
    while same < length and symbols[position + same] == query[start + same]:
        same += 1
    if same < length:
        return low, low
    return low, _end_of(symbols, suffixes, query, start, length, low + 1, end)


@njit(cache=True, nogil=True)
def _end_of(
    symbols: Integers,
    suffixes: Integers,
    query: Integers,
    start: int,
    length: int,
    low: int,
    high: int,
) -> int:
    """Return the end of the range of a pattern of which `low - 1` is a member."""
    step, right, is_near = 1, 0, True
    while low < high:
        middle = min(low + step, high) - 1 if is_near else (low + high) >> 1
        position = suffixes[middle]
        same = right
        while same < length and symbols[position + same] == query[start + same]:
            same += 1
        if same == length:
            low = middle + 1
            step *= 2
        else:
            high, right, is_near = middle, same, False
    return low


@njit(cache=True, nogil=True)
def find_intervals(
    symbols: Integers,
    suffixes: Integers,
    keys: npt.NDArray[np.uint64],
    query: Integers,
    starts: Places,
    lengths: Places,
) -> tuple[Places, Places]:
    """Return the ranges (Q,) of suffixes that begin with `query[start : start + length]`."""
    lows, highs = np.zeros(len(starts), np.int64), np.full(len(starts), len(suffixes), np.int64)
    for number in range(len(starts)):
        if lengths[number] > 0:
            lows[number], highs[number] = find(
                symbols, suffixes, keys, query, starts[number], lengths[number]
            )
    return lows, highs


@njit(cache=True, nogil=True)
def _run_end(
    symbols: Integers, suffixes: Integers, depth: int, low: int, high: int, symbol: int
) -> int:
    """Return the first rank from `low` on whose symbol at `depth` is above `symbol`."""
    step = 1
    while low < high:
        middle = min(low + step, high) - 1
        if symbols[suffixes[middle] + depth] <= symbol:
            low = middle + 1
            step *= 2
        else:
            high = middle
            break
    while low < high:
        middle = (low + high) >> 1
        if symbols[suffixes[middle] + depth] <= symbol:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def _narrow(
    symbols: Integers, suffixes: Integers, depth: int, low: int, high: int, symbol: int
) -> tuple[int, int]:
    """Return the part of a range that goes on with `symbol` behind its first `depth` symbols."""
    end = high
    while end - low > _LINEAR:
        middle = (low + end) >> 1
        if symbols[suffixes[middle] + depth] < symbol:
            low = middle + 1
        else:
            end = middle
    while low < end and symbols[suffixes[low] + depth] < symbol:
        low += 1
    if low == high or symbols[suffixes[low] + depth] != symbol:
        return low, low
    return low, _run_end(symbols, suffixes, depth, low + 1, high, symbol)


@njit(cache=True, nogil=True)
def follow(
    symbols: Integers, suffixes: Integers, keys: npt.NDArray[np.uint64], query: Integers
) -> tuple[Places, Places, Places]:
    """Return, for each place of a text, the longest suffix of what was read that occurs.

    That is where it begins (T,), behind the place if it is empty, and the range of its suffixes.
    The range is narrowed by each symbol. Where nothing is left, the start moves on: in steps that
    double, then halve (Bentley and Yao 1976), since a later start is found wherever an earlier is.
    """
    count = len(query)
    starts = np.empty(count, np.int64)
    lows, highs = np.empty(count, np.int64), np.empty(count, np.int64)
    start, low, high = 0, 0, len(suffixes)
    for place in range(count):
        if place > start:
            low, high = _narrow(symbols, suffixes, place - start, low, high, query[place])
            if low == high:
                start += 1
        if place == start or low == high:
            start, low, high = _next_start(symbols, suffixes, keys, query, start, place)
        starts[place], lows[place], highs[place] = start, low, high
    return starts, lows, highs


@njit(cache=True, nogil=True)
def _next_start(
    symbols: Integers,
    suffixes: Integers,
    keys: npt.NDArray[np.uint64],
    query: Integers,
    start: int,
    place: int,
) -> tuple[int, int, int]:
    """Return the first start from `start` on from which the text occurs to behind `place`."""
    step, end = 1, place + 1
    bad = start - 1  # nothing before it, nor itself, will do
    good, good_low, good_high = end, 0, len(suffixes)
    candidate = start
    while candidate < good:
        low, high = find(symbols, suffixes, keys, query, candidate, end - candidate)
        if high > low:
            good, good_low, good_high = candidate, low, high
            break
        bad = candidate
        candidate += step
        step *= 2
    while good - bad > 1:
        candidate = (good + bad) >> 1
        low, high = find(symbols, suffixes, keys, query, candidate, end - candidate)
        if high > low:
            good, good_low, good_high = candidate, low, high
        else:
            bad = candidate
    return good, good_low, good_high


def successors(
    symbols: Integers, suffixes: Integers, lows: Places, highs: Places, depths: Places
) -> tuple[Places, Integers, Places]:
    """Return what follows the first `depth` symbols of the suffixes of each range (Q,), sparsely.

    That is offsets (Q + 1,), and the symbols and their counts, by ascending symbol, of each range.
    The separator is none of them.
    """
    offsets = np.zeros(len(lows) + 1, np.int64)
    size, done, parts = max(_FEWEST_FOUND, 2 * len(lows)), 0, []
    while done < len(lows):
        found, counts = np.empty(size, symbols.dtype), np.empty(size, np.int64)
        used, first = offsets[done], done
        done = _successors(symbols, suffixes, lows, highs, depths, done, offsets, found, counts)
        # The last one began, perhaps, but did not fit in.
        parts.append((found[: offsets[done] - used], counts[: offsets[done] - used]))
        size *= 2 if done > first else 8
    if not parts:
        return offsets, np.empty(0, symbols.dtype), np.empty(0, np.int64)
    all_found, all_counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    return offsets, all_found, all_counts


@njit(cache=True, nogil=True)
def _successors(
    symbols: Integers,
    suffixes: Integers,
    lows: Places,
    highs: Places,
    depths: Places,
    first: int,
    offsets: Places,
    found: Integers,
    counts: Places,
) -> int:
    """Fill `found` and `counts` for the ranges from `first` on; return the first that has no room.

    `offsets` count on from where they stand.
    """
    used = 0
    for number in range(first, len(lows)):
        depth, high, start = depths[number], highs[number], used
        # The separator sorts first.
        low = _run_end(symbols, suffixes, depth, lows[number], high, 0)
        while low < high:
            if used == len(found):
                return number
            symbol = symbols[suffixes[low] + depth]
            end = _run_end(symbols, suffixes, depth, low + 1, high, symbol)
            found[used] = symbol
            counts[used] = end - low
            used += 1
            low = end
        offsets[number + 1] = offsets[number] + used - start
    return len(lows)
