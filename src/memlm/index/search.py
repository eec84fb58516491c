"""Many questions to one segment at once, in numpy alone: the plain twins of `kernels`.

All questions are stretches of one array of symbols, so that those that overlap share it. Eight
bytes of symbols are compared as one number, most significant first. Each question holds the range
of suffixes that begin as it does, which narrows by eight bytes a round, for all questions together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memlm.index.segment import KEY_BYTES, KEY_EVERY, Integers, Segment, pack

Places = npt.NDArray[np.int64]
_LONG = 64  # symbols after which a range of one suffix is compared at a stroke
_STRIDE = 64
_NARROW = 256


def find_intervals(
    segment: Segment, symbols: Integers, starts: Places, lengths: Places, *, occurs: bool = False
) -> tuple[Places, Places]:
    """Return the ranges (Q,) of suffixes that begin with `symbols[start : start + length]`.

    Where it is known that each `occurs`, a range of one suffix need not be compared to its end.
    """
    low, high, _ = _descend(segment, symbols, starts, lengths, occurs=occurs)
    return low, high


def longest_starts(segment: Segment, symbols: Integers) -> Places:
    """Return for each place of a text (T,) where the longest suffix of what was read begins.

    It is the start of the longest stretch that ends behind that place and occurs in the segment;
    the place behind it, if that symbol itself does not occur.
    """
    ends = longest_ends(segment, symbols)
    return np.asarray(np.searchsorted(ends, np.arange(1, len(symbols) + 1), side="left"))


def longest_ends(segment: Segment, symbols: Integers) -> Places:
    """Return the end of the longest match from each place of a text (T,).

    They never go back from one place to the next. So the places between two whose matches end
    together are not looked at: long copies cost no more than their length.
    """
    count = len(symbols)
    ends = np.full(count, -1, np.int64)

    def look(places: Places) -> None:
        _, _, depth = _descend(segment, symbols, places, count - places)
        ends[places] = places + depth

    known = np.unique(np.append(np.arange(0, count, _STRIDE), max(count - 1, 0)))[:count]
    look(known)
    while len(known) < count:
        left, right = known[:-1], known[1:]
        is_same = (ends[left] == ends[right]) | (right - left == 1)
        middle = ((left + right) // 2)[~is_same]
        if not len(middle):
            break
        look(middle)
        known = np.sort(np.append(known, middle))
    return np.asarray(ends[known[np.searchsorted(known, np.arange(count), side="left")]])


def successors(
    segment: Segment, low: Places, high: Places, depths: Places
) -> tuple[Places, Integers, Places]:
    """Return what follows the first `depth` symbols of the suffixes of each range (Q,), sparsely.

    That is offsets (Q + 1,), and the symbols and their counts, by ascending symbol, of each range.
    The separator is none of them.
    """
    is_narrow = high - low <= _NARROW
    parts = [
        _successors_by_reading(segment, low, high, depths, np.flatnonzero(is_narrow)),
        _successors_by_search(segment, low, high, depths, np.flatnonzero(~is_narrow)),
    ]
    owners, symbols, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    is_symbol = symbols > 0
    owners, symbols, counts = owners[is_symbol], symbols[is_symbol], counts[is_symbol]
    order = np.lexsort((symbols, owners))
    offsets = np.searchsorted(owners[order], np.arange(len(low) + 1))
    return offsets, symbols[order], counts[order]


def _successors_by_reading(
    segment: Segment, low: Places, high: Places, depths: Places, chosen: Places
) -> tuple[Places, Integers, Places]:
    widths = (high - low)[chosen]
    owners = np.repeat(chosen, widths)
    ranks = np.arange(len(owners)) - np.repeat(np.cumsum(widths) - widths, widths)
    symbols = segment.symbols[segment.suffixes[ranks + low[owners]] + depths[owners]]
    is_first = np.ones(len(owners), bool)
    is_first[1:] = (owners[1:] != owners[:-1]) | (symbols[1:] != symbols[:-1])
    first = np.flatnonzero(is_first)
    return owners[first], symbols[first], np.diff(np.append(first, len(owners)))


def _successors_by_search(
    segment: Segment, low: Places, high: Places, depths: Places, chosen: Places
) -> tuple[Places, Integers, Places]:
    """Jump from each symbol to the next one: few are different where many suffixes are."""
    found: list[tuple[Places, Integers, Places]] = []
    none = np.empty(0, np.int64)
    at = low[chosen]
    while len(chosen):
        symbols = segment.symbols[segment.suffixes[at] + depths[chosen]]
        packed = symbols.astype(np.uint64) << np.uint64(64 - 8 * symbols.dtype.itemsize)
        mask = _mask(np.ones(len(chosen), np.int64), symbols.dtype.itemsize)
        end = _bound(segment, packed, mask, depths[chosen], at, high[chosen], after=True)
        found.append((chosen, symbols, end - at))
        is_open = end < high[chosen]
        at, chosen = end[is_open], chosen[is_open]
    found.append((none, none.astype(segment.symbols.dtype), none))
    owners, all_symbols, counts = (np.concatenate(column) for column in zip(*found, strict=True))
    return owners, all_symbols, counts


def _descend(
    segment: Segment, symbols: Integers, starts: Places, limits: Places, *, occurs: bool = False
) -> tuple[Places, Places, Places]:
    """Match up to `limit` symbols from each start; return ranges and how many symbols matched.

    Where not all matched, the range is that of no suffix.
    """
    width = segment.symbols.dtype.itemsize
    padded = np.append(symbols, symbols.dtype.type(0))
    low = np.zeros(len(starts), np.int64)
    high = np.full(len(starts), segment.positions, np.int64)
    depth = np.zeros(len(starts), np.int64)
    active = np.flatnonzero(limits > 0)
    while len(active):
        taken = np.minimum(limits[active] - depth[active], KEY_BYTES // width)
        mask = _mask(taken, width)
        wanted = pack(padded, starts[active] + depth[active]) & mask
        first, last = _narrowed(segment, wanted, mask, depth[active], low[active], high[active])
        is_found = last > first
        lost = active[~is_found]
        depth[lost] += _common(
            segment, wanted[~is_found], depth[lost], first[~is_found], low[lost], high[lost]
        ).clip(max=taken[~is_found])
        low[active], high[active] = first, last
        active, taken = active[is_found], taken[is_found]
        depth[active] += taken
        active = active[depth[active] < limits[active]]
        if occurs:
            active = active[high[active] - low[active] > 1]
        active = _finish_single(segment, symbols, starts, limits, (low, high, depth), active)
    return low, high, depth


def _finish_single(
    segment: Segment,
    symbols: Integers,
    starts: Places,
    limits: Places,
    state: tuple[Places, Places, Places],
    active: Places,
) -> Places:
    """Compare long matches of which one suffix is left to their end; return who is still active."""
    low, high, depth = state
    is_single = (high[active] - low[active] == 1) & (depth[active] >= _LONG)
    for number in active[is_single].tolist():
        start, limit = int(starts[number]), int(limits[number])
        position, step = int(segment.suffixes[low[number]]), _LONG
        while depth[number] < limit:
            done = int(depth[number])
            mine = symbols[start + done : start + min(done + step, limit)]
            theirs = segment.symbols[position + done : position + done + len(mine)]
            differing = np.flatnonzero(mine[: len(theirs)] != theirs)
            depth[number] += differing[0] if len(differing) else len(theirs)
            if len(differing) or len(theirs) < len(mine):
                high[number] = low[number]
                break
            step *= 2
    return np.asarray(active[~is_single])


def _narrowed(
    segment: Segment,
    wanted: npt.NDArray[np.uint64],
    mask: npt.NDArray[np.uint64],
    depth: Places,
    low: Places,
    high: Places,
) -> tuple[Places, Places]:
    """Return the part of each range whose suffixes have `wanted` behind their first symbols."""
    if segment.keys is None or depth.any():
        first = _bound(segment, wanted, mask, depth, low, high, after=False)
        return first, _bound(segment, wanted, mask, depth, first, high, after=True)
    bounds = []
    for key, is_after in ((wanted, False), (wanted | ~mask, True)):
        number = np.searchsorted(segment.keys, key, side="right" if is_after else "left")
        least = np.maximum((number - 1) * KEY_EVERY + 1, 0)
        most = np.minimum(number * KEY_EVERY, segment.positions)
        bounds.append(_bound(segment, wanted, mask, depth, least, most, after=is_after))
    return bounds[0], bounds[1]


def _bound(
    segment: Segment,
    wanted: npt.NDArray[np.uint64],
    mask: npt.NDArray[np.uint64],
    depth: Places,
    low: Places,
    high: Places,
    *,
    after: bool,
) -> Places:
    """Return the first rank of each range whose symbols are not below `wanted` (`after`: above)."""
    low, high = low.copy(), high.copy()
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        position = segment.suffixes.take(middle, mode="clip")
        found = pack(segment.symbols, position + depth) & mask
        is_below = ((found <= wanted) if after else (found < wanted)) & (low < high)
        low = np.where(is_below, middle + 1, low)
        high = np.where(is_below, high, np.minimum(middle, high))
    return low


def _common(
    segment: Segment,
    wanted: npt.NDArray[np.uint64],
    depth: Places,
    rank: Places,
    low: Places,
    high: Places,
) -> Places:
    """Return how many symbols of `wanted` the suffixes about a rank begin with, in their range."""
    best = np.zeros(len(rank), np.int64)
    bits = 8 * segment.symbols.dtype.itemsize
    for near in (rank - 1, rank):
        is_inside = (near >= low) & (near < high)
        position = segment.suffixes.take(near, mode="clip")
        differing = pack(segment.symbols, position + depth) ^ wanted
        equal = np.zeros(len(rank), np.int64)
        for number in range(1, 64 // bits + 1):
            equal += (differing >> np.uint64(64 - number * bits)) == 0
        best = np.maximum(best, np.where(is_inside, equal, 0))
    return best


def _mask(taken: Places, width: int) -> npt.NDArray[np.uint64]:
    """Return the bits of the first symbols of a number."""
    return np.left_shift(~np.uint64(0), (8 * (KEY_BYTES - taken * width)).astype(np.uint64))
