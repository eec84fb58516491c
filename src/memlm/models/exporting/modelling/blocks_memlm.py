"""The blocks of a network that memlm trained: LSTM, GRU, attention, transformer.

Rows may be of different lengths: their real tokens stand first, and `Rows` says how many they are.
States are batch first. Names of weights are those of memlm, whose files these modules load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

_NORM_EPSILON = 1e-6
_ROTARY_BASE = 10_000.0
State = tuple[Tensor, ...]


@dataclass(frozen=True)
class Rows:
    """How long the rows of a batch are, and where their tokens stand in their texts."""

    lengths: Tensor | None
    """Real tokens of each row, (B,); None: every column is real."""
    positions: Tensor
    """Place of each token in its text, (B, T); -1 where there is none."""
    after: Tensor
    """Place of the token that will come next, (B,)."""


class RecurrentBlock(nn.Module):
    """One LSTM or GRU layer."""

    def __init__(self, block: dict[str, Any], input_width: int) -> None:  # Any: JSON values
        super().__init__()
        self.width, self.is_residual = block["width"], block["is_residual"]
        self.is_lstm = block["kind"] == "lstm"
        layer = nn.LSTM if self.is_lstm else nn.GRU
        self.layer = layer(input_width, self.width, batch_first=True)

    def start(self, batch: int, *, device: Any, dtype: Any) -> State:  # Any: as torch names them
        """Return the zero state, (B, H) once (GRU) or twice (LSTM)."""
        empty = torch.zeros((batch, self.width), device=device, dtype=dtype)
        return (empty, empty) if self.is_lstm else (empty,)

    def forward(self, inputs: Tensor, state: State, rows: Rows) -> tuple[Tensor, State]:
        """Return the outputs (B, T, H) for inputs (B, T, I), and the state after the real ones."""
        before = tuple(part[None] for part in state)
        given = before if self.is_lstm else before[0]
        if rows.lengths is None:
            outputs, last = self.layer(inputs, given)
        else:
            # A row without tokens is read as one of one, and its state put back below.
            lengths = rows.lengths.clamp(min=1).cpu()
            packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
            outputs, last = self.layer(packed, given)
            outputs, _ = pad_packed_sequence(
                outputs, batch_first=True, total_length=inputs.shape[1]
            )
        after = tuple(part[0] for part in (last if self.is_lstm else (last,)))
        if rows.lengths is not None:
            has_read = rows.lengths[:, None] > 0
            after = tuple(torch.where(has_read, now, old) for now, old in zip(after, state))
        return (inputs + outputs if self.is_residual else outputs), after


class Norm(nn.RMSNorm):
    """Root mean square norm, in float32 whatever the precision around."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=_NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., D) at a root mean square of 1, times the learned scale."""
        scale = x.float().pow(2).mean(dim=-1, keepdim=True).add(_NORM_EPSILON).rsqrt()
        return (x.float() * scale).to(x.dtype) * self.weight


