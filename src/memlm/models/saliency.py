"""Saliency: how much each prediction of a network depends on each token before it.

    w(t, s) = |g . e(s)| / sum over s' <= t of |g . e(s')|,   g = d log p(token t + 1) / d e(s)

Gradient times input (Simonyan et al. 2013; Shrikumar et al. 2016), e(s) being the vector that the
token at s is looked up as. To first order it is how far log p would fall without the token; it
stands in for attention weights where a network has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from memlm.models.network import Network
from memlm.models.output import IGNORED

_LARGEST_BLOCK_VALUES = 1 << 25
"""Values that a block of rows may hold: with their gradients at most about 400 MB.

One row is read whatever it takes: more only where T times the vocabulary is larger than this.
"""
_KEPT_PER_UNIT = 16  # values that a recurrent unit keeps of each step for the way back


def saliency(
    network: Network,
    tokens: Tensor,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Return the weights (T, T) for tokens (T,); row t is of the prediction after token t.

    The last row is of the token that the network finds likeliest to come next. Rows sum to 1 and
    are 0 behind t; a prediction that depends on nothing weighs all alike. `progress(done, total)`
    counts rows.
    """
    tokens = tokens.to(network.device)
    targets = torch.cat([tokens[1:], _likeliest_next(network, tokens)])
    total = len(tokens)
    weights = torch.zeros((total, total))
    at_once = _rows_at_once(network, total)
    for first in range(0, total, at_once):
        stop = min(first + at_once, total)
        weights[first:stop, :stop] = _rows(network, tokens[:stop], targets[first:stop])
        progress(stop, total)
    return weights


def _rows(network: Network, tokens: Tensor, targets: Tensor) -> Tensor:
    """Return the last rows (R, T), one for each of the targets (R,) that end with the text.

    Each row reads the text for itself, so that one way back gives the gradients of all.
    """
    rows, first = len(targets), len(tokens) - len(targets)
    asked = torch.full((rows, len(tokens)), IGNORED, device=tokens.device)
    places = torch.arange(rows, device=tokens.device)
    asked[places, first + places] = targets
    # cuDNN goes the way back through a recurrent layer only while that is being trained.
    with _vectors_read(network) as read, torch.backends.cudnn.flags(enabled=False):
        nats, _ = network.losses(tokens.expand(rows, -1), asked, network.start(rows))
        (vectors,) = read
        (gradients,) = torch.autograd.grad(nats.sum(), vectors)
    effects = (gradients * vectors.detach()).sum(dim=-1).abs()  # (R, T)
    totals = effects.sum(dim=1, keepdim=True)
    behind = torch.arange(len(tokens), device=tokens.device) > first + places[:, None]
    alike = (~behind).float() / (first + places[:, None] + 1)
    return torch.where(totals > 0, effects / totals, alike).cpu()


@contextmanager
def _vectors_read(network: Network) -> Iterator[list[Tensor]]:
    """Collect the vectors that tokens are looked up as inside the block, gradients watched."""
    read: list[Tensor] = []

    def watch(module: object, given: object, vectors: Tensor) -> Tensor:
        read.append(vectors.detach().requires_grad_())
        return read[-1]

    handle = network.embed.register_forward_hook(watch)
    try:
        with torch.enable_grad():
            yield read
    finally:
        handle.remove()


@torch.no_grad()
def _likeliest_next(network: Network, tokens: Tensor) -> Tensor:
    at_once = max(1, _LARGEST_BLOCK_VALUES // network.config.vocabulary_size)
    state = network.start(1)
    for piece in tokens.split(at_once):
        logits, state = network(piece[None], state)
    return logits[0, -1:].argmax(dim=-1)


def _rows_at_once(network: Network, total: int) -> int:
    config = network.config
    scores = 0 if config.cutoffs else config.vocabulary_size  # clusters score what is asked only
    kept = _KEPT_PER_UNIT * sum(block.width for block in config.blocks)
    return max(1, _LARGEST_BLOCK_VALUES // (total * (scores + kept)))
