"""Opening a workspace, its documents and its index, as every verb begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from memlm.documents import DocumentStore
from memlm.errors import ConfigError, InputError, MissingExtraError, NotFoundError
from memlm.index import Entry, SegmentEntry, is_current, refresh_index
from memlm.memory import FOLDING_VERSION, fold_text
from memlm.records import Fold
from memlm.workflow.listener import Listener
from memlm.workspace import Workspace, open_workspace

AnyWorkspace = Workspace | Path | str


def as_workspace(workspace: AnyWorkspace, *, create: bool = False) -> Workspace:
    """Return the workspace that a user named by its folder, or opened before."""
    if isinstance(workspace, Workspace):
        return workspace
    return open_workspace(workspace, create=create)


@contextmanager
def workspace_to_fill(workspace: AnyWorkspace, *, create: bool = True) -> Iterator[Workspace]:
    """Hand out a workspace, made anew where there is none and `create` says so.

    One that was made here is gone again if the user's mistake ends the first collecting. After a
    signal or a full disk it stays, so that the next run goes on where this one stopped.
    """
    is_new = not isinstance(workspace, Workspace) and not _has_settings(Path(workspace))
    opened = as_workspace(workspace, create=create)
    try:
        yield opened
    except (ConfigError, InputError, NotFoundError, MissingExtraError) as error:
        # The list of the rejected is what collecting writes last.
        if is_new and error.code != "workspace_busy" and not opened.rejected_file.exists():
            opened.discard()
        raise


def _has_settings(path: Path) -> bool:
    return Workspace(path.expanduser()).settings_file.is_file()


def documents_of(workspace: Workspace) -> DocumentStore:
    """Return the documents of a workspace; NotFoundError where it has none."""
    if not workspace.documents_file.exists():
        raise NotFoundError("no_documents", path=workspace.path)
    return DocumentStore(workspace.documents_file)


def ensure_index(workspace: Workspace, listener: Listener, folds: Sequence[Fold] = ()) -> None:
    """Bring the index of characters in step with the documents, unless it is.

    With `folds` the one over documents that were folded, which lies beside the other.
    """
    folder = workspace.folded_index(folds) if folds else workspace.character_index
    with documents_of(workspace) as store:
        if is_current(folder, digest=_digest(store, folds)):
            return
    with workspace.writing(), documents_of(workspace) as store:
        if store.count() == 0:
            raise NotFoundError("no_documents", path=workspace.path)
        listener.note("indexing", characters=store.characters())
        # What another version folds otherwise is another content.
        manner = f":{FOLDING_VERSION}" if folds else ""
        known = {key: Entry(f"{content}{manner}", size) for key, content, size in store.sizes()}

        def read(keys: Iterable[str]) -> Iterator[SegmentEntry]:
            for key in keys:
                document = store.get(key)
                assert document is not None  # nobody else writes while we hold the lock
                text = fold_text(document.text, folds).text if folds else document.text
                yield SegmentEntry(key, known[key].content, text)

        refresh_index(
            folder,
            digest=_digest(store, folds),
            entries=known,
            read=read,
            progress=lambda done, total: listener.progress("index", done, total),
        )


def _digest(store: DocumentStore, folds: Sequence[Fold]) -> str:
    return f"{store.digest()}:{FOLDING_VERSION}" if folds else store.digest()
