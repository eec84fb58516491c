"""Tokens and models forget: what only removed documents had goes out of their vocabularies.

Where documents were lost and none came since tokens were made, these are cut anew by the same
tokenizer, so that those of the documents that are left stay what they were; its entries that they
do not use any more become blank (`prepare/blanking.py`), here and in the models that have it.
Where others came or changed, the vocabulary is learned anew, as `prepare` would, and the models
keep theirs, blank where no text that is left has an entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from memlm.documents import has_only_lost
from memlm.errors import CorruptArtefactError, InputError, NotFoundError
from memlm.language_model import Tokenizer
from memlm.prepare import CleanedDocuments, load_tokenizer
from memlm.prepare.blanking import (
    Entries,
    Json,
    blanked,
    entries_of,
    tokens_in_file,
    tokens_in_texts,
)
from memlm.storage import (
    changed_folder,
    delete_folder,
    hash_json,
    is_sealed,
    read_json,
    read_manifest,
    reseal_files,
    write_json,
)
from memlm.tasks import read_example
from memlm.workflow.listener import Listener
from memlm.workflow.opening import documents_of
from memlm.workflow.preparing import cut_again
from memlm.workspace import Workspace


@dataclass(frozen=True)
class Leftovers:
    """A workspace whose documents lost some, while what was made of them is made anew."""

    workspace: Workspace
    digest: str
    """That of the documents that are left."""
    is_empty: bool
    cleaned: CleanedDocuments | None
    """Those documents, cleaned; None where nothing was made of cleaned ones."""
    listener: Listener
    settled: set[str] = field(default_factory=set)
    """Hashes of the tokenizers that hold no more than they may."""

    def texts(self) -> Iterator[tuple[str, str | None]]:
        """Yield the text and the label of every document that is left, as it was last prepared."""
        if self.cleaned is not None:
            for part in self.cleaned.parts():
                for draft in part.drafts():
                    yield draft.text, draft.document.label
        elif not self.is_empty:
            with documents_of(self.workspace) as store:
                for document in store:
                    yield document.text, document.label

    @cached_property
    def targets(self) -> Set[str]:
        """The targets of all examples that are left."""
        examples = (read_example(text) for text, _ in self.texts())
        return {example[1] for example in examples if example is not None}

    def place_of(self, path: Path) -> str:
        """Return where something lies in the workspace."""
        return path.relative_to(self.workspace.path).as_posix()


def forget_in_tokens(left: Leftovers) -> Iterator[str]:
    """Make tokens anew that held removed documents, with the models that have their vocabulary.

    Where nothing is left, or they are damaged, they go.
    """
    workspace, last = left.workspace, left.workspace.settings().get("tokenizer")
    for name in sorted(workspace.tokenizer_names(), key=lambda name: (name == last, name)):
        folder = workspace.prepared(name)
        try:
            if left.cleaned is None:
                raise InputError("nothing_to_prepare")
            if read_manifest(folder)["made_from"]["documents"] == left.digest:
                left.settled.add(hash_json(read_json(folder / "tokenizer.json")))
                continue
            yield from _cut_without_removed(left, name)
        except (CorruptArtefactError, NotFoundError):
            left.listener.note("tokens_damaged", tokenizer=name)
            delete_folder(folder)
        except InputError as error:
            if error.code != "nothing_to_prepare":
                raise
            delete_folder(folder)
        yield left.place_of(folder)


def forget_in_models(left: Leftovers) -> Iterator[str]:
    """Blank, in every other model's vocabulary, what no text that is left has; empty its log of
    all but numbers."""
    for folder in sorted((left.workspace.path / "models").glob("*")):
        if not left.workspace.has_model(folder.name):
            delete_folder(folder)  # a start that failed has left it
            continue
        described = _tokenizer_of(left, folder)
        if described is not None and hash_json(described) not in left.settled:
            tokenizer = load_tokenizer(folder / "tokenizer.json")
            gone = entries_of(described) - _in_use(left, described, tokenizer)
            yield from _blank_in_models(left, described, gone)
        yield from _forget_targets(left, folder)
        yield from _forget_words(left, folder)


def _cut_without_removed(left: Leftovers, name: str) -> Iterator[str]:
    assert left.cleaned is not None  # there are tokens
    workspace, folder = left.workspace, left.workspace.prepared(name)
    described = read_json(folder / "tokenizer.json")
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    before = entries_of(described, _tokens_in(folder, tokenizer))
    keeps = _only_lost(left, folder, tokenizer)
    again = cut_again(
        workspace, name, left.cleaned, left.listener, tokenizer=tokenizer if keeps else None
    )
    with again as new:
        if keeps:
            after = entries_of(described, _tokens_in(new, tokenizer))
        else:
            after = _in_use(left, described, tokenizer)
        gone = before - after
        learned = blanked(read_json(new / "tokenizer.json"), gone)
        (new / "tokenizer.json").write_text(json.dumps(learned, ensure_ascii=False), "utf-8")
        left.settled.add(hash_json(learned))
        # Before the tokens are in place: afterwards nobody knows any more what they used.
        yield from _blank_in_models(left, described, gone)


def _only_lost(left: Leftovers, folder: Path, tokenizer: Tokenizer) -> bool:
    """Say whether the documents only lost some since these tokens were made, cleaned as now."""
    assert left.cleaned is not None
    made_from = read_manifest(folder)["made_from"]
    cleaning = {name: left.cleaned.header[name] for name in made_from["cleaning"]}
    with documents_of(left.workspace) as store:
        has_only = has_only_lost(store, made_from["documents"])
    labels = {label for part in left.cleaned.parts() for label in part.survey.labels}
    return has_only and made_from["cleaning"] == cleaning and labels <= tokenizer.labels.keys()


def _tokens_in(folder: Path, tokenizer: Tokenizer) -> Any:  # Any: a mask (V,)
    dtype = read_json(folder / "store.json")["token_dtype"]
    return tokens_in_file(folder / "tokens.bin", dtype, tokenizer.vocabulary_size)


def _in_use(left: Leftovers, described: Json, tokenizer: Tokenizer) -> Entries:
    return entries_of(described, tokens_in_texts(tokenizer, left.texts()))


def _blank_in_models(left: Leftovers, described: Json, gone: Entries) -> Iterator[str]:
    """Blank entries in all models that have this tokenizer, each all or nothing."""
    new, before = blanked(described, gone), hash_json(described)
    left.settled.add(hash_json(new))
    if not gone:
        return
    for folder in sorted((left.workspace.path / "models").glob("*")):
        if hash_json(_tokenizer_of(left, folder)) == before:
            with changed_folder(folder) as changed:
                write_json(changed / "tokenizer.json", new)
                _forget_labels(changed, new["labels"])
                if is_sealed(changed):
                    with suppress(CorruptArtefactError):  # it was damaged, and is so still
                        reseal_files(changed, ["tokenizer.json"])
            count = len(gone.labels) + len(gone.symbols)
            left.listener.note("entries_blank", model=folder.name, count=count)
            yield left.place_of(folder / "tokenizer.json")


def _forget_labels(folder: Path, known: Iterable[str | None]) -> None:
    """Take labels out of what `run.json` counted."""
    with suppress(CorruptArtefactError, NotFoundError):
        run, labels = read_json(folder / "run.json"), set(known)
        counts = {label: count for label, count in run["labels"].items() if label in labels}
        write_json(folder / "run.json", run | {"labels": counts})


def _tokenizer_of(left: Leftovers, folder: Path) -> Json | None:
    """Return what a model's `tokenizer.json` says; one that cannot be read goes: it may hold
    anything."""
    path = folder / "tokenizer.json"
    try:
        described = read_json(path)
        load_tokenizer(path)
    except NotFoundError:
        return None
    except CorruptArtefactError:
        left.listener.note("model_damaged", model=folder.name)
        path.unlink()
        _forget_labels(folder, ())
        _keep_targets(folder, set())
        return None
    return dict(described)


def _forget_targets(left: Leftovers, folder: Path) -> Iterator[str]:
    """Take out of what a model learned as labels of a task those that no example has any more."""
    with suppress(CorruptArtefactError, NotFoundError):
        if not read_json(folder / "run.json").get("targets"):
            return
        tokenizer = load_tokenizer(folder / "tokenizer.json")
        known = set()
        for target in left.targets:  # they were counted as the tokenizer writes them
            known |= {target, tokenizer.decode(tokenizer.encode(target).ids.tolist())}
        if _keep_targets(folder, known):
            yield left.place_of(folder / "run.json")


def _keep_targets(folder: Path, known: Set[str]) -> bool:
    """Leave only known targets in `run.json`; return whether there were others."""
    with suppress(CorruptArtefactError, NotFoundError):
        run = read_json(folder / "run.json")
        before = run.get("targets") or {}
        kept = {target: count for target, count in before.items() if target in known}
        if kept != before:
            write_json(folder / "run.json", run | {"targets": kept})
            return True
    return False


def _forget_words(left: Leftovers, folder: Path) -> Iterator[str]:
    from memlm.train.log import LOG, forget_words, holds_words

    if holds_words(folder):
        forget_words(folder)
        yield left.place_of(folder / LOG)
