"""How much longer could a tokenizer of somebody else's make a text?

Replacements in a row multiply: ten that put ten letters for one make ten thousand million of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MOST_GROWTH = 1 << 10
"""A usual tokenizer puts some letters for one, here and there."""
_PARTS = ("normalizer", "pre_tokenizer", "decoder")


def grows_too_much(library: dict[str, Any]) -> bool:  # Any: JSON
    """Say whether the steps that a `tokenizer.json` names could lengthen a text beyond measure.

    >>> grows_too_much({"normalizer": {"type": "Prepend", "prepend": "_"}})
    False
    """
    for part in _PARTS:
        growth = 1
        for factor in _factors(library.get(part)):
            growth *= factor
            if growth > MOST_GROWTH:
                return True
    return False


def _factors(value: Any) -> Iterator[int]:  # Any: JSON
    """Yield by how much each step could lengthen a text of one character, rounded up."""
    if isinstance(value, dict):
        pattern, content = value.get("pattern"), value.get("content")
        if isinstance(content, str):
            plain = pattern.get("String") if isinstance(pattern, dict) else None
            shortest = len(plain) if isinstance(plain, str) else 1
            # What is found may be empty, and then stands between any two characters.
            yield max(1, -(-len(content) // shortest)) if shortest else 1 + len(content)
        if isinstance(value.get("prepend"), str):
            yield max(1, len(value["prepend"]))
        for one in value.values():
            yield from _factors(one)
    elif isinstance(value, list):
        for one in value:
            yield from _factors(one)
