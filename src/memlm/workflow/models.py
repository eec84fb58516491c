"""Which models a workspace has, and one of them ready to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from memlm.errors import ConfigError, CorruptArtefactError, NotFoundError
from memlm.memory.counts import CountsModel
from memlm.models import Precision
from memlm.prepare import load_tokenizer
from memlm.runtime import check_device, choose_device
from memlm.storage import is_sealed, verify_folder
from memlm.workflow.listener import Listener
from memlm.workflow.opening import AnyWorkspace, as_workspace
from memlm.workspace import Workspace, is_taught, read_run

if TYPE_CHECKING:
    from memlm.language_model import LanguageModel, Tokenizer
    from memlm.models.network import Network


MEMORY = "memory"
"""Names the memory where a model is named; no model may be called so."""
_SMALL_STEPS_ON = ("auto", "cpu")
"""Devices for which a token at a time is the processor's business, a GPU here or not."""


AnyPrecision = Precision | Literal["bf16"]


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
    is_foreign: bool = False
    """Whether its network is of the Hugging Face kind."""
    written_with: dict[tuple[str | None, Precision], LanguageModel] = field(
        default_factory=dict, repr=False, compare=False
    )
    """What it last wrote with where its predictor is another, by its weights' hash and precision:
    laid down once, not with each text."""


def load_model(
    workspace: AnyWorkspace,
    name: str | None = None,
    *,
    device: str = "auto",
    writes: bool = False,
    precision: AnyPrecision = "float32",
    listener: Listener | None = None,
) -> Model:
    """Load a model of a workspace, the newest if no name is given.

    One that `writes` is stepped a token at a time, without torch, unless on a GPU that was asked
    for; it can be asked for everything else too, where that need not be fast. What is no model of
    the workspace is one of the Hugging Face kind, to be brought: the path of a folder, or a name on
    the hub, which is fetched if it is not on this machine.
    Raises NotFoundError if there is none, CorruptArtefactError if its files have changed,
    ConfigError for a device that is not here or has no such precision.
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

        if precision == "int8":
            raise ConfigError("precision_not_brought", precision=precision)
        folder = foreign_folder(opened, name, hears)
        return bring_model(opened, folder, device=device, precision=precision, listener=hears)
    folder = opened.model(name)
    verify_folder(folder)
    run = read_run(folder)
    if is_taught(run):
        if precision == "int8":
            raise ConfigError("precision_not_brought", precision=precision)
        from memlm.workflow.taught import load_taught

        return load_taught(opened, name, run, device=device, precision=precision)
    own: Precision = "float32" if precision == "bf16" else precision  # which only others compute in
    return Model(
        name=name,
        predictor=_predictor(folder, device, own, writes=writes),
        tokenizer=load_tokenizer(folder / "tokenizer.json"),
        label_counts=run["labels"],
        documents_digest=run["made_from"]["documents"],
        workspace=opened,
    )


def _predictor(folder: Path, device: str, precision: Precision, *, writes: bool) -> LanguageModel:
    check_device(device)
    if writes and device in _SMALL_STEPS_ON:
        from memlm.models.stepping import load_stepping

        return load_stepping(folder, precision=precision)
    if precision != "float32":
        raise ConfigError("precision_needs_processor", precision=precision, device=device)
    torch_device = choose_device(device)
    from memlm.models.network import load_network
    from memlm.models.network_model import NetworkModel

    return NetworkModel(load_network(folder, device=torch_device))


def writing_model(model: Model, *, precision: Precision = "float32") -> Model:
    """Return a model as what writes fastest: without torch, where it is not on a GPU."""
    from memlm.models.stepping import SteppingModel, load_stepping

    if model.is_foreign:
        if precision != "float32":
            raise ConfigError("precision_not_brought", precision=precision)
        is_so = True
    elif isinstance(model.predictor, SteppingModel):
        is_so = model.predictor.precision == precision
    else:
        is_so = isinstance(model.predictor, CountsModel) or _is_on_gpu(model, precision)
    if is_so:
        return model
    kept, key = model.written_with, (model.workspace.weights_hash(model.name), precision)
    if key not in kept:
        kept.clear()
        kept[key] = load_stepping(model.workspace.model(model.name), precision=precision)
    return replace(model, predictor=kept[key])


def _is_on_gpu(model: Model, precision: Precision) -> bool:
    device = network_of(model).device.type
    if device != "cpu" and precision != "float32":
        raise ConfigError("precision_needs_processor", precision=precision, device=device)
    return device != "cpu"


def network_of(model: Model) -> Network:
    """Return the network of a model with torch, which alone can teach it."""
    from memlm.models.network import load_network
    from memlm.models.network_model import NetworkModel

    if isinstance(model.predictor, NetworkModel):
        return model.predictor.network
    return load_network(model.workspace.model(model.name), device=choose_device("cpu"))


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


def written_models(workspace: Workspace) -> list[str]:
    """Return the names of the models that were trained here and can be asked, oldest first."""
    return [name for name in workspace.model_names() if is_sealed(workspace.model(name))]


def known_models(workspace: Workspace) -> str:
    """Return the names of the models that can be named, as part of a sentence."""
    return ", ".join(written_models(workspace)) or "—"
