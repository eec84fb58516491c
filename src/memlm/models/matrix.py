"""Weights that are multiplied by one vector at a time: as they are, or as whole numbers of a byte.

A single step reads every weight once and does little with it, so its time is that of fetching
them. In a byte each they come in a quarter of it: weight = whole number times a scale of its row.
"""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from memlm.models.config import Precision

Floats = npt.NDArray[np.float32]
Stored = npt.NDArray[np.float32 | np.int8]
_LARGEST = 127
_LINE = 64
"""Bytes of a line of the cache."""


class Matrix:
    """Weights (N, M)."""

    def __init__(self, values: Floats, precision: Precision = "float32") -> None:
        values = np.ascontiguousarray(values, dtype=np.float32)
        self.exact: Floats = values
        """The weights as numbers; of whole numbers what they stand for."""
        self.stored: Stored = values
        """What a single step reads."""
        self.scales: Floats = np.ones(len(values), dtype=np.float32)
        """(N,)"""
        if precision == "int8":
            largest = np.abs(values).max(axis=1, initial=0.0)
            self.scales = np.where(largest > 0, largest / _LARGEST, 1.0).astype(np.float32)
            whole = np.rint(values / self.scales[:, None])
            self.stored = whole.astype(np.int8)
            self.exact = whole.astype(np.float32) * self.scales[:, None]

    def __len__(self) -> int:
        return len(self.stored)

    def move(self, copied: Stored) -> None:
        """Let what is stored lie where it was copied to, (N M,)."""
        is_exact = self.exact is self.stored
        self.stored = copied.reshape(self.stored.shape)
        if is_exact:
            self.exact = self.stored.astype(np.float32, copy=False)

    def product(self, vectors: Floats) -> Floats:
        """Return the weights times each vector, (..., N) for (..., M)."""
        if vectors.size == vectors.shape[-1]:  # one vector
            found: Floats = np.dot(self.exact, vectors.reshape(-1))
        else:
            found = vectors.reshape(-1, vectors.shape[-1]) @ self.exact.T
        return found.reshape(*vectors.shape[:-1], len(self))


def aligned(values: Stored) -> Stored:
    """Return a copy that begins where a line of the cache does: a wide read takes one of them."""
    found: Stored = _room(values.nbytes).view(values.dtype).reshape(values.shape)
    found[...] = values
    return found


def aligned_zeros(shape: tuple[int, ...]) -> Floats:
    """Return zeros that begin where a line of the cache does; memory is only promised."""
    return _room(4 * prod(shape)).view(np.float32).reshape(shape)


def _room(size: int) -> npt.NDArray[np.uint8]:
    room = np.zeros(size + _LINE, dtype=np.uint8)
    begin = -room.ctypes.data % _LINE
    return room[begin : begin + size]
