"""Attention and transformer blocks in numpy, as `attention.py` and `transformer.py` have them.

Keys and values are written once, into room that is laid out ahead (`Past`), and are not moved until
it is full. Keys are kept turned by their position: that counts from the beginning of the text, in
double precision, and only distances matter. The scale of a norm lies in the weights behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

import numpy as np
import numpy.typing as npt

from memlm.models.config import LONGEST_PAST, BlockConfig, Precision
from memlm.models.matrix import Floats, Matrix

NORM_EPSILON = np.float32(1e-6)
_ROTARY_BASE = 10_000.0
_LEAST_ROOM = 64
_AHEAD = 256
"""Positions whose turns are computed together, where tokens come one by one."""


class Past:
    """Room for the keys and values of some texts, (B, heads, D / heads, room) each.

    States that follow each other share it: each knows how far it goes. `used` is as far as the
    longest of them does; where another went on from an earlier one, that moves to room of its own.
    """

    def __init__(self, batch: int, heads: int, head_width: int, room: int) -> None:
        self.keys: Floats = np.zeros((batch, heads, head_width, room), dtype=np.float32)
        self.values: Floats = np.zeros((batch, heads, head_width, room), dtype=np.float32)
        self.used = 0


@dataclass(frozen=True)
class AttentionState:
    """The past of a block: places `first` to `last` of what it shares with other states."""

    past: Past
    first: int
    last: int
    position: int
    """Of the next token, counted from the beginning of the text."""

    def extended(self, count: int) -> AttentionState:
        """Return a state as long as this with room for `count` more, which are its own to write."""
        past = self.past
        if past.used == self.last and self.last + count <= past.keys.shape[3]:
            past.used += count
            return self
        size = self.last - self.first
        batch, heads, head_width, _ = past.keys.shape
        moved = Past(batch, heads, head_width, max(_LEAST_ROOM, 2 * (size + count)))
        moved.keys[..., :size] = past.keys[..., self.first : self.last]
        moved.values[..., :size] = past.values[..., self.first : self.last]
        moved.used = size + count
        return AttentionState(moved, 0, size, self.position)

    def select(self, rows: npt.NDArray[np.int64]) -> AttentionState:
        """Return the past of some texts, in room of its own."""
        size = self.last - self.first
        _, heads, head_width, _ = self.past.keys.shape
        found = Past(len(rows), heads, head_width, max(_LEAST_ROOM, 2 * size))
        found.keys[..., :size] = self.past.keys[rows, ..., self.first : self.last]
        found.values[..., :size] = self.past.values[rows, ..., self.first : self.last]
        found.used = size
        return AttentionState(found, 0, size, self.position)

    def with_more(self, count: int, window: int) -> AttentionState:
        """Return the state once `count` tokens more were written to the room.

        The next query sees itself and window - 1 before it.
        """
        last = self.last + count
        first = max(self.first, last - (window - 1))
        return AttentionState(self.past, first, last, self.position + count)


@dataclass(frozen=True)
class Turn:
    """By how much the pairs of a head are turned at some positions: (T, D / heads / 2) each."""

    cosine: Floats
    sine: Floats

    def __call__(self, values: Floats) -> Floats:
        """Return values (B, T, heads, D / heads) turned."""
        half = values.shape[-1] // 2
        first, second = values[..., :half], values[..., half:]
        cosine, sine = self.cosine[:, None], self.sine[:, None]
        return np.concatenate(
            [first * cosine - second * sine, second * cosine + first * sine], axis=-1
        )


def turns_at(position: int, count: int, head_width: int) -> Turn:
    """Return by how much `count` positions from one on are turned."""
    if count > 1:
        return _turns(position, count, head_width)
    ahead, place = _turns(position // _AHEAD * _AHEAD, _AHEAD, head_width), position % _AHEAD
    return Turn(ahead.cosine[place : place + 1], ahead.sine[place : place + 1])


@lru_cache(maxsize=8)
def _turns(position: int, count: int, head_width: int) -> Turn:
    pairs = np.arange(0, head_width, 2, dtype=np.float32)
    speeds = np.float32(_ROTARY_BASE) ** (-pairs / np.float32(head_width))
    angles = np.arange(position, position + count)[:, None] * speeds.astype(np.float64)
    return Turn(np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32))


class AttentionStep:
    """An attention or a transformer block."""

    def __init__(
        self, block: BlockConfig, weights: Mapping[str, Floats], precision: Precision
    ) -> None:
        """Take the weights by their names within the block."""
        self.heads, self.width = block.heads, block.width
        self.head_width = block.width // block.heads
        self.window = block.window or LONGEST_PAST
        inner = "attend." if block.kind == "transformer" else ""
        attention = f"{inner}attention."
        norm = weights[f"{inner}attention_norm.weight"]
        parts = [weights[f"{attention}{part}.weight"] for part in ("query", "key", "value")]
        self.inward = Matrix(np.concatenate(parts) * norm, precision)  # (3 D, D)
        self.outward = Matrix(weights[f"{attention}output.weight"], precision)
        self.query_scale: Floats = weights[f"{attention}query_norm.weight"] / np.float32(
            self.head_width**0.5
        )
        self.key_scale = weights[f"{attention}key_norm.weight"]
        self.opening: Matrix | None = None
        if block.kind == "transformer":
            norm = weights["feed_forward_norm.weight"]
            both = np.concatenate([weights["gate.weight"], weights["up.weight"]])
            self.opening = Matrix(both * norm, precision)  # (2 F, D)
            self.closing = Matrix(weights["down.weight"], precision)  # (D, F)

    def start(self, batch: int) -> AttentionState:
        """Return an empty past."""
        return AttentionState(Past(batch, self.heads, self.head_width, _LEAST_ROOM), 0, 0, 0)

    def select(self, state: AttentionState, rows: npt.NDArray[np.int64]) -> AttentionState:
        """Return the past of some texts."""
        return state.select(rows)

    def step(
        self,
        stream: Floats,
        state: AttentionState,
        *,
        products: Floats | None = None,
        loops: ModuleType | None = None,
    ) -> tuple[Floats, AttentionState]:
        """Return the stream (B, D) of one token of each text, and the past after it."""
        if loops is None or len(stream) > 1:
            found, after = self.read(stream[:, None], state)
            return found[:, 0], after
        room, turn = state.extended(1), turns_at(state.position, 1, self.head_width)
        found = stream.copy()
        loops.attend_step(
            found[0],
            self.inward.parts,
            self.outward.parts,
            (self.query_scale, self.key_scale, turn.cosine[0], turn.sine[0]),
            (room.past.keys[0], room.past.values[0]),
            max(room.first, room.last + 1 - self.window),
            room.last + 1,
        )
        if self.opening is not None:
            loops.feed_forward_step(found[0], self.opening.parts, self.closing.parts)
        return found, room.with_more(1, self.window)

    def read(
        self, stream: Floats, state: AttentionState, *, products: Floats | None = None
    ) -> tuple[Floats, AttentionState]:
        """Return the stream (B, T, D), and the past after it."""
        batch, seen, _ = stream.shape
        parts = self.inward.product(normed(stream))
        parts = parts.reshape(batch, seen, 3, self.heads, self.head_width)
        turn = turns_at(state.position, seen, self.head_width)
        queries = turn(normed(parts[:, :, 0]) * self.query_scale).swapaxes(1, 2)
        room = state.extended(seen)
        last = room.last + seen
        past, places = room.past, slice(room.first, last)
        past.keys[..., room.last : last] = np.moveaxis(
            turn(normed(parts[:, :, 1]) * self.key_scale), 1, 3
        )
        past.values[..., room.last : last] = np.moveaxis(parts[:, :, 2], 1, 3)
        scores = queries @ past.keys[..., places]  # (B, heads, T, S + T)
        distance = np.arange(room.last, last)[:, None] - np.arange(room.first, last)
        if seen > 1 or last - room.first > self.window:
            scores[..., (distance < 0) | (distance >= self.window)] = -np.inf
        gathered = softmax(scores) @ past.values[..., places].swapaxes(2, 3)  # (B, heads, T, d)
        gathered = gathered.swapaxes(1, 2).reshape(stream.shape)
        stream = self._fed_forward(stream + self.outward.product(gathered))
        return stream, room.with_more(seen, self.window)

    def _fed_forward(self, stream: Floats) -> Floats:
        if self.opening is None:
            return stream
        opened = self.opening.product(normed(stream))
        gate, up = np.split(opened, 2, axis=-1)
        half = gate * np.float32(0.5)
        return stream + self.closing.product((half * np.tanh(half) + half) * up)


def normed(values: Floats) -> Floats:
    """Return values (..., D) at a root mean square of 1."""
    mean = np.square(values).mean(axis=-1, keepdims=True)
    return np.asarray(values / np.sqrt(mean + NORM_EPSILON))


def softmax(scores: Floats) -> Floats:
    """Return what sums to 1 along the last axis, written over the scores."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores
