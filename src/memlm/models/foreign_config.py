"""The `config.json` of somebody else: read by us first, and only what is known passed on.

What could make the library run code or fetch any (`auto_map`, whatever begins with an underscore,
`trust_remote_code`) is dropped, at any depth, as is each key that the library's own class for this
kind of model does not have. Sizes are capped, and parameters estimated, before anything is built.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memlm.errors import InputError
from memlm.models.foreign_weights import RepeatedKeyError, file_bad, shown, without_repeats

Json = dict[str, Any]  # Any: JSON values

CONFIG = "config.json"
LARGEST_CONFIG = 1 << 20
"""Bytes."""
MOST_PARAMETERS = 200_000_000_000
_DEEPEST, _LONGEST = 5, 8192
_MOST_LAYERS = 1024
_LARGEST = 1 << 20
# The first of these whose words are in a key says how large its number may be.
_CAPS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("_token_id", "token_index", "seed"), 1 << 31),
    (("vocab",), 1 << 22),
    (("position", "context", "length", "window", "seq"), 1 << 27),
    (("n_layer", "num_layers", "hidden_layers", "num_blocks", "n_blocks"), _MOST_LAYERS),
    (("expert", "head", "layer", "block", "group"), 1 << 14),
)
_NEVER = frozenset({
    "auto_map", "trust_remote_code", "custom_generate", "custom_pipelines", "attn_implementation",
    "experts_implementation", "kernel_config", "fusion_config", "transformers_weights",
})  # fmt: skip
_WIDTHS = ("hidden_size", "n_embd", "d_model", "dim", "word_embed_proj_dim")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_INNER = ("intermediate_size", "n_inner", "ffn_dim", "d_ff")


def read_config(data: bytes) -> Json:
    """Return what a `config.json` says; CorruptArtefactError where it is none."""
    try:
        found = json.loads(
            data.decode("utf-8"), object_pairs_hook=without_repeats, parse_constant=_constant
        )
    except RepeatedKeyError as error:
        raise file_bad(CONFIG, "repeated_key", key=error) from error
    except (ValueError, RecursionError) as error:
        raise file_bad(CONFIG, "no_json") from error
    if isinstance(found, dict) and "blocks" in found and "model_type" not in found:
        raise InputError("foreign_is_ours")
    if not isinstance(found, dict) or not isinstance(found.get("model_type"), str):
        raise InputError("foreign_no_kind")
    return found


def cleaned_config(found: Mapping[str, Any], known: frozenset[str]) -> tuple[Json, list[str]]:
    """Return those keys that are `known` and harmless, and the names of the others.

    Raises InputError where a number is larger than any model's, or the weights are quantised.
    """
    if found.get("quantization_config") is not None:
        raise InputError("foreign_quantised")
    kept = {
        key: _without_secrets(value)
        for key, value in found.items()
        if key in known and not _is_secret(key)
    }
    check_sizes(kept)
    return kept, sorted(found.keys() - kept.keys() - {"model_type"})


def check_sizes(config: Mapping[str, Any]) -> None:
    """Raise InputError where a configuration is of a model that nobody has."""
    for key, value in _numbers("", config, 0):
        cap = next((most for words, most in _CAPS if any(w in key for w in words)), _LARGEST)
        if abs(value) > cap:
            raise InputError("foreign_too_large", key=shown(key), value=shown(value), most=cap)
    estimate = estimated_parameters(config)
    if estimate > MOST_PARAMETERS:
        raise InputError(
            "foreign_too_large", key="parameters", value=estimate, most=MOST_PARAMETERS
        )


def estimated_parameters(config: Mapping[str, Any]) -> int:
    """Return about how many parameters a configuration asks for: what a plain transformer has."""
    width, layers = _first(config, _WIDTHS), _first(config, _LAYERS)
    inner = _first(config, _INNER) or 4 * width
    block = 4 * width * width + 2 * width * inner
    return layers * block + _first(config, ("vocab_size",)) * width


def _first(config: Mapping[str, Any], names: Sequence[str]) -> int:
    found = (config.get(name) for name in names)
    return next((abs(value) for value in found if type(value) is int), 0)


def _numbers(key: str, value: Any, depth: int) -> Iterator[tuple[str, int]]:  # Any: JSON
    """Yield every whole number under a key, however deep; refuse what is too deep or too long."""
    if depth > _DEEPEST or (isinstance(value, str | list | dict) and len(value) > _LONGEST):
        raise InputError("foreign_too_large", key=shown(key), value="…", most=_LONGEST)
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _numbers(str(name), one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(key, one, depth + 1)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield key, value
    elif isinstance(value, float) and math.isnan(value):
        raise file_bad(CONFIG, "no_json")


def _without_secrets(value: Any) -> Any:  # Any: JSON
    if isinstance(value, dict):
        return {key: _without_secrets(one) for key, one in value.items() if not _is_secret(key)}
    return [_without_secrets(one) for one in value] if isinstance(value, list) else value


def _is_secret(key: str) -> bool:
    """Say whether a key can make the library do more than build a network."""
    return key.startswith("_") or key in _NEVER


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError(name)
    return float(name)  # some state-space models say how far a time may go: to infinity
