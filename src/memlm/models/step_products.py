"""Weights times a few vectors, compiled: on that a network spends its time.

Each row of the weights is fetched once for all vectors, and used for four of them at a time
(benchmarks/LOG.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import overload, register_jitable

Floats = npt.NDArray[np.float32]
Number = Any  # Any: numpy's hints let no two of its scalars be compared
"""A number of single precision, or a whole one."""
Weights = npt.NDArray[np.float32 | np.int8]
# Sums may be taken in another order, without which nothing is vectorised; infinities stay.
QUICK = {"reassoc", "contract", "nsz", "arcp"}
_LINE = 64
"""Bytes of a line of the cache."""
_APART = 16
"""Columns between vectors: where they lie a power of two apart, they drive each other out of the
nearest cache."""


def add_products(weights: Weights, scales: Floats, values: Floats, found: Floats) -> None:
    """Add weights (N, M) times values (T, M) to `found` (T, N)."""
    raise NotImplementedError  # what is compiled in its place depends on the weights' type


@overload(add_products, jit_options={"fastmath": QUICK}, inline="never")
def _choose_products(
    weights: Weights, scales: Floats, values: Floats, found: Floats
) -> Callable[..., None]:
    # What numba gives here is types, under the names and hints that the chosen one has.
    return _float_products if weights.dtype == types.float32 else _whole_products


def _float_products(weights: Weights, scales: Floats, values: Floats, found: Floats) -> None:
    count, width = values.shape
    if count == 1:
        for row in range(len(weights)):
            found[0, row] += _product(weights[row], values[0])
        return
    spread = aligned(count, width + _APART)
    spread[:, :width] = values
    for number in range(len(weights)):
        row, at = weights[number], 0
        while at + 4 <= count:  # not a function of its own: it would take twice as long
            one, two, three, four = spread[at], spread[at + 1], spread[at + 2], spread[at + 3]
            a = b = c = d = np.float32(0)
            for column in range(width):
                weight = row[column]
                a += weight * one[column]
                b += weight * two[column]
                c += weight * three[column]
                d += weight * four[column]
            found[at, number] += a
            found[at + 1, number] += b
            found[at + 2, number] += c
            found[at + 3, number] += d
            at += 4
        while at < count:
            found[at, number] += _product(row, spread[at])
            at += 1


@register_jitable
def aligned(rows: int, columns: int) -> Floats:
    """Return zeros that begin where a line of the cache does, of which wide reads take one each."""
    room = np.zeros(rows * columns + _LINE // 4, np.float32)
    begin = -room.ctypes.data % _LINE // 4
    return room[begin : begin + rows * columns].reshape(rows, columns)


@register_jitable(fastmath=QUICK)
def _product(row: Weights, values: Floats) -> Number:
    total = np.float32(0)
    for column in range(len(row)):
        total += row[column] * values[column]
    return total


def _whole_products(weights: Weights, scales: Floats, values: Floats, found: Floats) -> None:
    """As whole numbers: values in the largest 16 bits whose sum of products fits 32."""
    count, width = values.shape
    largest = np.float32(min(32767, (2**31 - 1) // (127 * width)))
    steps, units = np.empty((count, width), np.int16), np.empty(count, np.float32)
    for at in range(count):
        most = np.float32(0)
        for value in values[at]:
            most = max(most, abs(value))
        units[at] = most / largest if most > 0 else np.float32(1)
        for column in range(width):
            steps[at, column] = np.int16(np.rint(values[at, column] / units[at]))
    for row in range(len(weights)):
        for at in range(count):
            found[at, row] += _whole_product(weights[row], steps[at]) * (scales[row] * units[at])


@register_jitable(fastmath=QUICK)
def _whole_product(row: npt.NDArray[np.int8], steps: npt.NDArray[np.int16]) -> Number:
    total = np.int32(0)
    for column in range(len(steps)):
        total += np.int32(row[column]) * np.int32(steps[column])
    # numba adds in 64 bits; that 32 are wanted lets the sum be done in them.
    return np.float32(np.int32(total))
