"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .excerpts import cut_excerpts
from .folding import FOLDING_VERSION, FOLDS, FoldedText, fold_text, in_order, parse_folds
from .provenance import shares_of, trace_spans

__all__ = [
    "FOLDING_VERSION",
    "FOLDS",
    "FoldedText",
    "cut_excerpts",
    "fold_text",
    "in_order",
    "parse_folds",
    "shares_of",
    "trace_spans",
]
