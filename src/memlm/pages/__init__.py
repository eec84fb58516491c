"""Offline HTML pages: one file each, nothing fetched, readable on a phone and in the dark."""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
