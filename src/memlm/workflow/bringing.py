"""Bring a model: one of somebody else's, in a folder or by its name on the hub, ready to be asked.

What memlm computes for it lies in the workspace, under the name of its folder and some of its hash;
nothing is ever written into the folder itself, and no path is kept.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from memlm.errors import ConfigError, InputError, NotFoundError
from memlm.models.foreign import Foreign, is_foreign, read_foreign
from memlm.models.foreign_shape import ADAPTER_CONFIG
from memlm.models.foreign_weights import not_finite, shown
from memlm.models.hub import cached_folder, fetch_folder, is_hub_name
from memlm.prepare import ForeignTokenizer, foreign_tokenizer
from memlm.runtime import choose_device, require_package
from memlm.storage import new_folder, write_json
from memlm.workflow.listener import Listener
from memlm.workflow.models import Model, known_models
from memlm.workflow.opening import documents_of
from memlm.workspace import BROUGHT_FILE, Workspace

if TYPE_CHECKING:
    from memlm.models.huggingface import Loaded

_MOST_LISTED = 3


def foreign_folder(workspace: Workspace, name: str, listener: Listener) -> Path:
    """Return the folder of the model that is named: by a path, or by its name on the hub.

    It is fetched where the name has an owner (`owner/model`) and it is not on this machine.
    Raises NotFoundError where there is none, ResourceError where it cannot be fetched.
    """
    path = _expanded(name)
    if is_foreign(path):
        return path
    if workspace.is_brought(name):
        raise ConfigError("brought_by_folder", model=name)
    _refuse_what_is_no_model(name, path)
    if not is_hub_name(name):
        if name.startswith(("~", ".")) or os.sep in name or path.exists():
            raise NotFoundError("model_folder_missing", path=path)
        workspace.model(name)  # says that this is no name of a model
    found = cached_folder(name) if is_hub_name(name) else None
    if found is not None:
        return found
    if "/" in name and path.parent.is_dir():  # so a folder in it was meant
        raise NotFoundError("model_folder_missing", path=path)
    if "/" not in name:  # a slip of the pen is no reason to ask the network
        raise NotFoundError("model_missing", model=name, known=known_models(workspace))
    listener.note("downloading", model=name)
    return fetch_folder(name)


def _refuse_what_is_no_model(name: str, path: Path) -> None:
    """Raise where there is something at a path that can be no model, saying what it is."""
    if not name.strip():
        raise NotFoundError("model_unnamed")
    if path.is_file():
        raise InputError("model_path_is_file", path=path, folder=path.parent)
    if (path / ADAPTER_CONFIG).is_file():
        raise InputError("model_path_is_adapter", path=path)
    if path.is_dir() and "/" not in name:  # which the hub's names have
        raise NotFoundError("model_path_is_empty", path=path)


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # `~nobody`: there is no such person
        return Path(name)


def bring_model(
    workspace: Workspace, folder: Path, *, device: str, precision: str, listener: Listener
) -> Model:
    """Return the model in a folder, read as untrusted; see `models/foreign.py`."""
    require_package("transformers", extra="hf")
    torch_device = choose_device(device)
    from memlm.models.huggingface import load_huggingface

    foreign = read_foreign(folder)
    loaded = load_huggingface(foreign, device=torch_device, precision=precision)
    model = loaded.model
    tokenizer = foreign_tokenizer(
        foreign.tokenizer,
        name=foreign.name,
        size=model.vocabulary_size,
        end=model.beginning.end,
        model_size=model.size,
    )
    if not workspace.is_brought(foreign.name):
        _say_what_it_is(foreign, loaded, tokenizer, listener)
        _keep(workspace, foreign, loaded, tokenizer)
    digest = ""
    if workspace.documents_file.exists():
        with documents_of(workspace) as store:
            digest = store.digest()  # it learned from none: none makes it stale
    return Model(
        name=foreign.name,
        predictor=model,
        tokenizer=tokenizer,
        label_counts={},
        documents_digest=digest,
        workspace=workspace,
        is_foreign=True,
    )


def in_windows(model: Model, window: int | None) -> tuple[Model, int | None]:
    """Return a brought model that reads in windows of so many tokens, and how many they are.

    None: as many as are usual for it. Raises ConfigError for more than it can read.
    """
    from memlm.models.huggingface import HuggingFaceModel

    predictor = model.predictor
    if not isinstance(predictor, HuggingFaceModel):
        return model, window
    if window is None or window == predictor.context:
        return model, predictor.context
    if predictor.longest is not None and window > predictor.longest:
        values = {"value": window, "most": predictor.longest, "model": model.name}
        raise ConfigError("window_too_long", option="--window", **values)
    return replace(model, predictor=predictor.in_windows(window)), window


def _say_what_it_is(
    foreign: Foreign, loaded: Loaded, tokenizer: ForeignTokenizer, listener: Listener
) -> None:
    listener.note(
        "brought",
        model=foreign.name,
        kind=loaded.kind,
        parameters=loaded.parameters,
        count=len(loaded.dropped),
    )
    if loaded.unused:
        names = _listed(loaded.unused)
        listener.note("foreign_unused", count=len(loaded.unused), model=foreign.name, names=names)
    if broken := not_finite(foreign.weights):
        listener.note("foreign_not_finite", model=foreign.name, names=_listed(broken))
    if not tokenizer.is_lossless:
        listener.note("foreign_lossy", model=foreign.name)


def _listed(names: list[str] | tuple[str, ...]) -> str:
    listed = ", ".join(map(shown, names[:_MOST_LISTED]))
    return f"{listed}, …" if len(names) > _MOST_LISTED else listed


def _keep(
    workspace: Workspace, foreign: Foreign, loaded: Loaded, tokenizer: ForeignTokenizer
) -> None:
    """Make the folder for what is computed of a model."""
    about = {
        "kind": loaded.kind,
        "parameters": loaded.parameters,
        "context": loaded.model.longest,
    }
    made_from = {"weights": foreign.weights_hash}
    with (
        workspace.writing(),
        new_folder(workspace.model(foreign.name), made_from=made_from) as temporary,
    ):
        write_json(temporary / BROUGHT_FILE, about)
        write_json(temporary / "tokenizer.json", tokenizer.to_json())
        (temporary / "documents.bin").write_bytes(b"")  # it learned from none of them, that we know