class CausalAttention(nn.Module):
    """Attention of every position over itself and at most `window` - 1 before it."""

    def __init__(self, block: dict[str, Any], longest_past: int) -> None:  # Any: JSON values
        super().__init__()
        width, self.heads = block["width"], block["heads"]
        self.window = block["window"] or longest_past
        self.head_width = width // self.heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.query_norm = Norm(self.head_width)
        self.key_norm = Norm(self.head_width)

    def start(self, batch: int, *, device: Any, dtype: Any) -> State:  # Any: as torch names them
        """Return an empty past: keys and values (B, h, 0, d), and their places (B, 0)."""
        empty = torch.zeros((batch, self.heads, 0, self.head_width), device=device, dtype=dtype)
        return empty, empty, torch.zeros((batch, 0), dtype=torch.long, device=device)

    def forward(self, inputs: Tensor, state: State, rows: Rows) -> tuple[Tensor, State]:
        """Return what attention gathers for inputs (B, T, D), and the past after them."""
        queries = self.query_norm(self._split(self.query(inputs)))
        keys = torch.cat([state[0], self.key_norm(self._split(self.key(inputs)))], dim=2)
        values = torch.cat([state[1], self._split(self.value(inputs))], dim=2)
        places = torch.cat([state[2], rows.positions], dim=1)  # (B, S + T)
        # Only distances matter: angles are counted from the oldest key, so that they stay small.
        oldest = places.masked_fill(places < 0, torch.iinfo(torch.int32).max).amin(1, keepdim=True)
        gathered = F.scaled_dot_product_attention(
            _turn(queries, rows.positions - oldest),
            _turn(keys, places - oldest),
            values,
            attn_mask=self._visible(rows.positions, places)[:, None],
        )  # (B, h, T, d)
        return self.output(gathered.transpose(1, 2).flatten(2)), self._kept(
            keys, values, places, rows.after
        )

    def _split(self, values: Tensor) -> Tensor:
        batch, seen, _ = values.shape
        return values.view(batch, seen, self.heads, self.head_width).transpose(1, 2)

    def _visible(self, positions: Tensor, places: Tensor) -> Tensor:
        """Return for each query (T) and key (S + T) whether the one sees the other."""
        distance = positions[:, :, None] - places[:, None, :]
        is_seen = (places[:, None, :] >= 0) & (distance >= 0) & (distance < self.window)
        return is_seen | (positions < 0)[:, :, None]  # nobody reads what padding has gathered

    def _kept(self, keys: Tensor, values: Tensor, places: Tensor, after: Tensor) -> State:
        first = 0
        if places.shape[1] >= self.window:
            is_needed = (places >= 0) & (places > after[:, None] - self.window)
            columns = is_needed.any(dim=0)
            first = int(columns.int().argmax()) if columns.any() else places.shape[1]
        return keys[:, :, first:], values[:, :, first:], places[:, first:]


class AttentionBlock(nn.Module):
    """Attention alone, added to the stream."""

    def __init__(self, block: dict[str, Any], longest_past: int) -> None:  # Any: JSON values
        super().__init__()
        self.attention_norm = Norm(block["width"])
        self.attention = CausalAttention(block, longest_past)

    def start(self, batch: int, **kind: Any) -> State:  # Any: device and dtype
        """Return an empty past."""
        return self.attention.start(batch, **kind)

    def forward(self, stream: Tensor, state: State, rows: Rows) -> tuple[Tensor, State]:
        """Return the stream (B, T, D) with what attention adds, and the past after it."""
        gathered, after = self.attention(self.attention_norm(stream), state, rows)
        return stream + gathered, after


class TransformerBlock(nn.Module):
    """Attention and a gated feed-forward layer, each added to the stream."""

    def __init__(self, block: dict[str, Any], longest_past: int) -> None:  # Any: JSON values
        super().__init__()
        width = block["width"]
        inner = -(-8 * width // 3 // 16) * 16
        self.attend = AttentionBlock(block, longest_past)
        self.feed_forward_norm = Norm(width)
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def start(self, batch: int, **kind: Any) -> State:  # Any: device and dtype
        """Return an empty past."""
        return self.attend.start(batch, **kind)

    def forward(self, stream: Tensor, state: State, rows: Rows) -> tuple[Tensor, State]:
        """Return the stream (B, T, D) with what the block adds, and the past after it."""
        stream, after = self.attend(stream, state, rows)
        normed = self.feed_forward_norm(stream)
        return stream + self.down(F.silu(self.gate(normed)) * self.up(normed)), after


def make_block(block: dict[str, Any], input_width: int, longest_past: int) -> nn.Module:
    """Return the block that a description of memlm's describes."""
    if block["kind"] == "attention":
        return AttentionBlock(block, longest_past)
    if block["kind"] == "transformer":
        return TransformerBlock(block, longest_past)
    return RecurrentBlock(block, input_width)


def _turn(values: Tensor, positions: Tensor) -> Tensor:
    """Turn each pair (i, i + half) of values (B, h, T, d) by the angle of its position (B, T)."""
    width = values.shape[-1]
    pairs = torch.arange(0, width, 2, device=values.device, dtype=torch.float32)
    angles = positions[:, None, :, None].float() * _ROTARY_BASE ** (-pairs / width)
    cosine, sine = angles.cos().to(values.dtype), angles.sin().to(values.dtype)
    first, second = values.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
