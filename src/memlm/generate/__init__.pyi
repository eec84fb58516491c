"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .config import GenerateConfig
from .engine import generate_texts
from .evaluate import evaluate_labels
from .shots import Shot, parse_shots, write_few_shot

__all__ = [
    "GenerateConfig",
    "Shot",
    "evaluate_labels",
    "generate_texts",
    "parse_shots",
    "write_few_shot",
]
