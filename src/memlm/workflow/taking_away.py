"""Take a model away: a folder that `transformers` loads, with its tokenizer and a model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memlm.errors import InputError, NotFoundError
from memlm.messages import render
from memlm.models.exporting.folder import read_model_config, write_model_files
from memlm.models.exporting.qwen3 import qwen3_lacks
from memlm.prepare import library_tokenizer
from memlm.records import ModelExportReport
from memlm.storage import growing_folder, machine_errors, read_json, write_json
from memlm.workflow.asking import generate_text
from memlm.workflow.listener import Listener
from memlm.workflow.model_card import CardFacts, Recited, model_card
from memlm.workflow.models import Model, known_models, load_model
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of
from memlm.workspace import Workspace, read_run

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
    target = Path(found.name) if folder is None else Path(folder).expanduser()
    _check_free(target)
    tokenizer = library_tokenizer(found.tokenizer)
    source = opened.model(found.name)
    network = read_model_config(source)
    lacking = qwen3_lacks(network)
    if lacking not in (None, "blocks"):
        hears.note("export_not_qwen3", lacking=render(f"lacks.{lacking}"))
    recited = _recited(opened, found, hears)
    facts = CardFacts(
        name=found.name,
        network=network,
        layout="memlm" if lacking else "qwen3",
        tokenizer=found.tokenizer.name,
        results=read_run(source).get("results") or {},
        recited=recited,
        **_data(opened, found),
    )
    with growing_folder(target) as temporary:
        write_model_files(source, temporary)
        write_json(temporary / "tokenizer.json", tokenizer.tokenizer)
        write_json(temporary / "tokenizer_config.json", tokenizer.config)
        (temporary / "README.md").write_text(model_card(facts), encoding="utf-8")
    return ModelExportReport(
        model=found.name,
        layout=facts.layout,
        parameters=network.num_parameters,
        recited_share=recited.recited if recited else None,
        folder=str(target),
    )


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
