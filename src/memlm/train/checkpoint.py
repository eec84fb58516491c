"""A training on disk, so that it can go on as if it had never stopped.

    checkpoints/step-000060/  model.safetensors  optimizer.safetensors  state.safetensors
                              best.safetensors (chosen by held-out text)  state.json  manifest.json

A checkpoint appears whole (`storage.new_folder`); the one before it is kept until it has. The
newest that passes its checksums is the one that counts.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from memlm.errors import CorruptArtefactError, NotFoundError
from memlm.storage import MANIFEST, delete_folder, new_folder, read_json, verify_folder
from memlm.train.training import Training

_KEPT = 2


def save_checkpoint(folder: Path, training: Training) -> Path:
    """Write a checkpoint of `training` below `folder`, and delete all but the newest two."""
    path = folder / f"step-{training.step:06d}"
    with new_folder(path, made_from={"plan": training.plan.to_json()}) as temporary:
        save_file(_on_cpu(training.network.weights()), temporary / "model.safetensors")
        save_file(_on_cpu(training.optimizer.state()), temporary / "optimizer.safetensors")
        state = {f"carried.{i}": part.contiguous() for i, part in enumerate(training.carried)}
        save_file(state | {"random": training.random}, temporary / "state.safetensors")
        if training.best_weights is not None:
            save_file(_on_cpu(training.best_weights), temporary / "best.safetensors")
        numbers = {
            "step": training.step,
            "seconds": training.seconds,
            "recent_loss": training.recent_loss,
            "best_loss": training.best_loss if training.best_weights is not None else None,
            "best_step": training.best_step,
        }
        (temporary / "state.json").write_text(json.dumps(numbers), encoding="utf-8")
    for old in _checkpoints(folder)[_KEPT:]:
        delete_folder(old)
    return path


def load_checkpoint(folder: Path, training: Training) -> list[str]:
    """Put the newest sound checkpoint below `folder` into `training`.

    Returns the names of newer ones that were passed over because they are damaged; raises
    CorruptArtefactError if none is sound. Without any checkpoint nothing happens.
    """
    damaged: list[str] = []
    failure: CorruptArtefactError | None = None
    for path in _checkpoints(folder):
        try:
            verify_folder(path)
        except (CorruptArtefactError, NotFoundError) as error:  # its manifest may be what is gone
            damaged.append(path.name)
            lost = CorruptArtefactError("artefact_file_missing", path=path / MANIFEST)
            failure = failure or (error if isinstance(error, CorruptArtefactError) else lost)
            continue
        _restore(path, training)
        return damaged
    if failure is not None:
        raise failure
    return damaged


def _restore(path: Path, training: Training) -> None:
    device = training.device
    training.network.load_weights(load_file(path / "model.safetensors"))
    training.optimizer.load_state(load_file(path / "optimizer.safetensors"))
    state = load_file(path / "state.safetensors")
    training.carried = tuple(state[f"carried.{i}"].to(device) for i in range(len(training.carried)))
    training.random = state["random"]
    best = path / "best.safetensors"
    training.best_weights = load_file(best) if best.exists() else None
    numbers = read_json(path / "state.json")
    training.step = numbers["step"]
    training.seconds = numbers["seconds"]
    training.recent_loss = numbers["recent_loss"]
    training.best_loss = math.inf if numbers["best_loss"] is None else numbers["best_loss"]
    training.best_step = numbers["best_step"]


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints below `folder`, newest first."""
    found = [path for path in folder.glob("step-*") if path.name[5:].isdigit()]
    return sorted(found, key=lambda path: int(path.name[5:]), reverse=True)


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
