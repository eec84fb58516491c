"""Networks. This file and `config.py` load no torch; `network.py` does."""

from memlm.models.config import (
    ATTENDING,
    NETWORKS,
    BlockConfig,
    NetworkConfig,
    Precision,
    block_kinds,
    check_heads,
    describe_network,
)

__all__ = [
    "ATTENDING",
    "NETWORKS",
    "BlockConfig",
    "NetworkConfig",
    "Precision",
    "block_kinds",
    "check_heads",
    "describe_network",
]
