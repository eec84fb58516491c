"""What a model carries from token to token: the caches of `transformers`, which change in place."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor


def is_recurrent(cache: Any) -> bool:  # Any: a cache of transformers
    return any(hasattr(layer, "recurrent_states") for layer in cache.layers)


def copied_cache(cache: Any, rows: Tensor | None = None) -> Any:  # Any: a cache of transformers
    """Return a cache that can be changed without changing this one; of some rows, if given.

    Layers that attend grow by new tensors, and are shared; recurrent states change where they lie.
    Our own cache puts new tensors into its list. Raises TypeError for one that is not understood.
    """
    from transformers.cache_utils import DynamicCache

    from memlm.models.exporting.modelling.cache_memlm import MemlmCache

    found = copy.copy(cache)
    if isinstance(cache, MemlmCache):
        found.states = list(cache.states)
        if rows is not None:
            found.batch_select_indices(rows)
        return found
    if type(cache) is not DynamicCache:
        raise TypeError("a cache of a kind that is not known")
    found.layers = [_copied_layer(layer, rows) for layer in cache.layers]
    return found


def _copied_layer(layer: Any, rows: Tensor | None) -> Any:  # Any: as above
    from transformers.cache_utils import DynamicLayer

    found, grows = copy.copy(layer), isinstance(layer, DynamicLayer)
    for name, value in vars(layer).items():
        if isinstance(value, dict):
            copied = {key: _copied_tensor(one, rows, shared=False) for key, one in value.items()}
            setattr(found, name, copied)
        elif isinstance(value, Tensor):
            setattr(found, name, _copied_tensor(value, rows, shared=grows))
    return found


def _copied_tensor(value: Any, rows: Tensor | None, *, shared: bool) -> Any:  # Any: as above
    if not isinstance(value, Tensor):
        return value
    if rows is not None and value.dim() > 0 and value.numel():
        return value.index_select(0, rows)
    return value if shared else value.clone()
