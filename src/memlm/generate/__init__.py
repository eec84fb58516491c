"""Writing: a predictor and a prompt become text; and the tasks that are writing in disguise."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
