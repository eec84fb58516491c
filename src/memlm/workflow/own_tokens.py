"""The documents cut as a model cuts text: those tokens that it learned, or others beside them."""

from __future__ import annotations

from dataclasses import replace

from memlm.errors import InputError
from memlm.prepare import PrepareConfig, load_tokenizer, tokenizer_name
from memlm.storage import read_json, read_manifest
from memlm.workflow.listener import Listener
from memlm.workflow.models import Model
from memlm.workflow.opening import documents_of
from memlm.workflow.preparing import prepare_documents
from memlm.workflow.remembering import is_remembered
from memlm.workspace import Workspace, read_run


def own_tokens(model: Model, listener: Listener) -> str:
    """Return the name of the tokens of all documents as a model cuts them, in step with these.

    Where the workspace cuts text otherwise now, it is cut once more as the model has it. Raises
    InputError where the documents have labels that the model has not.
    """
    opened, name = model.workspace, tokens_name(model)
    last = opened.settings().get("tokenizer")
    if last is None and opened.is_brought(name):  # whoever trains later has a vocabulary of its own
        last = prepare_documents(opened, listener=listener).tokenizer
    if name == last and not _are_current(opened, name):
        prepare_documents(opened, listener=listener)
    if _can_use(model, name):
        return name
    file = _tokenizer_file(model)
    own = tokenizer_name(file, None)
    if not _can_use(model, own):
        with opened.writing():
            prepare_documents(opened, config=PrepareConfig(tokenizer=file), listener=listener)
            if last is not None:
                opened.remember(tokenizer=last)
        if not _can_use(model, own):  # it has other labels than the documents
            raise InputError("memory_of_other_tokens", model=model.name)
    return own


def tokens_name(model: Model) -> str:
    """Return the name of the tokens that a model learned, or was given when it was brought."""
    if model.workspace.is_brought(model.name):
        return model.name
    return str(read_run(model.workspace.model(model.name))["made_from"]["tokenizer"])


def as_it_cuts(model: Model, config: PrepareConfig) -> PrepareConfig:
    """Return how to prepare so that the tokens are a model's own, the rest as `config` says."""
    opened = model.workspace
    last = opened.settings().get("tokenizer")
    if last is not None and _can_use(model, last):
        return config
    return replace(config, tokenizer=_tokenizer_file(model))


def is_remembered_as_it_reads(model: Model) -> bool:
    """Say whether there is a memory in a model's own tokens that is in step with the documents."""
    if not model.workspace.documents_file.exists():
        return False
    names = (tokens_name(model), tokenizer_name(_tokenizer_file(model), None))
    return any(
        _can_use(model, name) and is_remembered(model.workspace, name)
        for name in dict.fromkeys(names)
    )


def _tokenizer_file(model: Model) -> str:
    return str(model.workspace.model(model.name) / "tokenizer.json")


def _can_use(model: Model, name: str) -> bool:
    """Say whether tokens are of the documents as they are, and cut as the model has it."""
    return _are_current(model.workspace, name) and cuts_as(model, name)


def _are_current(workspace: Workspace, name: str) -> bool:
    """Say whether tokens are of the documents, cleaned and split as they are now."""
    folder = workspace.prepared(name)
    if not (folder / "store.json").exists():
        return False
    made_from = read_manifest(folder)["made_from"]
    plan = (workspace.settings().get("split") or {}).get("plan")
    is_split_so = plan is None or read_json(folder / "store.json")["split"]["plan"] == plan
    cleaned = workspace.cleaned / "cleaned.json"
    header = read_json(cleaned) if cleaned.exists() else {}
    then = made_from.get("cleaning", {})
    is_cleaned_so = all(header.get(key, value) == value for key, value in then.items())
    with documents_of(workspace) as store:
        is_of_them = made_from["documents"] == store.digest()
    return bool(is_split_so and is_cleaned_so and is_of_them)


def cuts_as(model: Model, name: str) -> bool:
    """Say whether the tokens `name` are cut as a model cuts text."""
    prepared = load_tokenizer(model.workspace.prepared(name) / "tokenizer.json")
    return prepared.to_json() | {"name": ""} == model.tokenizer.to_json() | {"name": ""}
