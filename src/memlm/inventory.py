"""What a workspace holds, what each part was made from, what is stale, and its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.documents import DocumentStore
from memlm.errors import CorruptArtefactError, NotFoundError
from memlm.index import is_current, open_index
from memlm.storage import MANIFEST, hash_json, read_json, read_manifest, size_on_disk
from memlm.workspace import (
    BROUGHT_FILE,
    STATES_FILE,
    Workspace,
    find_checkpoints,
    open_workspace,
    read_run,
)


def describe_workspace(
    workspace: Workspace | Path | str,
) -> dict[str, Any]:  # Any: JSON
    """Return what a workspace holds, what each part was made from, what is stale, and its bytes."""
    opened = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    found: dict[str, Any] = {"workspace": str(opened.path), "bytes": size_on_disk(opened.path)}
    digest = None
    if opened.documents_file.exists():
        with DocumentStore(opened.documents_file) as store:
            digest = store.digest()
            found["documents"] = _describe_documents(store) | {
                "bytes": size_on_disk(opened.documents_file)
            }
    segments = opened.character_index / "segments.json"
    if segments.exists():
        held = read_json(segments)
        found["index"] = {
            "segments": len(held["segments"]),
            "made_from": {"documents": held["made_from"]},
            "stale": held["made_from"] != digest,
            "bytes": size_on_disk(opened.character_index),
        }
    if (opened.cleaned / "cleaned.json").exists():
        header = read_json(opened.cleaned / "cleaned.json")
        found["cleaned"] = {
            "documents": header["documents_kept"],
            "made_from": {"documents": header["documents"]},
            "config": header["config"],
            "stale": header["documents"] != digest,
            "bytes": size_on_disk(opened.cleaned),
        }
    if opened.statistics_page.exists() and opened.statistics_file.exists():
        made_from = read_json(opened.statistics_file)["made_from"]
        found["statistics_page"] = {
            "made_from": {"documents": made_from["documents"]},
            "stale": made_from["documents"] != digest,
            "bytes": sum(map(size_on_disk, (opened.statistics_page, opened.statistics_file))),
        }
    found["prepared"] = [
        _describe_tokens(opened, name, digest) for name in opened.tokenizer_names()
    ]
    found["memories"] = [_describe_memory(opened, name) for name in opened.memory_names()]
    found["memories"] += [_describe_states(opened, folder) for folder in opened.vector_memories()]
    found["models"] = describe_models(opened)
    found["chats"] = [_describe_chat(opened, name) for name in opened.chat_names()]
    return found


def describe_models(
    workspace: Workspace | Path | str,
) -> list[dict[str, Any]]:  # Any: JSON
    """Return what every model is, what it was made from, how well it predicts, and its bytes."""
    opened = workspace if isinstance(workspace, Workspace) else open_workspace(workspace)
    digest, ids = None, np.empty(0, dtype="<u8")
    if opened.documents_file.exists():
        with DocumentStore(opened.documents_file) as store:
            digest = store.digest()
            ids = np.fromiter((int(identity, 16) for identity in store.ids()), dtype="<u8")
    trained = [
        _describe_model(opened, name, digest) | {"removed_documents": _removed(opened, name, ids)}
        for name in opened.model_names()
    ]
    return trained + [_describe_brought(opened, name) for name in opened.brought_names()]


def _describe_chat(workspace: Workspace, name: str) -> dict[str, Any]:  # Any: JSON
    path = workspace.chat(name)
    found = {"name": name, "bytes": size_on_disk(path)}
    try:
        kept = read_json(path)
        turns, started = kept["turns"], str(kept["started"])
        models = sorted({str(turn["model"]) for turn in turns})
    except (CorruptArtefactError, KeyError, TypeError):
        return found | {"status": "damaged"}
    about = {"status": "finished", "turns": len(turns), "started": started, "models": models}
    return found | about


def _describe_documents(store: DocumentStore) -> dict[str, Any]:  # Any: JSON
    return {
        "documents": store.count(),
        "characters": store.characters(),
        "labels": store.labels(),
        "sources": [
            {"source": name, "documents": documents, "characters": characters}
            for name, documents, characters in store.sources()
        ],
        "rejected": store.num_rejected(),
    }


def _describe_tokens(
    workspace: Workspace, name: str, digest: str | None
) -> dict[str, Any]:  # Any: JSON
    folder = workspace.prepared(name)
    made_from = read_manifest(folder)["made_from"]
    return {
        **read_json(folder / "store.json")["counts"],
        "made_from": {"documents": made_from["documents"]},
        "stale": made_from["documents"] != digest or not _is_cleaned_so(workspace, made_from),
        "bytes": size_on_disk(folder),
    }


def _describe_memory(workspace: Workspace, name: str) -> dict[str, Any]:  # Any: JSON
    """Return what the memory of some tokens holds; it is stale where these are others now."""
    folder, manifest = workspace.counts_memory(name), workspace.prepared(name) / MANIFEST
    found = {
        "kind": "counts",
        "name": name,
        "tokenizer": name,
        "made_from": {"tokenizer": name},
        "bytes": size_on_disk(folder),
    }
    try:
        index = open_index(folder, contents=False)
        digest = hash_json(read_json(manifest)["files"]) if manifest.exists() else ""
        is_stale = not is_current(folder, digest=digest)
    except CorruptArtefactError:  # or an earlier memlm wrote it; either way it is made anew
        return found | {"status": "damaged"}
    return found | {
        "status": "finished",
        "tokens": index.characters,
        "segments": len(index.segments),
        "stale": is_stale,
    }


def _is_cleaned_so(workspace: Workspace, made_from: dict[str, Any]) -> bool:  # Any: JSON
    """Say whether tokens were made from documents cleaned as they are now: masked, say."""
    cleaned = workspace.cleaned / "cleaned.json"
    if not cleaned.exists():
        return True
    header, then = read_json(cleaned), made_from.get("cleaning", {})
    return all(header.get(name) == value for name, value in then.items())


def _describe_states(workspace: Workspace, folder: Path) -> dict[str, Any]:  # Any: JSON
    """Return what is remembered of a network's states; stale where the tokens are others now."""
    models = workspace.models_with_states(folder)
    found = {
        "kind": "vectors",
        "name": folder.name,
        "models": models,
        "bytes": size_on_disk(folder),
    }
    try:
        about = read_json(folder / STATES_FILE)
        made_from, states = about["made_from"], about["states"]
        manifest = workspace.prepared(made_from["tokenizer"]) / MANIFEST
        digest = hash_json(read_json(manifest)["files"]) if manifest.exists() else ""
    except (CorruptArtefactError, KeyError, TypeError):
        return found | {"status": "damaged"}
    return found | {
        "status": "finished",
        "states": states,
        "made_from": {"tokenizer": made_from["tokenizer"]},
        "stale": not models or made_from["tokens"] != digest,
    }


