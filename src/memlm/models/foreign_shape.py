"""What a training needs to know of a network of somebody else's; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from memlm.errors import CorruptArtefactError
from memlm.models.config import NetworkConfig


@dataclass(frozen=True, kw_only=True)
class ForeignShape:
    """The size of a causal model of the Hugging Face kind."""

    kind: str
    """What the library calls it: `gpt2`."""
    vocabulary_size: int
    """Its own, and one more where the end of a text is no token of its own."""
    hidden_width: int
    layers: int
    num_parameters: int
    context: int
    """Most tokens that it reads at once."""

    label_tokens: ClassVar[tuple[int, ...]] = ()
    """It has no tokens for labels."""

    def to_json(self) -> dict[str, object]:
        """Return the fields as JSON."""
        return {"library": _LIBRARY, **asdict(self)}


ADAPTER_FOLDER, HUGGINGFACE_FOLDER = "adapter", "huggingface"
"""Of a model's folder: where what was learned of such a network lies."""
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_LIBRARY = "transformers"
AnyShape = NetworkConfig | ForeignShape


def read_shape(described: Mapping[str, Any], *, path: object) -> AnyShape:  # Any: JSON
    """Return the shape that its `to_json` described; CorruptArtefactError if it is none."""
    if described.get("library") != _LIBRARY:
        return NetworkConfig.from_json(dict(described), path=path)
    found = {name: value for name, value in described.items() if name != "library"}
    if found.keys() != {field.name for field in fields(ForeignShape)}:
        raise CorruptArtefactError("artefact_unreadable", path=path)
    numbers = [value for name, value in found.items() if name != "kind"]
    if not all(type(value) is int and value > 0 for value in numbers):
        raise CorruptArtefactError("artefact_unreadable", path=path)
    return ForeignShape(**found)
