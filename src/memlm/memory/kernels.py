"""What followed contexts, compiled: the loops behind `contexts.py`, which has them in numpy too.

Compiled code is kept on disk beside this file, once for each combination of types that was asked.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]
Integers = npt.NDArray[np.integer]


@njit(cache=True, nogil=True)
def _lower(
    symbols: Integers, suffixes: Integers, low: int, high: int, depth: int, wanted: int
) -> int:
    """Return the first rank in [low, high) whose suffix has at least `wanted` at `depth`."""
    last = len(symbols) - 1
    while low < high:
        middle = (low + high) >> 1
        if symbols[min(suffixes[middle] + depth, last)] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def follow(
    symbols: Integers, suffixes: Integers, firsts: Ints, stream: Ints, longest: int
) -> tuple[Ints, Ints]:
    """Return the intervals (T, longest + 1) of every context of a stream of symbols."""
    lows = np.zeros((len(stream), longest + 1), np.int64)
    highs = np.zeros((len(stream), longest + 1), np.int64)
    for place in range(len(stream)):
        symbol = stream[place]
        highs[place, 0] = len(suffixes)
        if longest == 0 or firsts[symbol] == firsts[symbol + 1]:
            continue
        lows[place, 1], highs[place, 1] = firsts[symbol], firsts[symbol + 1]
        if place == 0:
            continue
        for order in range(2, longest + 1):
            low, high = lows[place - 1, order - 1], highs[place - 1, order - 1]
            if low == high:
                break
            begin = _lower(symbols, suffixes, low, high, order - 1, symbol)
            end = _lower(symbols, suffixes, begin, high, order - 1, symbol + 1)
            if begin == end:
                break
            lows[place, order], highs[place, order] = begin, end
    return lows, highs


@njit(cache=True, nogil=True)
def count_followers(
    symbols: Integers, suffixes: Integers, orders: Ints, lows: Ints, highs: Ints, base: int
) -> tuple[Ints, Ints, Ints, Ints]:
    """Return (context, token, count, variety) of what followed some contexts of one segment."""
    room = 0
    for context in range(len(orders)):
        room += min(highs[context] - lows[context], base)
    contexts, tokens = np.empty(room, np.int64), np.empty(room, np.int64)
    counts, varieties = np.empty(room, np.int64), np.empty(room, np.int64)
    seen = np.full(base, -1, np.int64)  # the run in which each symbol last stood before
    found, last = 0, len(symbols) - 1
    for context in range(len(orders)):
        order, current = orders[context], 0
        for rank in range(lows[context], highs[context]):
            position = suffixes[rank]
            symbol = int(symbols[min(position + order, last)])
            before = int(symbols[position - 1])  # of the first position: the last symbol, a 0
            if symbol == 0 or (order == 0 and before == 0):
                continue
            if symbol != current:
                contexts[found], tokens[found] = context, symbol - 1
                counts[found], varieties[found] = 0, 0
                current, found = symbol, found + 1
            counts[found - 1] += 1
            if seen[before] != found:
                seen[before] = found
                varieties[found - 1] += 1
    return contexts[:found], tokens[:found], counts[:found], varieties[:found]
