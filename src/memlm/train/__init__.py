"""Learning into the weights. This file and `config.py` load no torch."""

from memlm.train.config import TrainConfig

__all__ = ["TrainConfig"]
