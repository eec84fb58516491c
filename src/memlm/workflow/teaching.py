"""Teach: a training that begins with a model, one of the workspace or one that is brought.

What it begins with is noted in `run.json` so that it can be found again, whatever is called by its
name by then: a model of the workspace by its name, a folder by its path from the workspace, both
with the hash of their weights.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from memlm.errors import ConfigError, InputError, NotFoundError
from memlm.models.foreign import is_foreign
from memlm.models.foreign_shape import HUGGINGFACE_FOLDER
from memlm.models.hub import cached_folder, is_hub_name
from memlm.prepare import PrepareConfig, TokenStore
from memlm.storage import verify_folder
from memlm.workflow.bringing import foreign_folder
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, Model, load_model
from memlm.workflow.own_tokens import cuts_as
from memlm.workspace import Workspace, is_adapter, read_run

if TYPE_CHECKING:
    from memlm.train import TrainConfig
    from memlm.train.origin import Origin


def check_teaching(
    config: TrainConfig, prepare: PrepareConfig | None, begin_with: str | None
) -> None:
    """Raise ConfigError for options that need a model to begin with, or that one decides."""
    if begin_with is None:
        if config.adapter != "none" or config.adapter_rank is not None:
            raise ConfigError("adapter_needs_from")
        return
    for option, value in (
        ("--tokenizer", prepare and prepare.tokenizer),
        ("--vocabulary-size", prepare and prepare.vocabulary_size),
    ):
        if value is not None:
            raise ConfigError("options_exclude", one=option, other="--from")
    config.check_begun(is_foreign=False)


def teaching_origin(
    workspace: Workspace, model: Model, begin_with: str, config: TrainConfig
) -> Origin:
    """Return a model, as it was loaded by the name that a person gave, to begin with."""
    if not model.is_foreign:
        return _own(workspace, model.name)
    config.check_begun(is_foreign=True)
    from memlm.train.brought import Brought

    if workspace.has_written_model(model.name):  # one that was taught here before
        if is_adapter(read_run(workspace.model(model.name))):
            raise InputError("origin_is_adapter", model=model.name)
        folder = workspace.model(model.name) / HUGGINGFACE_FOLDER
        return Brought(folder, _place(workspace, folder))
    folder = foreign_folder(workspace, begin_with, Listener())
    is_path = is_foreign(Path(begin_with).expanduser())
    place = _place(workspace, folder) if is_path else begin_with
    return Brought(folder, place)


def origin_again(workspace: Workspace, about: Mapping[str, Any] | None) -> Origin:
    """Return what a training that is taken up, or an adapter, had begun with.

    Raises NotFoundError where it is gone, InputError where it has changed.
    """
    from memlm.train.origin import Origin

    if about is None:
        return Origin()
    if about["kind"] == "memlm":
        if not workspace.has_written_model(about["model"]):
            raise NotFoundError("origin_missing", model=about["model"], place=about["model"])
        found: Origin = _own(workspace, about["model"])
    else:
        from memlm.train.brought import Brought

        found = Brought(place_again(workspace, about), about["place"])
    if (found.about() or {})["weights"] != about["weights"]:
        raise InputError("origin_changed", path=about["model"])
    return found


def check_same_origin(
    workspace: Workspace,
    about: Mapping[str, Any] | None,  # Any: JSON
    begin_with: str | None,
) -> None:
    """Raise ConfigError where a training that is taken up had begun with another model than said.

    A file of options says it again each time.
    """
    if begin_with is None:
        return
    known = {about["model"], about.get("place")} if about else set()
    path = Path(begin_with).expanduser()
    if begin_with in known or (is_foreign(path) and _place(workspace, path) in known):
        return
    then = about["model"] if about else "none"
    raise ConfigError("resume_changed", changes=f"--from {then} -> {begin_with}")


def place_again(workspace: Workspace, about: Mapping[str, Any]) -> Path:
    """Return the folder of a brought model that was trained from; NotFoundError if it is gone."""
    place = str(about["place"])
    folder = workspace.path / place
    if is_foreign(folder):
        return folder
    cached = cached_folder(place) if is_hub_name(place) else None
    if cached is None:
        raise NotFoundError("origin_missing", model=about["model"], place=folder)
    return cached


def check_tokens(model: Model, origin: Origin, store: TokenStore, listener: Listener) -> None:
    """Raise InputError where tokens are not a model's; say where it has read what is held out."""
    if not cuts_as(model, store.folder.name):
        raise InputError("teaching_other_tokens", model=model.name)
    numbers = np.unique(store.units_of("held_out")["document"])
    held_out = np.array([int(store.document_ids[number], 16) for number in numbers], dtype="<u8")
    also = np.setdiff1d(held_out, _numbers_on_both_sides(store))
    both = np.intersect1d(also, origin.documents)
    if len(both):
        listener.note("origin_has_read", model=model.name, count=len(both))


def _numbers_on_both_sides(store: TokenStore) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return the ids of documents of which a part is learned and a part held out."""
    learned, held_out = (store.units_of(split)["document"] for split in ("train", "held_out"))
    both = np.intersect1d(learned, held_out)
    return np.array([int(store.document_ids[number], 16) for number in both], dtype="<u8")


def _own(workspace: Workspace, name: str) -> Origin:
    from memlm.models.exporting.folder import read_model_config
    from memlm.train.origin import TrainedHere

    folder = workspace.model(name)
    manifest = verify_folder(folder)
    weights_hash = str(manifest["files"]["model.safetensors"]["sha256"])
    return TrainedHere(folder, read_model_config(folder), weights_hash)


def _place(workspace: Workspace, folder: Path) -> str:
    """Return the path from the workspace to a folder, which holds where both are moved together."""
    try:
        return Path(os.path.relpath(folder.resolve(), workspace.path.resolve())).as_posix()
    except ValueError:  # on another drive
        return folder.name


def model_to_teach(workspace: Workspace, begin_with: str, listener: Listener) -> Model:
    """Load the model that a person named to begin with; the memory alone is none."""
    if begin_with == MEMORY:
        raise ConfigError("origin_is_memory")
    return load_model(workspace, begin_with, device="cpu", listener=listener)
