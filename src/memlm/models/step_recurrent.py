"""One LSTM or GRU layer in numpy, as `recurrent.py` has it in torch.

    LSTM   i, f, o = sigmoid    g = tanh      c' = f c + i g     h' = o tanh(c')
    GRU    r, z = sigmoid       n = tanh(Wn x + r (Un h + b))    h' = n + z (h - n)

A sigmoid is half of a tanh at half the place, and half: with the halves in the weights, which
changes no bit of them, one tanh does for all gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from memlm.models.config import BlockConfig, Precision
from memlm.models.matrix import Floats, Matrix
from memlm.models.step_past import Carried

RecurrentState = tuple[Floats, ...]
"""(B, H), once (GRU) or twice (LSTM): hidden, cell."""
_HALF = np.float32(0.5)


class RecurrentStep:
    """An LSTM or GRU block."""

    def __init__(
        self, block: BlockConfig, weights: Mapping[str, Floats], precision: Precision, *, place: int
    ) -> None:
        """Take the weights by their names within the block; its state begins at `place`."""
        self.width, self.place, self.is_residual = block.width, place, block.is_residual
        self.is_lstm, self.head_width = block.kind == "lstm", 0
        self._cell = self._lstm if self.is_lstm else self._gru
        to_input, to_hidden = weights["layer.weight_ih_l0"], weights["layer.weight_hh_l0"]
        first, second = weights["layer.bias_ih_l0"], weights["layer.bias_hh_l0"]
        parts = 4 if self.is_lstm else 3
        order = np.arange(parts * self.width).reshape(parts, self.width)
        if self.is_lstm:  # torch has input, forget, cell, output
            order = order[[0, 1, 3, 2]]
        rows = order.reshape(-1)
        factor = np.ones((len(rows), 1), dtype=np.float32)
        factor[: (parts - 1) * self.width] = _HALF
        self.inputs = Matrix(to_input[rows] * factor, precision)
        self.hidden = Matrix(to_hidden[rows] * factor, precision)
        self.hidden_bias = np.array(second[-self.width :])
        """(H,), what the reset gate of a GRU lets through together with Un h."""
        added = np.array(second)
        if not self.is_lstm:
            added[-self.width :] = 0
        self.bias: Floats = ((first + added)[rows] * factor[:, 0]).astype(np.float32)
        self.input_width = to_input.shape[1]
        self.matrices = [self.inputs, self.hidden]
        self.vectors = [self.bias, self.hidden_bias]

    def products(self, stream: Floats) -> Floats:
        """Return what the inputs (..., I) bring to the gates, (..., G); the same at any time."""
        return self.inputs.product(stream) + self.bias

    def read(self, stream: Floats, carried: Carried, *, products: Floats | None = None) -> Floats:
        """Return the outputs (B, T, H) for inputs (B, T, I); the state is written over.

        `products` are what the inputs bring to the gates, where that is known.
        """
        given = self.products(stream) if products is None else products
        ends = [self.place + self.width * part for part in range(3 if self.is_lstm else 2)]
        parts = [carried.recurrent[:, start:stop] for start, stop in pairwise(ends)]
        state = tuple(parts)
        found = np.empty((*given.shape[:2], self.width), dtype=np.float32)
        for token in range(given.shape[1]):
            state = self._cell(given[:, token], *state)
            found[:, token] = state[0]
        for part, now in zip(parts, state, strict=True):
            part[:] = now
        return stream + found if self.is_residual else found

    def _lstm(self, products: Floats, hidden: Floats, cell: Floats) -> RecurrentState:
        width = self.width
        gates = self.hidden.product(hidden)
        gates += products
        np.tanh(gates, out=gates)
        opened = gates[:, : 3 * width]
        opened *= _HALF
        opened += _HALF
        cell = opened[:, width : 2 * width] * cell
        cell += opened[:, :width] * gates[:, 3 * width :]
        return opened[:, 2 * width :] * np.tanh(cell), cell

    def _gru(self, products: Floats, hidden: Floats) -> RecurrentState:
        width = self.width
        own = self.hidden.product(hidden)
        opened = np.tanh(products[:, : 2 * width] + own[:, : 2 * width])
        opened *= _HALF
        opened += _HALF
        new = own[:, 2 * width :] + self.hidden_bias
        new *= opened[:, :width]
        new += products[:, 2 * width :]
        np.tanh(new, out=new)
        return (new + opened[:, width:] * (hidden - new),)
