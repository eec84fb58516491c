"""Sources to documents: what people name (files, folders, tables) becomes plain, decoded text.

`sources.py` has the table of formats. Nothing is skipped silently: what cannot be read comes out
as a problem with its line and its reason.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
