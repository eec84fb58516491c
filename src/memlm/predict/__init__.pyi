"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .classify import label_probabilities
from .score import score_text

__all__ = ["label_probabilities", "score_text"]
