"""A training on disk, so that it can go on as if it had never stopped.

    checkpoints/latest        the name of the newest, for people and scripts
    checkpoints/step-000060/  model.safetensors  optimizer.safetensors  state.safetensors
                              best.safetensors (chosen by held-out text)  average.safetensors
                              state.json  manifest.json (with the plan in force)

A checkpoint appears whole (`storage.new_folder`); only then does `latest` name it, and only after
that are older ones deleted. The newest that passes its checksums is the one that counts.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from memlm.errors import CorruptArtefactError, NotFoundError
from memlm.models.tensor_file import save_tensors
from memlm.runtime import describe_machine, require_free_disk
from memlm.storage import (
    MANIFEST,
    delete_folder,
    machine_errors,
    new_folder,
    read_json,
    retried,
    verify_folder,
)
from memlm.train.distributed import lanes_of
from memlm.train.plan import TrainPlan
from memlm.train.training import Training
from memlm.workspace import find_checkpoints, name_latest

_KEPT = 2
_ROOM = 1.2  # times the size of the tensors: the disk must have that free


@dataclass(frozen=True)
class Found:
    """What a training was taken up from."""

    damaged: tuple[str, ...] = ()
    """Names of newer checkpoints that were passed over."""
    machine: dict[str, Any] | None = None  # Any: JSON values
    """The machine that wrote it (`runtime.describe_machine`); None where there was none."""


def save_checkpoint(folder: Path, training: Training) -> Path:
    """Write a checkpoint of `training` below `folder`, and delete all but the newest two.

    One that is written while the loss is absurd deletes none: the others may be all that is good.
    All processes of a training call it, and the first writes what all of them carry. Raises
    ResourceError where the disk has no room or does not take it; the checkpoints that were there
    are then as they were.
    """
    path = folder / f"step-{training.step:06d}"
    tensors = _tensors(training)
    training.processes.first_does(lambda: _save(path, training, tensors))
    return path


def _save(path: Path, training: Training, tensors: dict[str, dict[str, Tensor]]) -> None:
    folder = path.parent
    size = sum(value.nbytes for part in tensors.values() for value in part.values())
    with machine_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        require_free_disk(folder, size_bytes=_ROOM * size)
    retried(lambda: _write(path, training, tensors))
    name_latest(path)
    found = find_checkpoints(folder)
    # A training that went on from an older one has passed over those that seem newer: damaged.
    ahead = [other for other in found if _step(other) > training.step]
    kept = len(found) if training.steps_astray else len(ahead) + _KEPT
    for old in [*ahead, *found[kept:]]:
        delete_folder(old)


def delete_unproven(folder: Path, training: Training) -> list[Path]:
    """Delete the checkpoints of a training that diverged whose weights led to that.

    Returns those that are left, newest first.
    """
    found = find_checkpoints(folder)
    kept = [path for path in found if _step(path) <= training.proven_step]
    if kept:
        name_latest(kept[0])
    for path in found:
        if path not in kept:
            delete_folder(path)
    return kept


def load_checkpoint(folder: Path, training: Training) -> Found:
    """Put the newest sound checkpoint below `folder` into `training`, with the plan in force then.

    Raises CorruptArtefactError if none is sound. Without any checkpoint nothing happens.
    """
    damaged: list[str] = []
    failure: CorruptArtefactError | None = None
    for path in find_checkpoints(folder):
        try:
            manifest = verify_folder(path)
        except (CorruptArtefactError, NotFoundError) as error:  # its manifest may be what is gone
            damaged.append(path.name)
            lost = CorruptArtefactError("artefact_file_missing", path=path / MANIFEST)
            failure = failure or (error if isinstance(error, CorruptArtefactError) else lost)
            continue
        training.plan = TrainPlan.from_json(manifest["made_from"]["plan"], path=path / MANIFEST)
        return Found(tuple(damaged), _restore(path, training))
    if failure is not None:
        raise failure
    return Found()


def _tensors(training: Training) -> dict[str, dict[str, Tensor]]:
    """Return the tensors of a training by the file that keeps them."""
    state = {
        f"carried.{number}": training.processes.gather_lanes(part, training.num_lanes)
        for number, part in enumerate(training.carried)
    }
    found = {
        "model.safetensors": training.network.weights(),
        "optimizer.safetensors": training.optimizer.state(),
        "state.safetensors": state | _generators(training),
    }
    if training.best_weights is not None:
        found["best.safetensors"] = training.best_weights
    if training.averages is not None:
        found["average.safetensors"] = training.averages
    return found


def _generators(training: Training) -> dict[str, Tensor]:
    """Return the state of each process's generator; the first one's carries no number."""
    found = training.processes.gather_each(training.random)
    return {_generator_of(rank): state for rank, state in enumerate(found)}


def _generator_of(rank: int) -> str:
    return f"generator.dropout.{rank}" if rank else "generator.dropout"


def _write(path: Path, training: Training, tensors: dict[str, dict[str, Tensor]]) -> None:
    numbers = {
        "step": training.step,
        "seconds": training.seconds,
        "recent_loss": training.recent_loss,
        "best_loss": training.best_loss if training.best_weights is not None else None,
        "best_step": training.best_step,
        "validations_in_vain": training.validations_in_vain,
        "steps_astray": training.steps_astray,
        "machine": describe_machine(
            training.plan.threads, device=training.device, processes=training.processes.size
        ),
    }
    with new_folder(path, made_from={"plan": training.plan.to_json()}) as temporary:
        for name, part in tensors.items():
            save_tensors(part, temporary / name)
        (temporary / "state.json").write_text(json.dumps(numbers), encoding="utf-8")


def _restore(path: Path, training: Training) -> dict[str, Any]:  # Any: JSON values
    device = training.device
    training.network.load_weights(load_file(path / "model.safetensors"))
    training.optimizer.load_state(load_file(path / "optimizer.safetensors"))
    state = load_file(path / "state.safetensors")
    # Copied, because a loaded tensor begins anywhere in memory, and the last bits of a product may
    # depend on where its factors begin.
    carried = [state[f"carried.{number}"] for number in range(len(training.carried))]
    training.num_lanes = carried[0].shape[1]
    mine = lanes_of(carried, training.processes.lanes(training.num_lanes))
    training.carried = tuple(part.to(device, copy=True) for part in mine)
    training.best_weights = _optional(path / "best.safetensors", device)
    training.averages = _optional(path / "average.safetensors", device)
    numbers = read_json(path / "state.json")
    training.step = numbers["step"]
    training.seconds = numbers["seconds"]
    training.recent_loss = numbers["recent_loss"]
    training.best_loss = math.inf if numbers["best_loss"] is None else numbers["best_loss"]
    training.best_step = numbers["best_step"]
    training.validations_in_vain = numbers["validations_in_vain"]
    training.steps_astray = numbers.get("steps_astray", 0)  # an older memlm did not count them
    training.proven_step = training.step - training.steps_astray - 1
    _restore_generator(training, state)
    machine: dict[str, Any] = numbers["machine"]  # Any: as above
    return machine


def _restore_generator(training: Training, state: dict[str, Tensor]) -> None:
    processes = training.processes
    own = state.get(_generator_of(processes.rank))
    written = sum(name.startswith("generator.dropout") for name in state)
    # Another kind of device has other generators, and other processes have other lanes.
    is_ours = own is not None and own.shape == training.random.shape
    if own is None or not is_ours or written != processes.size:
        own = training.fresh_randomness(training.step)
    training.random = own


def _optional(path: Path, device: torch.device) -> dict[str, Tensor] | None:
    if not path.exists():
        return None
    return {name: value.to(device, copy=True) for name, value in load_file(path).items()}


def _step(path: Path) -> int:
    return int(path.name[5:])
