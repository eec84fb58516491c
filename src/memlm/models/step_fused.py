"""All blocks of a network laid down for one compiled call, which takes a few tokens of one text.

Python's own call of each block takes as long as a small block does. All weights lie in one array
and all vectors in another, block after block; a table says of each block what it is and where its
own begin. What reads the table is `step_kernels.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
import numpy.typing as npt

from memlm.models.matrix import Floats, aligned
from memlm.models.step_attention import AttentionStep, turns_at
from memlm.models.step_past import Carried
from memlm.models.step_recurrent import RecurrentStep

KIND, WIDTH, INPUTS, HEADS, FEED_FORWARD, WINDOW, IS_RESIDUAL, STATE = range(8)
"""Columns of the table; STATE is where the block's rows of the past, or of the state, begin."""
WEIGHTS, ROWS, VECTORS = 8, 9, 10
"""Columns: where the block's weights begin, the scales of their rows, its vectors."""
ATTENDS, LSTM, GRU = range(3)
MOST_TOKENS = 16
"""Of a block of tokens that is still read so; longer ones are large matrix products."""
_NOTHING: Floats = np.zeros((0, 0), dtype=np.float32)


class FusedBlocks:
    """The blocks of a network in one call."""

    def __init__(
        self, blocks: Sequence[AttentionStep | RecurrentStep], last_scale: Floats | None
    ) -> None:
        """Lay down the weights of all blocks; their matrices are views of it from then on.

        `last_scale` (H,) is that of a norm behind them.
        """
        self._last_scale = np.zeros(0, dtype=np.float32) if last_scale is None else last_scale
        matrices = [matrix for block in blocks for matrix in block.matrices]
        vectors = [vector for block in blocks for vector in block.vectors]
        self._head_width = max(block.head_width for block in blocks)
        self._laid = (
            aligned(np.concatenate([matrix.stored.reshape(-1) for matrix in matrices])),
            np.concatenate([matrix.scales for matrix in matrices]),
            np.concatenate(vectors).astype(np.float32),
        )
        place = 0
        for matrix in matrices:
            matrix.move(self._laid[0][place : place + matrix.stored.size])
            place += matrix.stored.size
        self._table = _make_table(blocks)

    @staticmethod
    def can_take(blocks: Sequence[AttentionStep | RecurrentStep]) -> bool:
        """Say whether all heads have one width, since they are turned by the same table."""
        return len({block.head_width for block in blocks if block.head_width}) <= 1

    def __call__(
        self, stream: Floats, products: Floats | None, carried: Carried, loops: ModuleType
    ) -> Floats:
        """Return the outputs (T, H) for the first inputs (T, I) of one text; write to `carried`."""
        turns, past, places = (_NOTHING, _NOTHING), (_NOTHING, _NOTHING), (0, 0)
        attended = carried.attended
        if attended is not None:
            turn = turns_at(attended.position, len(stream), self._head_width)
            turns = turn.cosine, turn.sine
            past = attended.past.keys[0], attended.past.values[0]
            places = attended.first, attended.last
        found: Floats = loops.read_blocks(
            stream,
            stream[:, :0] if products is None else products,
            self._table,
            self._laid,
            turns,
            past,
            places,
            carried.recurrent[0],
            self._last_scale,
        )
        return found


def _make_table(blocks: Sequence[AttentionStep | RecurrentStep]) -> npt.NDArray[np.int64]:
    table = np.zeros((len(blocks), VECTORS + 1), dtype=np.int64)
    weights = rows = vectors = 0
    for row, block in zip(table, blocks, strict=True):
        row[WEIGHTS], row[ROWS], row[VECTORS] = weights, rows, vectors
        row[WIDTH], row[STATE] = block.width, block.place
        if isinstance(block, AttentionStep):
            row[KIND], row[HEADS], row[WINDOW] = ATTENDS, block.heads, block.window
            row[FEED_FORWARD] = block.feed_forward_width
        else:
            row[KIND] = LSTM if block.is_lstm else GRU
            row[IS_RESIDUAL], row[INPUTS] = block.is_residual, block.input_width
        weights += sum(matrix.stored.size for matrix in block.matrices)
        rows += sum(len(matrix) for matrix in block.matrices)
        vectors += sum(len(vector) for vector in block.vectors)
    return table
