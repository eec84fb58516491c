"""What a model says about text that it did not write: how well it predicts, which label it sees."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
