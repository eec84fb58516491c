"""Writing: a predictor and a prompt become text; and the tasks that are writing in disguise."""

from memlm.generate.config import GenerateConfig
from memlm.generate.engine import generate_texts
from memlm.generate.evaluate import evaluate_labels

__all__ = ["GenerateConfig", "evaluate_labels", "generate_texts"]
