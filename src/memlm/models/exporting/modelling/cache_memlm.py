"""What a network of memlm carries from call to call, as a cache of `transformers`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache


class MemlmCache(Cache):
    """The states of the blocks, batch first in every tensor, so that beams can be reordered."""

    def __init__(self, states: list[tuple[Tensor, ...]], batch: int, device: Any) -> None:
        super().__init__(layers=[])
        self.states = states
        """Of a block: (B, H) twice or once, or keys and values (B, h, S, d) and places (B, S)."""
        self.label = torch.zeros(batch, dtype=torch.long, device=device)
        """The label in force, (B,); 0 is none."""
        self.num_real = torch.zeros(batch, dtype=torch.long, device=device)
        """Tokens read, padding left out, (B,)."""
        self.num_columns = 0
        """Tokens read, padding counted."""

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return how many columns were read."""
        return self.num_columns

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        """Return how long a mask is that covers what was read and a query, and its offset."""
        return self.num_columns + query_length, 0

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """Return -1: there is no longest text."""
        return -1

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take the rows of the beams that go on."""
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Take the rows named."""
        self._each(lambda part: part[indices.to(part.device)])

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        self._each(lambda part: part.repeat_interleave(repeats, dim=0))

    def reset(self) -> None:
        """Forget all."""
        self._each(torch.zeros_like)
        self.states = [
            tuple(part[:, :, :0] if part.dim() == 4 else part[:, :0] for part in parts)
            if len(parts) == 3
            else parts
            for parts in self.states
        ]
        self.num_columns = 0

    def crop(self, *args: object) -> None:
        """Refuse: a recurrent state cannot be taken back."""
        raise ValueError("A recurrent state cannot be cropped.")

    @property
    def batch_size(self) -> int:
        """Rows."""
        return len(self.label)

    @property
    def is_compileable(self) -> bool:
        """Its tensors grow."""
        return False

    @property
    def is_croppable(self) -> bool:
        """See `crop`."""
        return False

    @property
    def is_initialized(self) -> bool:
        """It is so from the beginning."""
        return True

    def _each(self, change: Any) -> None:  # Any: a function of a tensor
        self.states = [tuple(change(part) for part in parts) for parts in self.states]
        self.label, self.num_real = change(self.label), change(self.num_real)
