"""Adapters as PEFT keeps them: `adapter_config.json` and `adapter_model.safetensors`.

Names are those of the model as `transformers` has it. Linear layers are PEFT's target modules; the
matrices of recurrent layers, which are no modules, its target parameters. Where a layer has several
of these PEFT wraps it once for each, so that all but the last lie under one more `base_layer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from memlm.errors import CorruptArtefactError
from memlm.models.adapter import ALPHA_OF_RANK, AdaptedNetwork, AdapterTarget
from memlm.models.foreign_shape import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from memlm.models.tensor_file import save_tensors
from memlm.storage import read_json, write_json

_PREFIX = "base_model.model."
_MODULE = ".weight"


def write_adapter(
    network: AdaptedNetwork, folder: Path, *, base: str, names: Mapping[str, str] | None = None
) -> None:
    """Write an adapter; `names` are those of parameters in the layout that others load."""
    keys = dict(_keys(network.targets, names or {}))
    paths = [_elsewhere(target.name, names or {}) for target in network.targets]
    modules = [path.removesuffix(_MODULE) for path in paths if path.endswith(_MODULE)]
    parameters = [path for path in paths if not path.endswith(_MODULE)]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": network.rank,
        "lora_alpha": ALPHA_OF_RANK * network.rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(target.is_turned for target in network.targets),
        "target_modules": sorted(modules),
        "target_parameters": parameters or None,
        "init_lora_weights": True,
        "inference_mode": True,
    }
    tensors: dict[str, Tensor] = {}
    for target in network.targets:
        down, up = network.parts(target)
        tensors[f"{keys[target.name]}.lora_A.weight"] = down
        tensors[f"{keys[target.name]}.lora_B.weight"] = up
    write_json(folder / ADAPTER_CONFIG, config)
    save_tensors(tensors, folder / ADAPTER_WEIGHTS)


def read_changes(folder: Path, targets: Sequence[AdapterTarget]) -> dict[str, Tensor]:
    """Return what an adapter that was written here adds to each matrix of its network.

    Raises CorruptArtefactError where it is not one of these targets.
    """
    path = folder / ADAPTER_WEIGHTS
    try:
        found = load_file(path)
        rank = int(read_json(folder / ADAPTER_CONFIG)["r"])
        keys = dict(_keys(targets, {}))
        changes: dict[str, Tensor] = {}
        for target in targets:
            down, up = (found.pop(f"{keys[target.name]}.lora_{part}.weight") for part in "AB")
            if down.shape != (rank, target.inputs) or up.shape != (target.outputs, rank):
                raise ValueError
            changes[target.name] = target.change(down, up)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=path) from error
    if found:
        raise CorruptArtefactError("artefact_unreadable", path=path)
    return changes


def _keys(targets: Sequence[AdapterTarget], names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield for each parameter under what PEFT keeps its change."""
    layers: dict[str, list[str]] = {}
    for target in targets:
        path = _elsewhere(target.name, names)
        if path.endswith(_MODULE):
            yield target.name, f"{_PREFIX}{path.removesuffix(_MODULE)}"
        else:
            layers.setdefault(path.rpartition(".")[0], []).append(target.name)
    for layer, inside in layers.items():
        for number, name in enumerate(inside):  # in the order of the layer
            wrapped = ".base_layer" * (len(inside) - 1 - number)
            yield name, f"{_PREFIX}{layer}{wrapped}"


def _elsewhere(name: str, names: Mapping[str, str]) -> str:
    return names.get(name, name)
