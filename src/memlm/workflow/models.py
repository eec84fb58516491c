"""Which models a workspace has, and one of them ready to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from memlm.errors import CorruptArtefactError, NotFoundError
from memlm.prepare import load_tokenizer
from memlm.runtime import choose_device
from memlm.storage import read_json, verify_folder
from memlm.workflow.opening import AnyWorkspace, as_workspace
from memlm.workspace import Workspace

if TYPE_CHECKING:
    from memlm.language_model import LanguageModel, Tokenizer


@dataclass(frozen=True)
class Model:
    """A trained model with its tokenizer, ready to be asked."""

    name: str
    predictor: LanguageModel
    tokenizer: Tokenizer
    label_counts: Mapping[str, int]
    """Training documents of each label."""
    documents_digest: str
    """What the documents were when it was trained."""


def load_model(workspace: AnyWorkspace, name: str | None = None, *, device: str = "auto") -> Model:
    """Load a model of a workspace, the newest if no name is given.

    Raises NotFoundError if there is none, CorruptArtefactError if its files have changed.
    """
    opened = as_workspace(workspace)
    if name is None:
        name = next(iter(reversed(usable_models(opened))), None)
        if name is None:
            raise NotFoundError("no_model", path=opened.path)
    elif not (opened.model(name) / "manifest.json").exists():
        raise NotFoundError("model_missing", model=name, known=known_models(opened))
    torch_device = choose_device(device)
    from memlm.models.network import NetworkModel, load_network

    folder = opened.model(name)
    verify_folder(folder)
    run = read_json(folder / "run.json")
    try:
        label_counts, documents = run["labels"], run["made_from"]["documents"]
    except (KeyError, TypeError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=folder / "run.json") from error
    return Model(
        name=name,
        predictor=NetworkModel(load_network(folder, device=torch_device)),
        tokenizer=load_tokenizer(folder / "tokenizer.json"),
        label_counts=label_counts,
        documents_digest=documents,
    )


def usable_models(workspace: Workspace) -> list[str]:
    """Return the names of the models that can be asked, oldest first."""
    names = workspace.model_names()
    return [name for name in names if (workspace.model(name) / "manifest.json").exists()]


def known_models(workspace: Workspace) -> str:
    """Return the same as part of a sentence."""
    return ", ".join(usable_models(workspace)) or "—"
