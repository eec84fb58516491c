"""Small networks with large random weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memlm.models.config import describe_network
from memlm.models.network import Network, build_network

VOCABULARY = 23
SIZES = {"vocabulary_size": VOCABULARY, "embedding_width": 12, "hidden_width": 16, "layers": 2}
QWEN3 = {
    "transformer": {"kind": "transformer", "heads": 2},
    "tied": {"kind": "transformer", "heads": 4, "embedding_width": 16, "is_tied": True},
    "window": {"kind": "transformer", "heads": 2, "window": 5},
    "one head": {"kind": "transformer", "heads": 1, "layers": 3, "hidden_width": 24},
}
OWN = {
    "lstm": {"kind": "lstm"},
    "lstm tied": {"kind": "lstm", "embedding_width": 16, "is_tied": True},
    "gru residual": {"kind": "gru", "layers": 3, "is_residual": True},
    "lstm-attention": {"kind": "lstm-attention", "heads": 2, "window": 6},
    "mixed": {"kind": "mixed", "heads": 2, "layers": 4, "window": 4},
    "labels": {"kind": "lstm", "label_tokens": (2, 3, 4)},
    "labels, attention": {"kind": "gru-attention", "heads": 2, "label_tokens": (2, 3, 4)},
    "adaptive softmax": {"kind": "gru", "cutoffs": (6, 12)},
    "transformer with labels": {"kind": "transformer", "heads": 2, "label_tokens": (2, 3)},
    "transformer with a bias": {"kind": "transformer", "heads": 2, "has_output_bias": True},
}


def large_random_network(**shape: Any) -> Network:
    """A network whose every weight matters: reading padding, or another state, is seen."""
    network = build_network(describe_network(**{**SIZES, **shape})).eval()
    generator = torch.Generator().manual_seed(5)
    # The stream of a deep stack grows, and with it what single precision leaves over.
    scale = 0.3 if network.config.blocks[-1].kind == "transformer" else 0.5
    with torch.no_grad():
        for name, weights in network.named_parameters():
            noise = torch.randn(weights.shape, generator=generator)
            weights.copy_(scale * noise + (1.0 if "norm" in name else 0.0))
    return network


def some_tokens(rows: int = 3, columns: int = 30, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, VOCABULARY, (rows, columns), generator=generator)


def logits_of(network: Network, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        return network(tokens, network.start(len(tokens)))[0]
