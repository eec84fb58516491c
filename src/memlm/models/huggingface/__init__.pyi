"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .loading import Loaded, load_huggingface
from .model import Beginning, HuggingFaceModel
from .saving import save_network
from .trainable import TrainableModel, adapter_targets, foreign_shape

__all__ = [
    "Beginning",
    "HuggingFaceModel",
    "Loaded",
    "TrainableModel",
    "adapter_targets",
    "foreign_shape",
    "load_huggingface",
    "save_network",
]
