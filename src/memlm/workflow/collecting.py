"""Collect: texts from files, web pages and memory become the documents of a workspace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from memlm.collect import (
    CollectConfig,
    Collection,
    SourceFile,
    TextFromMemory,
    WebConfig,
    find_place,
    is_address,
    is_there,
    list_files,
)
from memlm.documents import DocumentStore
from memlm.errors import ConfigError, NotFoundError
from memlm.records import CollectReport, Split
from memlm.storage import new_file, scratch_folder
from memlm.workflow.left_behind import foresee_erasing, say_what_is_left_behind
from memlm.workflow.listener import Listener
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of, workspace_to_fill
from memlm.workspace import Workspace

if TYPE_CHECKING:
    from memlm.collect import Site


def collect_documents(
    workspace: AnyWorkspace,
    *sources: Path | str,
    texts: Iterable[TextFromMemory] | None = None,
    config: CollectConfig | None = None,
    web: WebConfig | None = None,
    split: Split | None = None,
    prune: bool = False,
    fresh: bool = False,
    may_remove: Callable[[str, int, int], bool] | None = None,
    listener: Listener | None = None,
) -> CollectReport:
    """Bring sources (files, folders, web addresses, or `texts`) into the documents of a workspace.

    Collecting the same again changes nothing. `split` puts what is collected on one side, where it
    stays, however it is collected later, until another side is named.
    What `config` leaves open of how a source is read is done as the last time, unless `fresh`.
    `prune` removes documents whose file or page is gone, and their text from everything prepared;
    where that is more than half of a source, `may_remove(source, documents, of all)` is asked.
    Raises NotFoundError for a path that does not exist, before anything is written, and for an
    address with nothing at it if it is the only source; ConfigError for a column that no table has.
    Whatever else cannot be read is in `rejected`. A call that ends by an error leaves no new
    workspace behind; in one that was there before, the files that it had read whole stay, as after
    an interruption, and none is half read.

    >>> import tempfile
    >>> report = collect_documents(tempfile.mkdtemp(), texts=["one text", "and another"])
    >>> report.documents_added, report.characters
    (2, 19)
    """
    hears = listener or Listener()
    (config or CollectConfig()).check()
    if not sources and texts is None:
        raise ConfigError("no_sources")
    sites = _sites_of(sources, web or WebConfig())
    paths = [Path(source).expanduser() for source in sources if not is_address(source)]
    _check_labels(paths, config)
    # Here, since erasing prepares anew and preparing collects.
    from memlm.workflow.erasing import erase_removed, finish_erasing

    # What a run removed before it was killed is known by its root only.
    is_again = finish_erasing(workspace, listener=listener) and prune
    found = _find_files(workspace, paths, config, prunes=prune, is_again=is_again)
    with (
        workspace_to_fill(workspace) as opened,
        opened.writing(),
        DocumentStore(opened.documents_file) as store,
        scratch_folder(opened.path) as scratch,
    ):
        _keep_task(opened, config)
        collection = Collection(
            store,
            config or CollectConfig(),
            split=split,
            scratch=scratch,
            note=lambda note: hears.note(note.code, **note.values),
            progress=lambda done, total: hears.progress("collect", done, total),
            fresh=fresh,
        )
        for site in sites:
            collection.read_site(site, is_only=len(sources) == 1 and texts is None)
        _read_files(collection, found)
        if texts is not None:
            collection.read_texts(texts)
        report = _finish(collection, opened, store)
        if prune:

            def begin(document_ids: list[str]) -> None:
                say_what_is_left_behind(foresee_erasing(opened, store, document_ids), hears)
                opened.remember(erasing=True)

            ask = may_remove or _refuse_to_remove
            removed = collection.remove_vanished(ask, before=begin)
            removed += report.documents_removed
            report = replace(report, documents_removed=removed, characters=store.characters())
        else:
            _say_what_stays(report, hears)
    if prune:
        erase_removed(opened, listener=listener)
    return report


def _keep_task(workspace: Workspace, config: CollectConfig | None) -> None:
    """Note what the documents are examples of; ConfigError where they are of something else."""
    task, before = config.task if config else None, workspace.task
    if task is not None and before not in (None, task):
        raise ConfigError("task_other", task=task, before=before)
    if task is not None and config is not None:
        workspace.remember(
            task=task, source_column=config.source_column, target_column=config.target_column
        )


@dataclass(frozen=True)
class _Files:
    """What lies, or lay, at the paths that were named."""

    listed: list[tuple[Path, list[SourceFile]]]
    gone: list[Path]


def _find_files(
    workspace: AnyWorkspace,
    paths: list[Path],
    config: CollectConfig | None,
    *,
    prunes: bool,
    is_again: bool,
) -> _Files:
    """Return the files of all paths; NotFoundError for one that has gone, unless it is pruned."""
    gone = [path for path in paths if _was_collected(workspace, path, is_again=is_again)]
    if gone and not prunes:
        raise NotFoundError("source_vanished", path=gone[0])
    has_lines = config is not None and config.has_lines
    present = [path for path in paths if path not in gone]
    return _Files([(path, list(list_files(path, has_lines=has_lines))) for path in present], gone)


def _read_files(collection: Collection, found: _Files) -> None:
    for source, files in found.listed:
        collection.read_source(source, files)
    for source in found.gone:
        collection.read_vanished(source)


def _finish(collection: Collection, workspace: Workspace, store: DocumentStore) -> CollectReport:
    """End the collection, and list what could not be read."""
    if workspace.rejected_file.exists():  # what follows may end by an error
        list_rejected(workspace, store)
    report = collection.finish()
    list_rejected(workspace, store)
    return report


def _sites_of(sources: Iterable[Path | str], web: WebConfig) -> list[Site]:
    web.check()
    addresses = [str(one) for one in sources if is_address(one)]
    if not addresses:
        return []
    from memlm.collect import Site

    return [Site(address, web) for address in addresses]


def _say_what_stays(report: CollectReport, listener: Listener) -> None:
    if report.vanished:
        count = sum(gone.documents for gone in report.vanished)
        listener.note("vanished_stay", count=count, files=len(report.vanished))


def list_rejected(workspace: Workspace, store: DocumentStore) -> None:
    """Write the file of all that could not be read when it was last collected."""
    with (
        new_file(workspace.rejected_file) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        file.writelines(json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in store.rejected())


def _check_labels(sources: list[Path], config: CollectConfig | None) -> None:
    """Raise unless a file of labels, where one was named, exists and has one file to label."""
    if config is None or config.labels is None:
        return
    if not config.labels.is_file():
        raise NotFoundError("source_missing", path=config.labels)
    if len(sources) != 1 or sources[0].is_dir():
        raise ConfigError("labels_need_one_file")


def _was_collected(workspace: AnyWorkspace, source: Path, *, is_again: bool) -> bool:
    """Say whether a source that is not there now was collected when it was.

    With `is_again` it may be that nothing of it is left.
    """
    if is_there(source):
        return False
    try:
        opened = as_workspace(workspace)
    except NotFoundError:
        return False
    if not opened.documents_file.exists():
        return False
    with documents_of(opened) as store:
        return find_place(store, source, may_be_empty=is_again) is not None


def _refuse_to_remove(source: str, documents: int, total: int) -> bool:
    raise ConfigError("prune_needs_yes", source=source, count=documents, total=total)
