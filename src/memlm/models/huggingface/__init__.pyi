"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .loading import Loaded, load_huggingface
from .model import Beginning, HuggingFaceModel

__all__ = ["Beginning", "HuggingFaceModel", "Loaded", "load_huggingface"]
