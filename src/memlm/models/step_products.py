"""Weights times a few vectors, compiled: on that a network spends its time.

Vectors are taken by fours, so that what was fetched is used more than once, and rows as memory
gives them best (benchmarks/LOG.md). Sums are taken in one order, whatever comes together
(`step_tiles.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import overload, register_jitable

from memlm.models.step_tiles import FLOATS_AT_ONCE, WHOLE_AT_ONCE, make_tile

Floats = npt.NDArray[np.float32]
Number = Any  # Any: numpy's hints let no two of its scalars be compared
"""A number of single precision, or a whole one."""
Numbers = npt.NDArray[Any]  # Any: those of single precision, or whole ones
Weights = npt.NDArray[np.float32 | np.int8]
# Sums may be taken in another order, without which nothing is vectorised; infinities stay.
QUICK = {"reassoc", "contract", "nsz", "arcp"}
STRICT: Any = {"fastmath": False}  # Any: numba takes it in two ways
"""No such leave, which is handed down if nothing is said: what a vector comes to must not depend
on what is beside it."""
_LINE = 64
"""Bytes of a line of the cache."""
_APART = 16
"""Columns between vectors: where they lie a power of two apart, they drive each other out of the
nearest cache."""
_SECOND_CACHE = 2
# Up to four vectors take rows in turn, as a stream from memory. More take four rows at once, in
# which the machine sees no stream: those that come next are asked for, but not into the nearest
# cache, which the vectors fill.
_ONE, _FOUR_BY_ONE = make_tile(1, 1), make_tile(4, 1)
_SIXTEEN = make_tile(16, 1, in_turn=True)
_FOUR_BY_TWO, _FOUR_BY_THREE, _FOUR_BY_FOUR = (
    make_tile(4, vectors, in_turn=True) for vectors in (2, 3, 4)
)
_FOUR_OF_MORE = make_tile(4, 4, fetches_to=_SECOND_CACHE)


def add_products(weights: Weights, scales: Floats, values: Floats, found: Floats) -> None:
    """Add weights (N, M), each row times its scale, times values (T, M) to `found` (T, N)."""
    raise NotImplementedError  # what is compiled in its place depends on the weights' type


@overload(add_products, jit_options=STRICT, inline="never")
def _choose_products(
    weights: Weights, scales: Floats, values: Floats, found: Floats
) -> Callable[..., None]:
    # What numba gives here is types, under the names and hints that the chosen one has.
    return _float_products if weights.dtype == types.float32 else _whole_products


def _float_products(weights: Weights, scales: Floats, values: Floats, found: Floats) -> None:
    count, width = values.shape
    units, sums = np.ones(count, np.float32), np.empty(16, np.float32)
    if count == 1:
        _add_rows(weights, scales, values, units, sums, found)
        return
    spread = aligned(count, width + _APART)
    spread[:, :width] = values
    _add_tiles(weights, scales, spread, units, sums, found)


def _whole_products(weights: Weights, scales: Floats, values: Floats, found: Floats) -> None:
    """As whole numbers: values in the largest 16 bits whose sum of products fits 32."""
    count, width = values.shape
    largest = np.float32(min(32767, (2**31 - 1) // (127 * width)))
    steps, units = np.empty((count, width + 2 * _APART), np.int16), np.empty(count, np.float32)
    sums = np.empty(16, np.int32)
    for at in range(count):
        most = np.float32(0)
        for value in values[at]:
            most = max(most, abs(value))
        units[at] = most / largest if most > 0 else np.float32(1)
        for column in range(width):
            steps[at, column] = np.int16(np.rint(values[at, column] / units[at]))
    if count == 1:
        _add_rows(weights, scales, steps, units, sums, found)
    else:
        _add_tiles(weights, scales, steps, units, sums, found)


@register_jitable(**STRICT)
def _add_rows(
    weights: Weights, scales: Floats, values: Numbers, units: Floats, sums: Numbers, found: Floats
) -> None:
    sixteens = len(weights) - len(weights) % 16
    for row in range(0, sixteens, 16):
        _SIXTEEN(weights, row, values, 0, sums)
        _add_rest(weights, (row, 16), values, (0, 1), sums)
        for place in range(16):
            found[0, row + place] += np.float32(sums[place]) * (scales[row + place] * units[0])
    for row in range(sixteens, len(weights)):
        _ONE(weights, row, values, 0, sums)
        _add_rest(weights, (row, 1), values, (0, 1), sums)
        found[0, row] += np.float32(sums[0]) * (scales[row] * units[0])


@register_jitable(**STRICT)
def _add_tiles(
    weights: Weights, scales: Floats, values: Numbers, units: Floats, sums: Numbers, found: Floats
) -> None:
    count, fours = len(units), len(weights) - len(weights) % 4
    for row in range(0, fours, 4):
        at = 0
        while at < count:
            vectors = min(4, count - at)
            _sum_four(weights, row, values, (at, vectors), sums)
            _add_rest(weights, (row, 4), values, (at, vectors), sums)
            for vector in range(vectors):
                for place in range(4):
                    scale = scales[row + place] * units[at + vector]
                    found[at + vector, row + place] += np.float32(sums[4 * vector + place]) * scale
            at += vectors
    for row in range(fours, len(weights)):
        for at in range(count):
            _ONE(weights, row, values, at, sums)
            _add_rest(weights, (row, 1), values, (at, 1), sums)
            found[at, row] += np.float32(sums[0]) * (scales[row] * units[at])


@register_jitable(**STRICT)
def _sum_four(
    weights: Weights, row: int, values: Numbers, vectors: tuple[int, int], sums: Numbers
) -> None:
    """Write the sums of four rows with one to four vectors."""
    at, count = vectors
    if count == 1:
        _FOUR_BY_ONE(weights, row, values, at, sums)
    elif count == 2:
        _FOUR_BY_TWO(weights, row, values, at, sums)
    elif count == 3:
        _FOUR_BY_THREE(weights, row, values, at, sums)
    elif len(values) == 4:
        _FOUR_BY_FOUR(weights, row, values, at, sums)
    else:
        _FOUR_OF_MORE(weights, row, values, at, sums)


@register_jitable(**STRICT)
def _add_rest(
    weights: Weights,
    rows: tuple[int, int],
    values: Numbers,
    vectors: tuple[int, int],
    sums: Numbers,
) -> None:
    """Add the products of those columns that tiles leave out."""
    width = weights.shape[1]
    rest = width % (FLOATS_AT_ONCE if weights.itemsize == 4 else WHOLE_AT_ONCE)
    if rest == 0:
        return
    for vector in range(vectors[1]):
        for place in range(rows[1]):
            row, other = weights[rows[0] + place], values[vectors[0] + vector]
            for column in range(width - rest, width):
                sums[vector * rows[1] + place] += other[column] * row[column]


@register_jitable(**STRICT)
def aligned(rows: int, columns: int) -> Floats:
    """Return zeros that begin where a line of the cache does, of which wide reads take one each."""
    room = np.zeros(rows * columns + _LINE // 4, np.float32)
    begin = -room.ctypes.data % _LINE // 4
    return room[begin : begin + rows * columns].reshape(rows, columns)
