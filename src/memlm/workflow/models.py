"""Which models a workspace has, and one of them ready to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from memlm.errors import CorruptArtefactError, NotFoundError
from memlm.prepare import load_tokenizer
from memlm.runtime import choose_device
from memlm.storage import is_sealed, verify_folder
from memlm.workflow.listener import Listener
from memlm.workflow.opening import AnyWorkspace, as_workspace
from memlm.workspace import Workspace, read_run

if TYPE_CHECKING:
    from memlm.language_model import LanguageModel, Tokenizer


MEMORY = "memory"
"""Names the memory where a model is named; no model may be called so."""


@dataclass(frozen=True)
class Model:
    """A trained model, or a memory, with its tokenizer, ready to be asked."""

    name: str
    predictor: LanguageModel
    tokenizer: Tokenizer
    label_counts: Mapping[str, int]
    """Training documents of each label."""
    documents_digest: str
    """What the documents were when it was trained."""
    workspace: Workspace
    """Where it lies."""


def load_model(
    workspace: AnyWorkspace,
    name: str | None = None,
    *,
    device: str = "auto",
    precision: Literal["float32", "bf16"] = "float32",
    listener: Listener | None = None,
) -> Model:
    """Load a model of a workspace, the newest if no name is given.

    What is no model of the workspace is one of the Hugging Face kind, to be brought: the path of a
    folder, or a name on the hub, which is fetched if it is not on this machine; it computes in
    `precision`. Raises NotFoundError if there is none, CorruptArtefactError if its files have
    changed.
    """
    opened, hears = as_workspace(workspace), listener or Listener()
    if name is None:
        name = newest_model(opened, hears)
        if name is None:
            raise NotFoundError("no_model", path=opened.path)
    elif not opened.has_written_model(name):
        from memlm.workflow.bringing import (  # here, since bringing makes a model of this file
            bring_model,
            foreign_folder,
        )

        folder = foreign_folder(opened, name, hears)
        return bring_model(opened, folder, device=device, precision=precision, listener=hears)
    torch_device = choose_device(device)
    from memlm.models.network import NetworkModel, load_network

    folder = opened.model(name)
    verify_folder(folder)
    run = read_run(folder)
    return Model(
        name=name,
        predictor=NetworkModel(load_network(folder, device=torch_device)),
        tokenizer=load_tokenizer(folder / "tokenizer.json"),
        label_counts=run["labels"],
        documents_digest=run["made_from"]["documents"],
        workspace=opened,
    )


def newest_model(workspace: Workspace, listener: Listener) -> str | None:
    """Return the name of the newest model that can be asked; None if there is none.

    Raises CorruptArtefactError where all that there are have damaged records.
    """
    found = sound_runs(workspace, listener)
    for name, _ in found[::-1]:
        if is_sealed(workspace.model(name)):
            return name
    names = workspace.model_names()
    if names and not found:
        read_run(workspace.model(names[-1]))
    return None


def sound_runs(
    workspace: Workspace, listener: Listener
) -> list[tuple[str, dict[str, Any]]]:  # Any: JSON values
    """Return the name of every model and its `run.json`, oldest first.

    A damaged one is left out, and that is said.
    """
    found: list[tuple[str, dict[str, Any]]] = []  # Any: as above
    for name in workspace.model_names():
        try:
            found.append((name, read_run(workspace.model(name))))
        except CorruptArtefactError:
            listener.note("model_damaged", model=name)
    return found


def known_models(workspace: Workspace) -> str:
    """Return the names of the models that can be named, as part of a sentence."""
    names = [name for name in workspace.model_names() if is_sealed(workspace.model(name))]
    return ", ".join(names) or "—"
