"""Attention and transformer blocks in numpy, as `attention.py` and `transformer.py` have them.

Keys are kept turned by their position: that counts from the beginning of the text, in
double precision, and only distances matter. The scale of a norm lies in the weights behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from memlm.models.config import LONGEST_PAST, BlockConfig, Precision
from memlm.models.matrix import Floats, Matrix
from memlm.models.step_past import Carried

NORM_EPSILON = np.float32(1e-6)
_ROTARY_BASE = 10_000.0
_AHEAD = 256
"""Positions whose turns are computed together, where a few tokens come at a time."""


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
    place = position % _AHEAD
    if place + count > _AHEAD:
        return _turns(position, count, head_width)
    ahead = _turns(position - place, _AHEAD, head_width)
    return Turn(ahead.cosine[place : place + count], ahead.sine[place : place + count])


@lru_cache(maxsize=8)
def _turns(position: int, count: int, head_width: int) -> Turn:
    pairs = np.arange(0, head_width, 2, dtype=np.float32)
    speeds = np.float32(_ROTARY_BASE) ** (-pairs / np.float32(head_width))
    angles = np.arange(position, position + count)[:, None] * speeds.astype(np.float64)
    return Turn(np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32))


class AttentionStep:
    """An attention or a transformer block."""

    def __init__(
        self, block: BlockConfig, weights: Mapping[str, Floats], precision: Precision, *, place: int
    ) -> None:
        """Take the weights by their names within the block; `place`: its first row of the past."""
        self.heads, self.width, self.place = block.heads, block.width, place
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
        self.matrices = [self.inward, self.outward]
        self.vectors = [self.query_scale, self.key_scale]
        self.feed_forward_width = 0
        if block.kind == "transformer":
            norm = weights["feed_forward_norm.weight"]
            both = np.concatenate([weights["gate.weight"], weights["up.weight"]])
            self.opening = Matrix(both * norm, precision)  # (2 F, D)
            self.closing = Matrix(weights["down.weight"], precision)  # (D, F)
            self.matrices += [self.opening, self.closing]
            self.feed_forward_width = block.feed_forward_width

    def read(self, stream: Floats, carried: Carried, *, products: Floats | None = None) -> Floats:
        """Return the stream (B, T, D) of some tokens, whose keys and values are written down."""
        batch, seen, _ = stream.shape
        room = carried.attended
        assert room is not None, "blocks that attend have a past"
        parts = self.inward.product(normed(stream))
        parts = parts.reshape(batch, seen, 3, self.heads, self.head_width)
        turn = turns_at(room.position, seen, self.head_width)
        queries = turn(normed(parts[:, :, 0]) * self.query_scale).swapaxes(1, 2)
        first, last = max(room.first, room.last + 1 - self.window), room.last + seen
        keys, values = self._own(room.past.keys), self._own(room.past.values)
        keys[..., room.last : last] = np.moveaxis(
            turn(normed(parts[:, :, 1]) * self.key_scale), 1, 3
        )
        values[..., room.last : last] = np.moveaxis(parts[:, :, 2], 1, 3)
        scores = queries @ keys[..., first:last]  # (B, heads, T, S + T)
        distance = np.arange(room.last, last)[:, None] - np.arange(first, last)
        if seen > 1:
            scores[..., (distance < 0) | (distance >= self.window)] = -np.inf
        gathered = softmax(scores) @ values[..., first:last].swapaxes(2, 3)  # (B, heads, T, d)
        gathered = gathered.swapaxes(1, 2).reshape(stream.shape)
        return self._fed_forward(stream + self.outward.product(gathered))

    def _own(self, past: Floats) -> Floats:
        """Return this block's part of a past, (B, heads, D / heads, room)."""
        own = past[:, self.place : self.place + self.width]
        return own.reshape(len(own), self.heads, self.head_width, -1)

    def _fed_forward(self, stream: Floats) -> Floats:
        if not self.feed_forward_width:
            return stream
        opened = self.opening.product(normed(stream))
        gate, up = np.split(opened, 2, axis=-1)
        half = gate * np.float32(0.5)
        return stream + self.closing.product((half * np.tanh(half) + half) * up)


def normed(values: Floats) -> Floats:
    """Return values (..., D) at a root mean square of 1."""
    # Of one vector numpy's own mean takes many times as long.
    total = np.einsum("...d,...d->...", values, values)[..., None]
    mean = total / np.float32(values.shape[-1])
    return np.asarray(values / np.sqrt(mean + NORM_EPSILON))


def softmax(scores: Floats) -> Floats:
    """Return what sums to 1 along the last axis, written over the scores."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores
