"""Memory outside the weights: what was read, remembered exactly, and from where. No torch."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
