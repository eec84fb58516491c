"""Erase: the text of removed documents leaves every file that was made from it.

What must forget stands in `FORGETTERS`, in order. Whoever makes something of the documents that
lies in the workspace adds a function there, which brings it in step with those that are left, or
deletes it, and yields what it changed. Each must be ready to be called again after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from memlm.documents import (
    DocumentStore,
    has_unerased,
    note_erased,
    remove_documents,
)
from memlm.errors import ConfigError, CorruptArtefactError, NotFoundError
from memlm.index import is_current
from memlm.messages import render
from memlm.prepare import CleanedDocuments
from memlm.records import EraseReport
from memlm.storage import delete_folder, new_file, read_json
from memlm.workflow.blanking import Leftovers, forget_in_models, forget_in_tokens
from memlm.workflow.chat_erasing import forget_in_chats, require_known_chats
from memlm.workflow.collecting import list_rejected
from memlm.workflow.left_behind import foresee_erasing, say_what_is_left_behind
from memlm.workflow.listener import Listener
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of, ensure_index
from memlm.workflow.preparing import clean, settle_cleaning
from memlm.workflow.recalling import forget_vectors
from memlm.workflow.remembering import holds_counts_only, is_remembered, open_memory
from memlm.workspace import Workspace

_NAMED = 5


def erase_documents(
    workspace: AnyWorkspace,
    document_ids: Iterable[str] | str,
    *,
    listener: Listener | None = None,
) -> EraseReport:
    """Remove documents, and what was made of them from every file of the workspace.

    When it returns, every answer is that of a workspace which never had them, with the same
    vocabularies: entries that only they had are blank. What a model learned stays in its weights;
    the report names such models, and other documents that hold the same text. Their files are left
    alone: whoever collects one again after it has changed gets back what is still in it.
    Raises NotFoundError, before anything is erased, for an id that no document has,
    and InputError where a newer memlm wrote a conversation.
    A run that was killed is finished by whatever collects, prepares or erases next.

    >>> import tempfile
    >>> from memlm import DocumentStore, collect_documents, open_workspace
    >>> ws = open_workspace(tempfile.mkdtemp(), create=True)
    >>> report = collect_documents(ws, texts=["one text", "and another"])
    >>> with DocumentStore(ws.documents_file) as store:
    ...     first = next(iter(store)).id
    >>> erase_documents(ws, [first]).characters
    8
    """
    hears, opened = listener or Listener(), as_workspace(workspace)
    ids = [document_ids] if isinstance(document_ids, str) else list(dict.fromkeys(document_ids))
    finish_erasing(opened, listener=listener)
    require_known_chats(opened)
    with opened.writing():
        with documents_of(opened) as store:
            _require_known(store, ids)
            report = foresee_erasing(opened, store, ids)
            say_what_is_left_behind(report, hears)
            opened.remember(erasing=True)
            remove_documents(store, ids)
        return replace(report, rewritten=erase_removed(opened, listener=listener))


def erase_removed(workspace: AnyWorkspace, *, listener: Listener | None = None) -> tuple[str, ...]:
    """Take the text of removed documents, and of texts that were replaced, out of every file.

    Returns what was changed. What a model has learned stays in its weights; `describe_workspace`
    says which models that concerns.
    """
    opened = as_workspace(workspace)
    with opened.writing():
        with documents_of(opened) as store:
            is_due = has_unerased(store)
        changed: list[str] = []
        if is_due:
            opened.remember(erasing=True)  # so that a killed run is finished by the next
            changed = list(dict.fromkeys(_forget_everywhere(opened, listener or Listener())))
            with documents_of(opened) as store:
                note_erased(store)
        opened.remember(erasing=False)
    return tuple(changed)


def finish_erasing(workspace: AnyWorkspace, *, listener: Listener | None = None) -> bool:
    """Erase what a run that was killed, or had no disk left, did not; say whether there was one."""
    try:
        opened = as_workspace(workspace)
    except NotFoundError:
        return False
    if not opened.settings().get("erasing") or not opened.documents_file.exists():
        return False
    erase_removed(opened, listener=listener)
    return True


def _require_known(store: DocumentStore, document_ids: list[str]) -> None:
    known = set(store.ids())
    unknown = [identity for identity in document_ids if identity not in known]
    if unknown:
        names = render("list.comma").join(unknown[:_NAMED])
        raise NotFoundError("documents_unknown", count=len(unknown), ids=names)


def _forget_everywhere(workspace: Workspace, listener: Listener) -> Iterator[str]:
    with new_file(workspace.documents_file) as temporary, documents_of(workspace) as store:
        digest, is_empty = store.digest(), store.count() == 0
        store.write_compact(temporary)
        list_rejected(workspace, store)  # with nothing of what is gone
    for work in workspace.unfinished_folders():
        delete_folder(work)
    cleaned = None if is_empty else _clean_what_is_left(workspace, digest, listener)
    if cleaned is None:
        delete_folder(workspace.cleaned)  # what lies there was left by a crash
    left = Leftovers(workspace, digest, is_empty, cleaned, listener)
    for forget in FORGETTERS:
        yield from forget(left)


def _clean_what_is_left(
    workspace: Workspace, digest: str, listener: Listener
) -> CleanedDocuments | None:
    """Return the cleaned documents, without the removed; None where nothing was made of them."""
    if not (workspace.cleaned / "cleaned.json").exists() and not workspace.tokenizer_names():
        return None
    config = settle_cleaning(workspace, listener)
    try:
        return clean(workspace, digest, config, None, listener)
    except CorruptArtefactError:  # what is damaged need not be repaired
        delete_folder(workspace.cleaned)
        return clean(workspace, digest, config, None, listener)


def _forget_pages(left: Leftovers) -> Iterator[str]:
    """Delete pages: each shows a text that may be one of the removed.

    That of the statistics stays if these are of the documents that are left: they hold words.
    """
    workspace = left.workspace
    statistics = {workspace.statistics_file, workspace.statistics_page}
    kept = statistics if _statistics_digest(workspace) == left.digest else set()
    for path in sorted({*workspace.path.glob("*.html"), *statistics} - kept):
        if path.exists():
            path.unlink()
            yield left.place_of(path)


def _statistics_digest(workspace: Workspace) -> str | None:
    try:
        return str(read_json(workspace.statistics_file)["made_from"]["documents"])
    except (NotFoundError, CorruptArtefactError, KeyError, TypeError):
        return None


def _forget_in_index(left: Leftovers) -> Iterator[str]:
    """Bring the index of characters in step; what cannot be goes, and so does every other."""
    for folder in _folders_in(left.workspace.path / "index"):
        if folder == left.workspace.character_index and not left.is_empty:
            try:
                if is_current(folder, digest=left.digest):
                    continue
                ensure_index(left.workspace, left.listener)
            except (CorruptArtefactError, NotFoundError):  # it is built when it is asked
                delete_folder(folder)
        else:
            delete_folder(folder)
        yield left.place_of(folder)


def _forget_in_memories(left: Leftovers) -> Iterator[str]:
    """Bring what is remembered in step with the tokens; what else lies there goes."""
    for entry in sorted((left.workspace.path / "memory").glob("*")):
        if entry.name in _MEMORIES and entry.is_dir():
            for folder in _folders_in(entry):
                if _MEMORIES[entry.name](left, folder):
                    yield left.place_of(folder)
            continue
        if entry.is_dir():
            delete_folder(entry)
        else:
            entry.unlink()
        yield left.place_of(entry)


def _forget_counts(left: Leftovers, folder: Path) -> bool:
    try:
        if holds_counts_only(folder) and is_remembered(left.workspace, folder.name):
            return False
        is_wanted = folder.name in left.workspace.tokenizer_names()
        if is_wanted and not left.is_empty and holds_counts_only(folder):
            open_memory(left.workspace, folder.name, listener=left.listener)
        else:
            delete_folder(folder)
    except (CorruptArtefactError, NotFoundError):  # it is counted when it is asked
        delete_folder(folder)
    return True


def _forget_states(left: Leftovers, folder: Path) -> bool:
    try:
        if not left.is_empty:
            return forget_vectors(left.workspace, folder)
    except (CorruptArtefactError, NotFoundError, ConfigError):  # they are read when they are asked
        pass
    delete_folder(folder)
    return True


_MEMORIES: dict[str, Callable[[Leftovers, Path], bool]] = {
    "counts": _forget_counts,
    "vectors": _forget_states,
}
"""What brings a folder of each memory in step, or deletes it; it says whether anything changed."""


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir())


FORGETTERS: tuple[Callable[[Leftovers], Iterator[str]], ...] = (
    _forget_pages,
    forget_in_tokens,
    forget_in_models,
    forget_in_chats,  # before the index, which says what they quote
    _forget_in_index,
    _forget_in_memories,
)
