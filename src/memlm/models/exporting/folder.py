"""The files of a model of ours that `transformers` loads: config, weights, modelling files.

Transformers that Qwen3 has a place for are written in its layout; any other network as it is, under
our own names, with the files that say how it computes.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from memlm.errors import CorruptArtefactError
from memlm.models.config import LONGEST_PAST, NetworkConfig
from memlm.models.earlier import migrate_weights
from memlm.models.exporting.modelling import AUTO_MAP, OWN_KIND, modelling_files
from memlm.models.exporting.qwen3 import qwen3_config, qwen3_lacks, qwen3_weights
from memlm.storage import read_json, write_json

_GENERATION = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}


def read_model_config(model: Path) -> NetworkConfig:
    """Return the description of the network in a model's folder."""
    path = model / "config.json"
    return NetworkConfig.from_json(read_json(path), path=path)


def write_model_files(model: Path, folder: Path) -> None:
    """Write the network in the folder `model` into another for `transformers`.

    Raises CorruptArtefactError where the weights cannot be read.
    """
    config = read_model_config(model)
    weights_file = model / "model.safetensors"
    try:
        weights = migrate_weights(load_file(weights_file))
    except (SafetensorError, OSError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=weights_file) from error
    if qwen3_lacks(config) is None:
        described, weights = qwen3_config(config), qwen3_weights(config, weights)
    else:
        described = _own_config(config)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", described)
    write_json(folder / "generation_config.json", _GENERATION)
    if described["model_type"] == OWN_KIND:
        write_modelling_files(folder)


def write_modelling_files(folder: Path) -> None:
    """Put the code that computes our own layout into a folder, and name it in its config."""
    for file in modelling_files():
        shutil.copyfile(file, folder / file.name)
    described = read_json(folder / "config.json")
    write_json(folder / "config.json", described | {"auto_map": AUTO_MAP})


def _own_config(config: NetworkConfig) -> dict[str, Any]:  # Any: JSON values
    return {
        "architectures": ["MemlmForCausalLM"],
        "model_type": OWN_KIND,
        "dtype": "float32",
        "network": config.to_json(),
        "longest_past": LONGEST_PAST,
        "max_position_embeddings": LONGEST_PAST,
        "vocab_size": config.vocabulary_size,
        "hidden_size": config.hidden_width,
        "num_hidden_layers": len(config.blocks),
        "tie_word_embeddings": config.is_tied,
        "use_cache": True,
        **_GENERATION,
    }
