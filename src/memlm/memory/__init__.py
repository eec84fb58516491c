"""Memory outside the weights: what was read, remembered exactly, and from where. No torch."""

from memlm.memory.excerpts import cut_excerpts
from memlm.memory.folding import (
    FOLDING_VERSION,
    FOLDS,
    FoldedText,
    fold_text,
    in_order,
    parse_folds,
)
from memlm.memory.provenance import shares_of, trace_spans

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
