"""Take a model away: a folder that `transformers` loads, with its tokenizer and a model card."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memlm.errors import InputError, NotFoundError
from memlm.messages import render
from memlm.models.exporting.folder import (
    read_model_config,
    write_model_files,
    write_modelling_files,
)
from memlm.models.exporting.modelling import OWN_KIND
from memlm.models.exporting.qwen3 import qwen3_lacks
from memlm.models.foreign_shape import (
    ADAPTER_CONFIG,
    ADAPTER_FOLDER,
    ADAPTER_WEIGHTS,
    AnyShape,
)
from memlm.prepare import library_tokenizer
from memlm.records import ModelExportReport
from memlm.storage import growing_folder, machine_errors, read_json, verify_folder, write_json
from memlm.workflow.asking import generate_text
from memlm.workflow.listener import Listener
from memlm.workflow.model_card import CardFacts, Recited, model_card
from memlm.workflow.models import Model, known_models, load_model, newest_model
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of
from memlm.workflow.taught import read_taught
from memlm.workspace import Workspace, is_adapter, read_run

_SAMPLES, _SAMPLE_TOKENS = 8, 200
_LANGUAGE_SHARE = 0.05  # of the documents, for a language to be named


def export_model(
    workspace: AnyWorkspace,
    folder: Path | str | None = None,
    *,
    model: str | None = None,
    listener: Listener | None = None,
) -> ModelExportReport:
    """Write a model, the newest if none is named, into a new folder that `transformers` loads.

    The folder is named after the model if not given. Transformers come in the layout of Qwen3;
    other networks need `register_transformers` first, or `trust_remote_code=True`. Raises
    InputError where the folder has files already or the tokenizer cannot be expressed.
    """
    opened, hears = as_workspace(workspace), listener or Listener()
    if model is not None:
        _check_trained_here(opened, model)
    found = load_model(opened, model, device="cpu", listener=hears)
    target = _free_folder(found.name, folder)
    run = read_run(opened.model(found.name))
    write, network, layout = (_taught if found.is_foreign else _ours)(opened, found, hears)
    recited = _recited(opened, found, hears)
    facts = CardFacts(
        name=found.name,
        network=network,
        layout=layout,
        tokenizer=found.tokenizer.name,
        results=run.get("results") or {},
        origin=run.get("origin"),
        recited=recited,
        **_data(opened, found),
    )
    with growing_folder(target) as temporary:
        write(temporary)
        (temporary / "README.md").write_text(model_card(facts), encoding="utf-8")
    return ModelExportReport(
        model=found.name,
        layout=layout,
        parameters=network.num_parameters,
        recited_share=recited.recited if recited else None,
        folder=str(target),
    )


def export_adapter(
    workspace: AnyWorkspace,
    folder: Path | str | None = None,
    *,
    model: str | None = None,
    listener: Listener | None = None,
) -> ModelExportReport:
    """Write the adapter of a model, the newest if none is named, into a new folder for PEFT.

    Raises InputError where the model was not learned as one, or the folder has files already.
    """
    opened, hears = as_workspace(workspace), listener or Listener()
    name = model or newest_model(opened, hears)
    if name is None:
        raise NotFoundError("no_model", path=opened.path)
    _check_trained_here(opened, name)
    source = opened.model(name)
    verify_folder(source)
    run, target = read_run(source), _free_folder(name, folder)
    if not is_adapter(run):
        raise InputError("export_no_adapter", model=name)
    with growing_folder(target) as temporary:
        for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
            shutil.copyfile(source / ADAPTER_FOLDER / file, temporary / file)
    return ModelExportReport(
        model=name,
        layout="peft",
        parameters=_num_numbers(target / ADAPTER_WEIGHTS),
        recited_share=None,
        folder=str(target),
    )


_Parts = tuple[Callable[[Path], None], AnyShape, str]
"""What writes a model's files into a folder, its shape, and its layout."""


