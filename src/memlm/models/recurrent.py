"""LSTM and GRU blocks (Hochreiter and Schmidhuber 1997; Cho et al. 2014).

    inputs (B, T, I) -> one recurrent layer -> outputs (B, T, H)

PyTorch's own layers: forward and backward run at four fifths of what the processor can do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memlm.models.config import BlockConfig, NetworkConfig
from memlm.models.dropout import LockedDropout

BlockState = tuple[Tensor, ...]
"""What a block carries on, batch in dimension 1: here (1, B, H), once (GRU) or twice (LSTM)."""


class RecurrentBlock(nn.Module):
    """One LSTM or GRU layer, its hidden-to-hidden weights dropped while training if so wished.

    One mask of the weights holds for a whole stretch (Merity et al. 2018, AWD-LSTM): a recurrent
    network is regularised where it repeats itself, without a mask for every position.
    """

    def __init__(self, block: BlockConfig, input_width: int, config: NetworkConfig) -> None:
        super().__init__()
        self.block, self.weight_dropout = block, config.weight_dropout
        self.dropout = LockedDropout(config.dropout)
        layer = {"lstm": nn.LSTM, "gru": nn.GRU}[block.kind]
        self.layer = layer(input_width, block.width, batch_first=True)

    def start(self, batch: int, device: torch.device) -> BlockState:
        """Return the zero state."""
        parts = 2 if self.block.kind == "lstm" else 1
        return tuple(torch.zeros((1, batch, self.block.width), device=device) for _ in range(parts))

    def forward(self, inputs: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        """Return the outputs (B, T, H) for inputs (B, T, I), and the state after them."""
        is_lstm = self.block.kind == "lstm"
        with arithmetic_of(self.block.kind, inputs.device) as is_float32:
            if is_float32:
                inputs = inputs.float()
            if self.training and self.weight_dropout:
                outputs, *after = self._forward_with_dropped_weights(inputs, state)
            else:
                outputs, last = self.layer(inputs, state if is_lstm else state[0])
                after = list(last) if is_lstm else [last]
        outputs = self.dropout(outputs)
        return (inputs + outputs if self.block.is_residual else outputs), tuple(after)

    def carried(self, state: BlockState) -> BlockState:
        """Return what a training carries into the next stretch: the state, without its gradient."""
        return tuple(part.detach() for part in state)

    def _forward_with_dropped_weights(
        self, inputs: Tensor, state: BlockState
    ) -> tuple[Tensor, ...]:
        layer = self.layer
        dropped = F.dropout(layer.weight_hh_l0, self.weight_dropout)
        weights = [layer.weight_ih_l0, dropped, layer.bias_ih_l0, layer.bias_hh_l0]
        how = (True, 1, 0.0, True, False, True)  # biases, layers, dropout, train, one way, B first
        if self.block.kind == "lstm":
            return torch.lstm(inputs, state, weights, *how)
        return torch.gru(inputs, state[0], weights, *how)


@contextmanager
def arithmetic_of(kind: str, device: torch.device) -> Iterator[bool]:
    """Compute in float32 inside the block, and say so, where bf16 is wished and cannot be had.

    Some processors have no LSTM in bf16: on these too such a network is trained, or goes on.
    """
    is_wished = device.type == "cpu" and torch.is_autocast_enabled("cpu")
    is_float32 = is_wished and kind == "lstm" and not _lstm_has_bf16()
    with torch.autocast("cpu", enabled=False) if is_float32 else nullcontext():
        yield is_float32


@cache
def _lstm_has_bf16() -> bool:
    """Say whether this processor has an LSTM in bf16; some say so only when they are asked."""
    with torch.random.fork_rng(devices=[]):
        layer = nn.LSTM(1, 1)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(torch.zeros(1, 1, 1))
    except RuntimeError:
        return False
    return True
