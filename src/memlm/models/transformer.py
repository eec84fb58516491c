"""A transformer block as in Qwen3: attention, then a gated feed-forward layer, both pre-normed.

x = x + attention(norm(x))
x = x + Wd (silu(Wg norm(x)) * Wu norm(x))              (SwiGLU, Shazeer 2020)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memlm.models.attention import AttentionBlock, BlockState, Norm
from memlm.models.config import BlockConfig, NetworkConfig
from memlm.models.dropout import LockedDropout


class TransformerBlock(nn.Module):
    """Attention and a feed-forward layer, each added to the stream."""

    def __init__(self, block: BlockConfig, config: NetworkConfig) -> None:
        super().__init__()
        self.dropout = LockedDropout(config.dropout)
        self.attend = AttentionBlock(block, config)
        self.feed_forward_norm = Norm(block.width)
        self.gate = nn.Linear(block.width, block.feed_forward_width, bias=False)
        self.up = nn.Linear(block.width, block.feed_forward_width, bias=False)
        self.down = nn.Linear(block.feed_forward_width, block.width, bias=False)
        # What adds to the stream begins by adding nothing.
        nn.init.zeros_(self.down.weight)

    def start(self, batch: int, device: torch.device) -> BlockState:
        """Return an empty past."""
        return self.attend.start(batch, device)

    def forward(self, stream: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        """Return the stream (B, T, D) with what the block adds, and the past after it."""
        stream, after = self.attend(stream, state)
        normed = self.feed_forward_norm(stream)
        added = self.down(F.silu(self.gate(normed)) * self.up(normed))
        return stream + self.dropout(added), after

    def attention_weights(self, stream: Tensor, state: BlockState) -> Tensor:
        """Return the weights over positions (B, heads, T, S + T)."""
        return self.attend.attention_weights(stream, state)

    def carried(self, state: BlockState) -> BlockState:
        """Return what a training carries into the next stretch."""
        return self.attend.carried(state)
