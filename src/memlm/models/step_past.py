"""What a network without torch carries from token to token: the past of attention, and recurrence.

Keys and values are written once, into room that is laid out ahead (`Past`), and are not moved until
it is full.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memlm.models.matrix import Floats, aligned_zeros

_LEAST_ROOM = 64
_LINE = 16
"""Places in a line of the cache. Rows are an odd number of them long: each begins with one, and
they do not drive each other out, as they would a power of two apart."""


class Past:
    """Room for the keys and values of some texts, of all blocks that attend: (B, D, places) each.

    D is the width of these blocks together. States that follow each other share it: each knows how
    far it goes. Only the last of them, which holds `pen`, may write on; where another goes on, that
    moves to room of its own.
    """

    def __init__(self, batch: int, width: int, room: int) -> None:
        room += -room % (2 * _LINE) + _LINE
        self.keys = aligned_zeros((batch, width, room))
        self.values = aligned_zeros((batch, width, room))
        self.pen = object()


class Attended(NamedTuple):
    """The past of a text: places `first` to `last` of what it shares with other states."""

    past: Past
    first: int
    last: int
    position: int
    """Of the next token, counted from the beginning of the text."""
    pen: object
    """That of `past`, of the state that may write on."""

    def extended(self, count: int) -> Attended:
        """Return a state as long as this with room for `count` more, which are its own to write."""
        past = self.past
        if self.pen is past.pen and self.last + count <= past.keys.shape[2]:
            return self
        size = self.last - self.first
        batch, width, _ = past.keys.shape
        moved = Past(batch, width, max(_LEAST_ROOM, 2 * (size + count)))
        moved.keys[..., :size] = past.keys[..., self.first : self.last]
        moved.values[..., :size] = past.values[..., self.first : self.last]
        return Attended(moved, 0, size, self.position, moved.pen)

    def select(self, rows: npt.NDArray[np.int64]) -> Attended:
        """Return the past of some texts, in room of its own."""
        size = self.last - self.first
        found = Past(len(rows), self.past.keys.shape[1], max(_LEAST_ROOM, 2 * size))
        found.keys[..., :size] = self.past.keys[rows, :, self.first : self.last]
        found.values[..., :size] = self.past.values[rows, :, self.first : self.last]
        return Attended(found, 0, size, self.position, found.pen)

    def with_more(self, count: int, window: int) -> Attended:
        """Return the state once `count` tokens more were written to the room.

        The next query sees itself and window - 1 before it.
        """
        last = self.last + count
        first = max(self.first, last - (window - 1))
        pen = self.past.pen = object()  # whoever comes from the state before writes elsewhere
        return Attended(self.past, first, last, self.position + count, pen)

    def rewound(self, count: int, window: int) -> Attended | None:
        """Return the state without its last tokens, which gets what room they took.

        None where another has that room. What was further back than the window is still there.
        """
        if self.pen is not self.past.pen:
            return None
        last = self.last - count
        first = max(0, last - (window - 1))
        pen = self.past.pen = object()
        return Attended(self.past, first, last, self.position - count, pen)


class Carried(NamedTuple):
    """What all blocks carry on: what is written to while tokens are read, never afterwards."""

    attended: Attended | None
    """None where no block attends."""
    recurrent: Floats
    """Of all LSTM (hidden, cell) and GRU (hidden) blocks one after the other, (B, R)."""

    def select(self, rows: npt.NDArray[np.int64]) -> Carried:
        """Return what some texts carry on."""
        attended = self.attended
        return Carried(attended and attended.select(rows), self.recurrent[rows])


def start(batch: int, attended: int, recurrent: int) -> Carried:
    """Return what is carried before anything was read, of so many units of each sort."""
    past = Past(batch, attended, _LEAST_ROOM)
    return Carried(
        Attended(past, 0, 0, 0, past.pen) if attended else None,
        np.zeros((batch, recurrent), dtype=np.float32),
    )
