"""Tensors on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file.

    Its own writer hides the system's error in words, so that a full disk would be no OSError.
    """
    whole = {name: value.cpu().contiguous() for name, value in tensors.items()}
    path.write_bytes(save(whole, metadata={"format": "pt"}))
