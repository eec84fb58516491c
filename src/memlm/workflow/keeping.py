"""Keep house among the models of a workspace: rename one, delete one, prune checkpoints.

All of it holds the lock, so that no model is touched while it is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from memlm.errors import ConfigError, CorruptArtefactError, NotFoundError
from memlm.records import PruneReport
from memlm.storage import (
    delete_folder,
    is_sealed,
    rename_folder,
    size_on_disk,
    verify_folder,
    write_json,
)
from memlm.workflow.opening import AnyWorkspace, as_workspace
from memlm.workspace import Workspace, find_checkpoints, name_latest, read_run


def rename_model(workspace: AnyWorkspace, old: str, new: str) -> None:
    """Give a model another name; whatever lies in its folder goes with it.

    Raises NotFoundError if there is none, InputError if `new` cannot be a name, ConfigError if it
    is taken.
    """
    opened = as_workspace(workspace)
    with opened.writing():
        folder, target = _folder_of(opened, old), opened.model(new)
        if opened.has_model(new):
            raise ConfigError("model_name_taken", model=new, path=opened.path)
        delete_folder(target)  # what a start that failed has left there, if anything
        rename_folder(folder, target)


def delete_model(
    workspace: AnyWorkspace,
    name: str,
    *,
    may_delete: Callable[[int], bool] = lambda size_bytes: True,
) -> int | None:
    """Delete a model with its checkpoints and what is remembered of its states.

    Returns the bytes that this freed.

    `may_delete` is told how many those will be; where it says no, nothing goes and it is None.
    """
    opened = as_workspace(workspace)
    with opened.writing():
        folder = _folder_of(opened, name)
        states = opened.vector_memories()
        doomed = [folder, *(one for one in states if opened.models_with_states(one) == [name])]
        size_bytes = sum(map(size_on_disk, doomed))
        if not may_delete(size_bytes):
            return None
        for one in reversed(doomed):
            delete_folder(one)
        return size_bytes


def prune_checkpoints(
    workspace: AnyWorkspace,
    name: str | None = None,
    *,
    may_prune: Callable[[PruneReport], bool] = lambda plan: True,
) -> PruneReport:
    """Delete the checkpoints of one model, or of all, that are no longer needed.

    Where the model is written, after a stop too, all of them go, and the training cannot go on. A
    training that crashed or diverged keeps its newest sound one, which may be all there is of it.
    `may_prune` is told what will go; where it says no, nothing does.
    """
    opened = as_workspace(workspace)
    with opened.writing():
        names = opened.model_names() if name is None else [_folder_of(opened, name).name]
        doomed = {one: found for one in names if (found := _superfluous(opened.model(one)))}
        plan = PruneReport(
            models=tuple(doomed),
            checkpoints=sum(map(len, doomed.values())),
            bytes=sum(size_on_disk(path) for found in doomed.values() for path in found),
        )
        if not doomed or not may_prune(plan):
            return PruneReport(models=(), checkpoints=0, bytes=0)
        for one, found in doomed.items():
            _prune(opened.model(one), found)
        return plan


def _folder_of(workspace: Workspace, name: str) -> Path:
    """Return the folder of a model, finished or not; NotFoundError if there is none."""
    folder = workspace.model(name)
    if not folder.is_dir():
        known = ", ".join(workspace.model_names()) or "—"
        raise NotFoundError("model_missing", model=name, known=known)
    return folder


def _superfluous(folder: Path) -> list[Path]:
    """Return the checkpoints of a model that can go."""
    found = find_checkpoints(folder / "checkpoints")
    if not found or _is_written(folder):
        return found
    kept = next((path for path in found if _is_sound(path)), None)
    return [path for path in found if path != kept] if kept is not None else []


def _is_written(folder: Path) -> bool:
    """Say whether the model is what its training came to, not what an earlier stop left."""
    try:
        return is_sealed(folder) and read_run(folder)["status"] in ("stopped", "finished")
    except CorruptArtefactError:
        return False


def _is_sound(checkpoint: Path) -> bool:
    try:
        verify_folder(checkpoint)
    except (CorruptArtefactError, NotFoundError):
        return False
    return True


def _prune(folder: Path, doomed: Sequence[Path]) -> None:
    checkpoints = folder / "checkpoints"
    kept = [path for path in find_checkpoints(checkpoints) if path not in doomed]
    if not kept:
        # Said first: a training that has lost its checkpoints would begin again from nothing.
        write_json(folder / "run.json", read_run(folder) | {"status": "finished"})
        delete_folder(checkpoints)
        return
    name_latest(kept[0])
    for path in doomed:
        delete_folder(path)