def _describe_model(
    workspace: Workspace, name: str, digest: str | None
) -> dict[str, Any]:  # Any: JSON
    folder = workspace.model(name)
    try:
        run = read_run(folder)
    except CorruptArtefactError:
        return {"model": name, "status": "damaged", "bytes": size_on_disk(folder)}
    reasons = _model_is_stale_because(workspace, run["made_from"], digest)
    return {
        "model": name,
        "status": run["status"],
        "network": run["plan"]["network"]["kind"],
        "started": run["started"],
        "made_from": run["made_from"],
        "results": run.get("results"),
        "blend": _describe_blend(folder),
        "stale": bool(reasons),
        "stale_because": reasons,
        "checkpoints": len(find_checkpoints(folder / "checkpoints")),
        "bytes": size_on_disk(folder),
    }


def _describe_brought(workspace: Workspace, name: str) -> dict[str, Any]:  # Any: JSON
    """Return what was computed of a model that lies elsewhere; no document makes it stale."""
    folder = workspace.model(name)
    try:
        about = read_json(folder / BROUGHT_FILE)
        kind, results = str(about["kind"]), {"parameters": int(about["parameters"])}
    except (CorruptArtefactError, KeyError, TypeError, ValueError):
        return {"model": name, "status": "damaged", "bytes": size_on_disk(folder)}
    return {
        "model": name,
        "status": "brought",
        "network": kind,
        "started": "",
        "made_from": {"tokenizer": name},
        "results": results,
        "blend": _describe_blend(folder),
        "stale": False,
        "stale_because": [],
        "checkpoints": 0,
        "removed_documents": None,
        "bytes": size_on_disk(folder),
    }


def _describe_blend(folder: Path) -> dict[str, Any] | None:  # Any: JSON
    """Return what a model is blended with by default; None where nothing was fitted."""
    try:
        blends = read_json(folder / "blend.json")["blends"]
        found = blends["counts"]
        chosen = found["blend"]
        return {
            "method": chosen["method"],
            "memories": [*chosen["experts"][1:], *chosen["companions"]],
            "nats_per_token": found["nats"],
            "nats_per_token_alone": found["nats_alone"]["weights"],
            "tokens": found["tokens"],
        }
    except (NotFoundError, CorruptArtefactError, LookupError, TypeError):
        return None


def _model_is_stale_because(
    workspace: Workspace, made_from: dict[str, Any], digest: str | None
) -> list[str]:  # Any: JSON
    """Return what has changed since a model was made: documents, or the tokens it learned."""
    reasons = []
    if made_from["documents"] != digest:
        reasons.append("documents")
    manifest = workspace.prepared(made_from["tokenizer"]) / MANIFEST
    if manifest.exists() and made_from["tokens"] != hash_json(read_json(manifest)["files"]):
        reasons.append("tokens")
    return reasons


def _removed(workspace: Workspace, name: str, ids: npt.NDArray[np.uint64]) -> int | None:
    """Return how many documents a model learned from are no longer there; None if unknown."""
    path = workspace.model(name) / "documents.bin"
    if not path.exists():  # it is not finished, or an older memlm trained it
        return None
    return int((~np.isin(np.fromfile(path, dtype="<u8"), ids)).sum())