def _ours(workspace: Workspace, model: Model, listener: Listener) -> _Parts:
    source, tokenizer = workspace.model(model.name), library_tokenizer(model.tokenizer)
    network = read_model_config(source)
    lacking = qwen3_lacks(network)
    if lacking not in (None, "blocks"):
        listener.note("export_not_qwen3", lacking=render(f"lacks.{lacking}"))

    def write(folder: Path) -> None:
        write_model_files(source, folder)
        write_json(folder / "tokenizer.json", tokenizer.tokenizer)
        write_json(folder / "tokenizer_config.json", tokenizer.config)

    return write, network, "memlm" if lacking else "qwen3"


def _taught(workspace: Workspace, model: Model, listener: Listener) -> _Parts:
    """Return the parts of a model of the Hugging Face kind, an adapter merged into its weights."""
    from memlm.models.huggingface import HuggingFaceModel, foreign_shape, save_network

    assert isinstance(model.predictor, HuggingFaceModel)
    network = model.predictor.network
    foreign = read_taught(workspace, model.name, read_run(workspace.model(model.name)))
    is_own_kind = foreign.config["model_type"] == OWN_KIND

    def write(folder: Path) -> None:
        save_network(network, foreign, folder)
        if is_own_kind:  # an exported model of ours that was taught
            write_modelling_files(folder)

    layout = "memlm" if is_own_kind else "huggingface"
    return write, foreign_shape(model.predictor), layout


def _num_numbers(file: Path) -> int:
    from safetensors.numpy import load_file

    return sum(int(values.size) for values in load_file(file).values())


def _free_folder(name: str, folder: Path | str | None) -> Path:
    """Return the folder that is to be written: the one that was named, or one like the model."""
    target = Path(name) if folder is None else Path(folder).expanduser()
    _check_free(target)
    return target


def _check_trained_here(workspace: Workspace, name: str) -> None:
    """Raise before a model of somebody else's is read, or fetched: it needs no taking away."""
    if workspace.has_written_model(name):
        return
    if "/" in name or workspace.is_brought(name) or Path(name).exists():
        raise InputError("export_brought", model=name)
    raise NotFoundError("model_missing", model=name, known=known_models(workspace))


def _check_free(folder: Path) -> None:
    with machine_errors(folder):
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise InputError("export_folder_taken", path=folder)


def _data(workspace: Workspace, model: Model) -> dict[str, Any]:  # Any: fields of the card
    """Return the documents that the model learned from, and what is known of all of them."""
    ids = workspace.model(model.name) / "documents.bin"
    learned = ids.stat().st_size // 8 if ids.exists() else None
    found: dict[str, Any] = {"documents": learned, "characters": None, "languages": ()}  # Any: same
    if not workspace.documents_file.exists():
        return found
    with documents_of(workspace) as store:
        if store.digest() != model.documents_digest:  # others by now
            return found
        return found | {"characters": store.characters(), "languages": _languages(workspace)}


def _languages(workspace: Workspace) -> tuple[str, ...]:
    """Return the codes of the languages that `info --statistics` found, if it has been asked."""
    if not workspace.statistics_file.exists():
        return ()
    counts = dict(read_json(workspace.statistics_file)["statistics"]["languages"])
    least = _LANGUAGE_SHARE * sum(counts.values())
    return tuple(code for code, count in counts.items() if count >= least and len(code) == 2)


def _recited(workspace: Workspace, model: Model, listener: Listener) -> Recited | None:
    """Let the weights alone write some texts, and return where their words come from."""
    if not workspace.documents_file.exists():
        return None
    from memlm.generate import GenerateConfig

    written = generate_text(
        model,
        config=GenerateConfig(samples=_SAMPLES, tokens=_SAMPLE_TOKENS, seed=0),
        trace_in=workspace,
        memories=(),
        listener=listener,
    )
    traces = [one.trace for one in written if one.trace is not None and one.trace.characters]
    total = sum(trace.characters for trace in traces)
    if not total:
        return None

    def share(name: str) -> float:
        parts = [getattr(trace, f"{name}_share") * trace.characters for trace in traces]
        return float(sum(parts)) / total

    return Recited(
        samples=len(traces),
        characters=total,
        recited=share("recited"),
        recombined=share("recombined"),
        new=share("new"),
    )
