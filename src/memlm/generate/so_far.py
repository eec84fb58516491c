"""What has been read and written so far: the tokens of all rows side by side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memlm.language_model import Tokens

_ROOM = 256


class SoFar:
    """The tokens of the prompt and after them what was written, (B, T), one more at each step."""

    def __init__(self, prompt_ids: Tokens, rows: int) -> None:
        self._length = len(prompt_ids)
        self._room = np.empty((rows, self._length + _ROOM), dtype=np.int64)
        self._room[:, : self._length] = prompt_ids

    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """All tokens, (B, T); not to be written to."""
        return self._room[:, : self._length]

    def append(self, tokens: Tokens) -> None:
        """Add one token (B,) to each row."""
        if self._length == self._room.shape[1]:  # twice the room: each token is moved twice at most
            self._room = np.concatenate([self._room, np.empty_like(self._room)], axis=1)
        self._room[:, self._length] = tokens
        self._length += 1

    def select(self, rows: Tokens) -> None:
        """Keep these rows, in this order; rows may repeat."""
        self._room = self._room[rows]
