"""Causal language models of the Hugging Face kind: the one room that knows `transformers`.

loading.py   from a cleaned configuration and weights to a network
model.py     the network as a `LanguageModel`
cache.py     what it carries from token to token, copied before it is changed
library.py   the library itself, kept quiet
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
