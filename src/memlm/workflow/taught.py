"""Models of the Hugging Face kind that were trained further here, ready to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memlm.errors import InputError
from memlm.models.foreign import Foreign, read_foreign
from memlm.models.foreign_shape import ADAPTER_FOLDER, HUGGINGFACE_FOLDER
from memlm.prepare import load_tokenizer
from memlm.runtime import choose_device, require_package
from memlm.workflow.models import Model
from memlm.workflow.teaching import place_again
from memlm.workspace import Workspace, is_adapter


def load_taught(
    workspace: Workspace,
    name: str,
    run: Mapping[str, Any],  # Any: JSON
    *,
    device: str,
    precision: str,
) -> Model:
    """Return a model that was taught: its own weights, or those it began with and what was learned.

    Raises NotFoundError where these are gone, InputError where they have changed.
    """
    require_package("transformers", extra="hf")
    import torch

    from memlm.models.huggingface import adapter_targets, load_huggingface
    from memlm.models.peft_folder import read_changes

    folder, foreign = workspace.model(name), read_taught(workspace, name, run)
    loaded = load_huggingface(foreign, device=choose_device(device), precision=precision)
    if is_adapter(run):
        network = loaded.model.network
        changes = read_changes(folder / ADAPTER_FOLDER, adapter_targets(network))
        with torch.no_grad():
            for matrix, change in changes.items():
                network.get_parameter(matrix).add_(change.to(network.device))
    return Model(
        name=name,
        predictor=loaded.model,
        tokenizer=load_tokenizer(folder / "tokenizer.json"),
        label_counts={},
        documents_digest=run["made_from"]["documents"],
        workspace=workspace,
        is_foreign=True,
    )


def read_taught(
    workspace: Workspace,
    name: str,
    run: Mapping[str, Any],  # Any: JSON
) -> Foreign:
    """Return the folder of a taught model; of an adapter, that of the model beneath it."""
    if not is_adapter(run):
        return read_foreign(workspace.model(name) / HUGGINGFACE_FOLDER)
    foreign = read_foreign(place_again(workspace, run["origin"]))
    if foreign.weights_hash != run["origin"]["weights"]:
        raise InputError("origin_changed", path=run["origin"]["model"])
    return foreign
