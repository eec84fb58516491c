"""What erasing documents leaves behind: other documents with their text, models that learned it."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from memlm.documents import DocumentStore
from memlm.errors import CorruptArtefactError, NotFoundError
from memlm.messages import render
from memlm.prepare import CleanedDocuments
from memlm.prepare.relatives import relatives
from memlm.records import EraseReport, TextCopy
from memlm.storage import hash_json, read_manifest
from memlm.workflow.listener import Listener
from memlm.workspace import Workspace, read_run

_MOST_WHITE_SPACE = 64  # that a document is thought to have around its text
_NAMED = 5


def foresee_erasing(
    workspace: Workspace, store: DocumentStore, document_ids: Collection[str]
) -> EraseReport:
    """Return what erasing these documents will take and leave; nothing is erased here."""
    wanted = set(document_ids)
    sizes = {identity: size for identity, _, size in store.sizes()}
    return EraseReport(
        documents=len(wanted),
        characters=sum(sizes[identity] for identity in wanted),
        copies=tuple(_copies(workspace, store, wanted)),
        models=tuple(
            name for name in workspace.model_names() if _may_have_learned(workspace, name, wanted)
        ),
    )


def say_what_is_left_behind(report: EraseReport, listener: Listener) -> None:
    """Note what a person who removes documents should know stays."""
    if report.copies:
        names = render("list.comma").join(copy.source for copy in report.copies[:_NAMED])
        more = len(report.copies) - _NAMED
        if more > 0:
            names = render("note.copies_more", names=names, count=more)
        listener.note("copies_stay", count=len(report.copies), names=names)
    if report.models:
        listener.note("weights_stay", models=render("list.comma").join(report.models))


def same_text(text: str) -> bytes:
    """Return what two texts share if they are the same but for white space at their ends."""
    whole = text.strip().encode("utf-8", "surrogatepass")
    return hashlib.blake2b(whole, digest_size=16).digest()


def is_near(characters: int, lengths: Sequence[int]) -> bool:
    """Say whether a text of so many characters may be one of the sorted `lengths` when stripped."""
    place = bisect_right(lengths, characters)
    return place > 0 and characters - lengths[place - 1] <= _MOST_WHITE_SPACE


def _copies(workspace: Workspace, store: DocumentStore, wanted: set[str]) -> Iterator[TextCopy]:
    exact = dict(_exact_copies(store, wanted))
    near = {other: of for other, of in _relatives(workspace, wanted) if other not in exact}
    for found, is_exact in ((exact, True), (near, False)):
        for other, of in found.items():
            source = store.source_of(other)
            if source is not None:  # else it has gone since the documents were cleaned
                yield TextCopy(document_id=other, source=source, of=of, is_exact=is_exact)


def _exact_copies(store: DocumentStore, wanted: set[str]) -> Iterator[tuple[str, str]]:
    """Yield (other document, document of `wanted`) with the same text."""
    known = list(store.contents())
    asked: dict[bytes, str] = {}
    lengths: set[int] = set()
    for _, document in store.read_numbers(n for n, identity, *_ in known if identity in wanted):
        asked.setdefault(same_text(document.text), document.id)
        lengths.add(len(document.text.strip()))
    ordered = sorted(lengths)
    others = (
        number
        for number, identity, _, characters in known
        if identity not in wanted and is_near(characters, ordered)
    )
    for _, document in store.read_numbers(others):
        if (of := asked.get(same_text(document.text))) is not None:
            yield document.id, of


def _relatives(workspace: Workspace, wanted: set[str]) -> Iterator[tuple[str, str]]:
    if not (workspace.cleaned / "cleaned.json").exists():
        return
    try:
        yield from relatives(CleanedDocuments(workspace.cleaned, workspace.documents_file), wanted)
    except (CorruptArtefactError, NotFoundError):  # it is made anew below
        return


def _may_have_learned(workspace: Workspace, name: str, wanted: set[str]) -> bool:
    """Say whether a model learned from one of these documents; True where that is not known."""
    learned = workspace.model(name) / "documents.bin"
    if learned.exists():
        return bool(np.isin(_numbers(wanted), np.fromfile(learned, dtype="<u8")).any())
    try:  # a training that has not ended, or a model of an older memlm
        made_from = read_run(workspace.model(name))["made_from"]
        folder = workspace.prepared(made_from["tokenizer"])
        if made_from["tokens"] != hash_json(read_manifest(folder)["files"]):
            return True
        held = (folder / "documents.txt").read_text("ascii").split()
    except (CorruptArtefactError, NotFoundError):
        return True
    return not wanted.isdisjoint(held)


def _numbers(document_ids: Collection[str]) -> npt.NDArray[np.uint64]:
    return np.fromiter((int(identity, 16) for identity in document_ids), dtype="<u8")
