"""From a configuration that was cleaned, and weights that were read, to a network.

Nothing in the folder of a model is run: the classes are those that the library itself has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memlm.errors import CorruptArtefactError, InputError
from memlm.models.exporting.modelling import OWN_KIND, register_transformers
from memlm.models.foreign import Foreign
from memlm.models.foreign_config import CONFIG, cleaned_config
from memlm.models.foreign_weights import file_bad, shown
from memlm.models.huggingface.library import quietly
from memlm.models.huggingface.model import Beginning, HuggingFaceModel
from memlm.runtime import require_package

USUAL_CONTEXT = 4096
"""Tokens of a window at the most where nobody asked for more: memory grows with it."""
_EARLIER_KEYS = frozenset({"rope_theta", "rope_scaling", "n_ctx", "partial_rotary_factor"})
"""Of configurations that older versions wrote; the library still reads them."""
_ALWAYS_KNOWN = frozenset({"tie_word_embeddings", "vocab_size"})
_CONTEXTS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
_MOST_LISTED = 3
_USUAL_BUFFERS = 1 << 27
"""Bytes that a network may lay out beside its weights, however small it is."""


@dataclass(frozen=True)
class Loaded:
    """A model, and what is to be said of how it was read."""

    model: HuggingFaceModel
    kind: str
    parameters: int
    dropped: tuple[str, ...]
    """Keys of its configuration that were not passed on."""
    unused: tuple[str, ...]
    """Tensors that its network has no place for."""


def load_huggingface(
    foreign: Foreign, *, device: torch.device, precision: str = "float32"
) -> Loaded:
    """Build the network that the `config.json` of a folder describes, around its weights.

    BOS and EOS are those of the configuration, else those that the tokenizer names. Raises
    InputError for a kind that the library does not know, for sizes that its weights do not have,
    and for weights that are missing.
    """
    config, weights = foreign.config, foreign.weights
    with quietly():
        settings, dropped = _settings(config)
        build = _causal_class(settings)
        _check_parameters(build, settings, weights)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        network, info = _filled(build, settings, weights, dtype)
    _check_complete(info)
    _quiet_settings(network)
    size = int(network.get_output_embeddings().weight.shape[0])
    beginning = _beginning(config, foreign.begin_and_end_ids, size)
    longest = _longest(network.config)
    model = HuggingFaceModel(
        network.to(device),
        beginning,
        context=None if longest is None else min(longest, USUAL_CONTEXT),
        longest=longest,
    )
    return Loaded(
        model=model,
        kind=str(config["model_type"]),
        parameters=sum(one.numel() for one in network.parameters()),
        dropped=tuple(dropped),
        unused=tuple(sorted(info["unexpected_keys"])),
    )


def _settings(config: Mapping[str, Any]) -> tuple[Any, list[str]]:  # Any: JSON, its class
    """Return the library's own configuration, and the keys that it was not given."""
    require_package("transformers", extra="hf")
    from dataclasses import fields

    from transformers import CONFIG_MAPPING, PreTrainedConfig

    kind = config["model_type"]
    if kind == OWN_KIND:
        register_transformers()
    if kind not in CONFIG_MAPPING:
        raise InputError("foreign_kind_unknown", kind=shown(kind))
    described = CONFIG_MAPPING[kind]
    shared = {field.name for field in fields(PreTrainedConfig)}
    own = {field.name for field in fields(described)} - shared
    if kind == OWN_KIND:  # whose fields are not the library's
        own |= {"network", "longest_past"}
    known = own | described.attribute_map.keys() | _ALWAYS_KNOWN | _EARLIER_KEYS
    kept, dropped = cleaned_config(config, frozenset(known))
    try:
        return described(**kept), dropped
    except Exception as error:  # its checks raise nothing narrower
        raise _refused("config_refused", error) from error


def _causal_class(settings: Any) -> Any:  # Any: transformers has no types here
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    if type(settings) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError("foreign_not_causal", kind=settings.model_type)
    found = MODEL_FOR_CAUSAL_LM_MAPPING[type(settings)]
    return found[0] if isinstance(found, tuple) else found


def _check_parameters(build: Any, settings: Any, weights: Mapping[str, Tensor]) -> None:
    """Raise InputError where a network would take far more memory than there are weights for."""
    try:
        with torch.device("meta"):  # shapes alone: nothing of their size is laid out
            network = build(settings)
    except Exception as error:  # whatever a configuration makes the library stumble over
        raise _refused("config_refused", error) from error
    wanted = sum(one.numel() for one in network.parameters())
    held = sum(one.numel() for one in weights.values())
    buffers = list(network.buffers())  # masks of all positions by all, in some
    laid_out = sum(one.nbytes for one in buffers)
    # A tied output is laid out twice at first.
    if wanted > 2 * held + (1 << 20) or laid_out > 2 * held + _USUAL_BUFFERS:
        wanted += sum(one.numel() for one in buffers)
        raise InputError("foreign_without_weights", wanted=wanted, held=held)
    if getattr(network.get_output_embeddings(), "weight", None) is None:
        raise InputError("foreign_output", kind=settings.model_type)


def _filled(
    build: Any, settings: Any, weights: Mapping[str, Tensor], dtype: torch.dtype
) -> tuple[Any, dict[str, Any]]:  # Any: as above
    try:
        network, info = build.from_pretrained(
            None, config=settings, state_dict=dict(weights), dtype=dtype, output_loading_info=True
        )
    except (RuntimeError, ValueError, KeyError, AttributeError, OSError) as error:
        raise _refused("weights_refused", error) from error
    return network, info


def _check_complete(info: Mapping[str, Any]) -> None:  # Any: as above
    for kind in ("mismatched_keys", "missing_keys"):
        names = sorted(one[0] if isinstance(one, tuple) else one for one in info[kind])
        if names:
            listed = ", ".join(map(shown, names[:_MOST_LISTED])) + (
                ", …" if names[_MOST_LISTED:] else ""
            )
            raise InputError("foreign_tensors_missing", count=len(names), names=listed)


def _quiet_settings(network: Any) -> None:  # Any: as above
    network.requires_grad_(False)
    network.config.use_cache = True


def _beginning(
    config: Mapping[str, Any], named: tuple[int | None, int | None], size: int
) -> Beginning:  # Any: JSON
    begin, end = (
        _token(config[key], size) if key in config else _token(other, size)
        for key, other in zip(("bos_token_id", "eos_token_id"), named, strict=True)
    )
    if begin is None and end is None:
        return Beginning(None, size)
    first, last = (end if begin is None else begin), (begin if end is None else end)
    assert last is not None
    return Beginning(first, last)


def _token(value: Any, size: int) -> int | None:  # Any: JSON: a number, or several
    if isinstance(value, list):
        value = value[0] if value else None
    return value if type(value) is int and 0 <= value < size else None


def _longest(config: Any) -> int | None:  # Any: as above
    """Return the context that a model was made for; None where there is no limit."""
    if getattr(config, "model_type", "") in ("mamba", "mamba2", "rwkv", "xlstm", "falcon_mamba"):
        return None
    found = (getattr(config, name, None) for name in _CONTEXTS)
    return next((value for value in found if type(value) is int and value > 1), None)


def _refused(reason: str, error: Exception) -> CorruptArtefactError:
    """Return the error about a file that the library itself refuses, in its own first line."""
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return file_bad(CONFIG, reason, said=said)
