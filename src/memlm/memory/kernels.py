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
def _lengthen(
    symbols: Integers,
    suffixes: Integers,
    firsts: Ints,
    lows: Ints,
    highs: Ints,
    symbol: int,
    after_lows: Ints,
    after_highs: Ints,
) -> None:
    """Write the intervals (K + 1,) of all contexts after one more symbol; those before are given.

    `firsts` (base + 1,) says where the suffixes begin that begin with each symbol.
    """
    after_lows[0], after_highs[0] = firsts[0], firsts[-1]
    if len(lows) == 1 or firsts[symbol] == firsts[symbol + 1]:
        return
    after_lows[1], after_highs[1] = firsts[symbol], firsts[symbol + 1]
    for order in range(2, len(lows)):
        low, high = lows[order - 1], highs[order - 1]
        if low == high:
            return
        begin = _lower(symbols, suffixes, low, high, order - 1, symbol)
        end = _lower(symbols, suffixes, begin, high, order - 1, symbol + 1)
        if begin == end:
            return
        after_lows[order], after_highs[order] = begin, end


@njit(cache=True, nogil=True)
def follow(
    symbols: Integers, suffixes: Integers, firsts: Ints, stream: Ints, low: Ints, high: Ints
) -> tuple[Ints, Ints]:
    """Return the intervals (T, longest + 1) of every context of a stream of symbols.

    `low` and `high` (longest + 1,) are those of the position before the stream.
    """
    lows = np.zeros((len(stream) + 1, len(low)), np.int64)
    highs = np.zeros((len(stream) + 1, len(high)), np.int64)
    lows[0], highs[0] = low, high
    for place in range(len(stream)):
        _lengthen(
            symbols,
            suffixes,
            firsts,
            lows[place],
            highs[place],
            stream[place],
            lows[place + 1],
            highs[place + 1],
        )
    return lows[1:], highs[1:]


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
            if before == 0 or seen[before] != found:
                seen[before] = found
                varieties[found - 1] += 1
    return contexts[:found], tokens[:found], counts[:found], varieties[:found]


@njit(cache=True, nogil=True)
def refine(
    symbols: Integers,
    suffixes: Integers,
    firsts: Ints,
    offsets: Ints,
    lows: Ints,
    highs: Ints,
    tail: Ints,
    token: int,
    orders: Ints,
    small: int,
) -> tuple[Ints, Ints, Ints, Ints]:
    """Return the intervals (S, K + 1) of all contexts after one more token, and the last K + 1.

    The segments lie end to end; `firsts` (S, base + 1) says where the suffixes of each begin that
    begin with each symbol, and `offsets` (S,) where it begins itself: intervals count from there.
    And, as one row, how many of the orders occur more than `small` times, with the intervals of the
    last of these: what tells one common context from another.
    """
    after_lows, after_highs = np.zeros_like(lows), np.zeros_like(highs)
    for segment in range(len(lows)):
        _lengthen(
            symbols,
            suffixes,
            firsts[segment],
            lows[segment] + offsets[segment],
            highs[segment] + offsets[segment],
            token + 1,
            after_lows[segment],
            after_highs[segment],
        )
        for order in range(lows.shape[1]):
            if after_highs[segment, order]:
                after_lows[segment, order] -= offsets[segment]
                after_highs[segment, order] -= offsets[segment]
    common = 0
    while common < len(orders):
        order, size = orders[common], 0
        for segment in range(len(lows)):
            size += after_highs[segment, order] - after_lows[segment, order]
        if size <= small:
            break
        common += 1
    key = np.zeros(1 + 2 * len(lows), np.int64)
    key[0] = common
    if common:
        key[1 : len(lows) + 1] = after_lows[:, orders[common - 1]]
        key[len(lows) + 1 :] = after_highs[:, orders[common - 1]]
    after_tail = np.empty(lows.shape[1], np.int64)
    after_tail[:-1], after_tail[-1] = tail[len(tail) + 1 - len(after_tail) :], token
    return after_lows, after_highs, after_tail, key


@njit(cache=True, nogil=True)
def _followers(  # noqa: C901  # one loop over the runs of all segments
    symbols: Integers,
    suffixes: Integers,
    order: int,
    lows: Ints,
    highs: Ints,
    by_count: bool,
    seen: Integers,
    run: int,
) -> tuple[Ints, npt.NDArray[np.float64], int]:
    """Return the tokens that followed a context, and how often or after how many others.

    `seen` (base,) notes in which run each symbol last stood before; runs are counted on from `run`,
    up to the number that is returned last.
    """
    at, num, last = lows.copy(), len(lows), len(symbols) - 1
    room = min((highs - lows).sum(), len(seen))
    tokens, counts, number = np.empty(room, np.int64), np.zeros(room), 0
    while True:
        symbol = -1  # the least that comes next in any segment
        for segment in range(num):
            if at[segment] < highs[segment]:
                here = int(symbols[min(suffixes[at[segment]] + order, last)])
                if symbol < 0 or here < symbol:
                    symbol = here
        if symbol < 0:
            break
        count, run = 0, run + 1
        for segment in range(num):
            while at[segment] < highs[segment]:
                position = suffixes[at[segment]]
                if int(symbols[min(position + order, last)]) != symbol:
                    break
                before = int(symbols[position - 1])
                at[segment] += 1
                if symbol == 0 or (order == 0 and before == 0):
                    continue
                if by_count or before == 0 or seen[before] != run:
                    seen[before] = run
                    count += 1
        if count:
            tokens[number], counts[number] = symbol - 1, count
            number += 1
    return tokens[:number], counts[:number], run


@njit(cache=True, nogil=True)
def mix_above(
    symbols: Integers,
    suffixes: Integers,
    orders: Ints,
    offsets: Ints,
    lows: Ints,
    highs: Ints,
    first: int,
    last: int,
    discounts: npt.NDArray[np.float64],
    gates: npt.NDArray[np.float64],
    nearest: float,
    below: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return the distribution (V,) of the orders before `last`; `below` is of those before `first`.

    What `smoothing.mix` does, for one position, with intervals (S, K + 1) of few occurrences.
    """
    found, seen, run = below.copy(), np.zeros(len(below) + 1, np.int32), 0
    left = (
        1.0  # what `found` is to be multiplied by, in the end: all of it costs too much each time
    )
    for place in range(first, last):
        low, high = lows[:, orders[place]] + offsets, highs[:, orders[place]] + offsets
        room = (high - low).sum()
        if room == 0:
            break
        tokens, counts, run = _followers(
            symbols, suffixes, orders[place], low, high, place == len(orders) - 1, seen, run
        )
        number, total, kinds = len(tokens), counts.sum(), np.zeros(3)
        if number == 0:
            continue
        for count in counts:
            kinds[min(int(count), 3) - 1] += 1
        removed = min((kinds * discounts[place]).sum(), total * (1 - nearest))
        share = min(max(removed / total, nearest), 1 - nearest)
        gate = gates[place]
        logit = np.log(share) - np.log1p(-share)
        logit += gate[0] + gate[1] * np.log(total) + gate[2] * np.log(number)
        logit += gate[3] * (number == 1) + gate[4] * np.log(room)
        logit += gate[5] * kinds[0] / number + gate[6] * (total == 1)
        passed = 1 / (1 + np.exp(-logit))
        left *= passed
        if left < 1e-200:
            found *= left
            left = 1.0
        scale = (1 - passed) / (total - removed) / left
        for at in range(number):
            taken = discounts[place, min(int(counts[at]), 3) - 1]
            found[tokens[at]] += scale * max(counts[at] - taken, 0.0)
    found /= found.sum()
    return found
