"""Memory outside the weights: what was read, remembered exactly, and from where. No torch."""

from memlm.memory.provenance import trace_spans

__all__ = ["trace_spans"]
