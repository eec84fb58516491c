"""One LSTM or GRU layer in numpy, as `recurrent.py` has it in torch.

    LSTM   i, f, o = sigmoid    g = tanh      c' = f c + i g     h' = o tanh(c')
    GRU    r, z = sigmoid       n = tanh(Wn x + r (Un h + b))    h' = n + z (h - n)

A sigmoid is half of a tanh at half the place, and half: with the halves in the weights, which
changes no bit of them, one tanh does for all gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import numpy as np
import numpy.typing as npt

from memlm.models.config import BlockConfig, Precision
from memlm.models.matrix import Floats, Matrix

RecurrentState = tuple[Floats, ...]
"""(B, H), once (GRU) or twice (LSTM): hidden, cell."""
_HALF = np.float32(0.5)


class RecurrentStep:
    """An LSTM or GRU block."""

    def __init__(
        self, block: BlockConfig, weights: Mapping[str, Floats], precision: Precision
    ) -> None:
        """Take the weights by their names within the block."""
        self.block, self.width = block, block.width
        self._is_lstm = block.kind == "lstm"
        self._cell = self._lstm if self._is_lstm else self._gru
        to_input, to_hidden = weights["layer.weight_ih_l0"], weights["layer.weight_hh_l0"]
        first, second = weights["layer.bias_ih_l0"], weights["layer.bias_hh_l0"]
        parts = 4 if self._is_lstm else 3
        order = np.arange(parts * self.width).reshape(parts, self.width)
        if self._is_lstm:  # torch has input, forget, cell, output
            order = order[[0, 1, 3, 2]]
        rows = order.reshape(-1)
        factor = np.ones((len(rows), 1), dtype=np.float32)
        factor[: (parts - 1) * self.width] = _HALF
        self.inputs = Matrix(to_input[rows] * factor, precision)
        self.hidden = Matrix(to_hidden[rows] * factor, precision)
        self.hidden_bias = np.array(second[-self.width :])
        """(H,), what the reset gate of a GRU lets through together with Un h."""
        added = np.array(second)
        if not self._is_lstm:
            added[-self.width :] = 0
        self.bias: Floats = ((first + added)[rows] * factor[:, 0]).astype(np.float32)

    def start(self, batch: int) -> RecurrentState:
        """Return the zero state."""
        parts = 2 if self._is_lstm else 1
        return tuple(np.zeros((batch, self.width), dtype=np.float32) for _ in range(parts))

    def select(self, state: RecurrentState, rows: npt.NDArray[np.int64]) -> RecurrentState:
        """Return the state of some texts."""
        return tuple(part[rows] for part in state)

    def products(self, stream: Floats) -> Floats:
        """Return what the inputs (..., I) bring to the gates, (..., G); the same at any time."""
        return self.inputs.product(stream) + self.bias

    def step(
        self,
        stream: Floats,
        state: RecurrentState,
        *,
        products: Floats | None = None,
        loops: ModuleType | None = None,
    ) -> tuple[Floats, RecurrentState]:
        """Return the outputs (B, H) for one input (B, I) of each text, and the state after it."""
        if loops is not None and len(stream) == 1:
            after = self._looped(stream, products, state, loops)
        else:
            after = self._cell(self.products(stream) if products is None else products, *state)
        return (stream + after[0] if self.block.is_residual else after[0]), after

    def read(
        self, stream: Floats, state: RecurrentState, *, products: Floats | None = None
    ) -> tuple[Floats, RecurrentState]:
        """Return the outputs (B, T, H) for inputs (B, T, I), and the state after them."""
        given = self.products(stream) if products is None else products
        found = np.empty((*given.shape[:2], self.width), dtype=np.float32)
        for place in range(given.shape[1]):
            state = self._cell(given[:, place], *state)
            found[:, place] = state[0]
        return (stream + found if self.block.is_residual else found), state

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

    def _looped(
        self, stream: Floats, products: Floats | None, state: RecurrentState, loops: ModuleType
    ) -> RecurrentState:
        """Return the state after one input of one text."""
        if products is None:
            products = np.empty((1, len(self.bias)), dtype=np.float32)
            weights, scales = self.inputs.stored, self.inputs.scales
            loops.add_product(weights, scales, stream[0], self.bias, products[0])
        after = tuple(np.empty_like(part) for part in state)
        weights, scales = self.hidden.stored, self.hidden.scales
        if self._is_lstm:
            before, now = (state[0][0], state[1][0]), (after[0][0], after[1][0])
            loops.lstm_step(weights, scales, products[0], before, now)
        else:
            own = (self.hidden_bias, state[0][0], after[0][0])
            loops.gru_step(weights, scales, products[0], *own)
        return after
