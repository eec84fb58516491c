"""Networks. This file and `config.py` load no torch; `network.py` does."""

from memlm.models.config import NETWORKS, BlockConfig, NetworkConfig, block_kinds, describe_network

__all__ = ["NETWORKS", "BlockConfig", "NetworkConfig", "block_kinds", "describe_network"]
