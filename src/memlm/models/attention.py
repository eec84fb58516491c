"""Attention over the own past (Bahdanau et al. 2015; Vaswani et al. 2017).

    q, k, v = heads of norm(x) Wq, Wk, Wv      q, k normed, and turned by their position (rotary)
    y_t     = x_t + Wo sum over s of softmax(q_t . k_s / sqrt(d)) v_s       t - window < s <= t

Queries and keys are normed as in Qwen3 (Henry et al. 2020 first did), positions are rotary (Su et
al. 2021). What is carried on is bounded by the window: the last keys and values, not yet turned, so
that only distances matter and a text of any length can be read. A training carries them as any
other reading does, without their gradient: what is seen later was learned from. A `window` of 0
sees all of the past up to `LONGEST_PAST` positions: every text as long as that in full.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memlm.models.config import LONGEST_PAST, BlockConfig, NetworkConfig
from memlm.models.dropout import LockedDropout

BlockState = tuple[Tensor, ...]
"""Keys and values so far, (2, B, heads, S, D / heads)."""

_NORM_EPSILON = 1e-6
ROTARY_BASE = 10_000.0


class Norm(nn.RMSNorm):
    """Root mean square norm (Zhang and Sennrich 2019), in float32 whatever the precision around."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=_NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (..., D) at a root mean square of 1, times the learned scale."""
        return super().forward(x.float())


class CausalAttention(nn.Module):
    """Multi-head attention of every position over itself and those before it."""

    def __init__(self, block: BlockConfig) -> None:
        super().__init__()
        width, self.heads = block.width, block.heads
        self.window = block.window or LONGEST_PAST
        self.head_width = width // block.heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.query_norm = Norm(self.head_width)
        self.key_norm = Norm(self.head_width)
        self.absent: Tensor | None = None
        """How many of the oldest positions are room that nothing lies in yet, see `recorded.py`."""
        # What adds to the stream begins by adding nothing.
        nn.init.zeros_(self.output.weight)

    def start(self, batch: int, device: torch.device) -> BlockState:
        """Return an empty past."""
        return (torch.zeros((2, batch, self.heads, 0, self.head_width), device=device),)

    def forward(self, inputs: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        """Return what attention gathers for inputs (B, T, D), and the past after them."""
        queries, keys, values = self._project(inputs, state)
        positions, seen = keys.shape[2], inputs.shape[1]
        is_plain = positions == seen <= self.window and self.absent is None
        gathered = F.scaled_dot_product_attention(
            *self._turned(queries, keys),
            values,
            attn_mask=None if is_plain else self._visible(seen, positions, inputs.device),
            is_causal=is_plain,
        )  # (B, heads, T, D / heads)
        return self.output(gathered.transpose(1, 2).flatten(2)), self._kept(keys, values)

    def weights(self, inputs: Tensor, state: BlockState) -> Tensor:
        """Return the attention weights (B, heads, T, S + T); each row sums to 1."""
        queries, keys, _ = self._project(inputs, state)
        queries, turned = self._turned(queries, keys)
        scores = queries @ turned.mT / self.head_width**0.5
        visible = self._visible(inputs.shape[1], keys.shape[2], inputs.device)
        return scores.masked_fill(~visible, -torch.inf).softmax(dim=-1)

    def carried(self, state: BlockState) -> BlockState:
        """Return what a training carries into the next stretch: the past, without its gradient."""
        return tuple(part.detach() for part in state)

    def _project(self, inputs: Tensor, state: BlockState) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries (B, heads, T, d), and keys and values (B, heads, S + T, d)."""
        queries = self.query_norm(self._split(self.query(inputs)))
        keys = self.key_norm(self._split(self.key(inputs)))
        values = self._split(self.value(inputs))
        past_keys, past_values = state[0]
        return queries, torch.cat([past_keys, keys], 2), torch.cat([past_values, values], 2)

    def _split(self, values: Tensor) -> Tensor:
        batch, seen, _ = values.shape
        return values.view(batch, seen, self.heads, self.head_width).transpose(1, 2)

    def _turned(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Turn queries and keys by their positions, counted from the oldest key."""
        angles = rotary_angles(keys.shape[2], self.head_width, device=keys.device)
        return turn(queries, angles[-queries.shape[2] :]), turn(keys, angles)

    def _visible(self, seen: int, positions: int, device: torch.device) -> Tensor:
        """Return for each query (T) and key (S + T) whether the one sees the other."""
        places = torch.arange(positions, device=device)
        distance = places[-seen:, None] - places[None, :]
        visible = (distance >= 0) & (distance < self.window)
        return visible if self.absent is None else visible & (places >= self.absent)

    def _kept(self, keys: Tensor, values: Tensor) -> BlockState:
        # The next query sees itself and window - 1 before it.
        first = max(0, keys.shape[2] - (self.window - 1))
        return (torch.stack([keys[:, :, first:], values[:, :, first:]]),)


class AttentionBlock(nn.Module):
    """Attention alone, added to the stream."""

    def __init__(self, block: BlockConfig, config: NetworkConfig) -> None:
        super().__init__()
        self.dropout = LockedDropout(config.dropout)
        self.attention_norm = Norm(block.width)
        self.attention = CausalAttention(block)

    def start(self, batch: int, device: torch.device) -> BlockState:
        """Return an empty past."""
        return self.attention.start(batch, device)

    def forward(self, stream: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        """Return the stream (B, T, D) with what attention adds, and the past after it."""
        gathered, after = self.attention(self.attention_norm(stream), state)
        return stream + self.dropout(gathered), after

    def attention_weights(self, stream: Tensor, state: BlockState) -> Tensor:
        """Return the weights over positions (B, heads, T, S + T)."""
        return self.attention.weights(self.attention_norm(stream), state)

    def carried(self, state: BlockState) -> BlockState:
        """Return what a training carries into the next stretch."""
        return self.attention.carried(state)


def rotary_angles(positions: int, head_width: int, *, device: torch.device) -> Tensor:
    """Return the angle of each pair of dimensions at each position, (positions, head width / 2)."""
    pairs = torch.arange(0, head_width, 2, device=device, dtype=torch.float32)
    speeds = ROTARY_BASE ** (-pairs / head_width)
    return torch.arange(positions, device=device, dtype=torch.float32)[:, None] * speeds


def turn(values: Tensor, angles: Tensor) -> Tensor:
    """Turn each pair (i, i + half) of the last dimension by its angle."""
    first, second = values.chunk(2, dim=-1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
