"""What a model says about text that it did not write: how well it predicts, which label it sees."""

from memlm.predict.classify import label_probabilities
from memlm.predict.score import score_text

__all__ = ["label_probabilities", "score_text"]
