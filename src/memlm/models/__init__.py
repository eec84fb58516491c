"""Networks. This file and `config.py` load no torch; `network.py` does."""

from memlm.models.config import NETWORKS, NetworkConfig

__all__ = ["NETWORKS", "NetworkConfig"]
