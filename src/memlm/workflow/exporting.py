"""Export: all documents of a workspace in one file that others read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from memlm.collect import check_ending, write_documents
from memlm.prepare import TokenStore
from memlm.records import SPLITS, Document, ExportReport, Split
from memlm.storage import is_sealed, new_file, read_manifest
from memlm.workflow.listener import Listener
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of
from memlm.workspace import Workspace

_EXPORTED_AT_ONCE = 1000


def export_documents(
    workspace: AnyWorkspace, to: Path | str, *, listener: Listener | None = None
) -> ExportReport:
    """Write all documents to a file, JSON lines or Parquet by its ending; `collect` reads it again.

    Its `split` is the side by the tokens prepared last, where they are current, and else the one
    that was named. Raises ConfigError for another ending, NotFoundError if there are no documents.
    """
    hears, file = listener or Listener(), Path(to).expanduser()
    check_ending(file)
    opened = as_workspace(workspace)
    with opened.undisturbed(), documents_of(opened) as store:  # which is read twice
        count, sides = store.count(), _sides(opened, store.digest())
        if sides is None:
            hears.note("export_without_split")
        cleaning = opened.settings().get("cleaning") or {}
        if cleaning.get("redact"):
            hears.note("export_unmasked")

        def read() -> Iterator[Document]:
            for number, document in enumerate(store, start=1):
                side = None if sides is None else sides.get(document.id)
                yield replace(document, split=document.split or side)
                if number % _EXPORTED_AT_ONCE == 0:
                    hears.progress("export", number, count)

        with new_file(file) as temporary:
            write_documents(temporary, file.suffix.lower(), read)
        return ExportReport(documents=count, characters=store.characters(), file=str(to))


def _sides(workspace: Workspace, digest: str) -> dict[str, Split] | None:
    """Return the side of each document by the tokens prepared last; None if they are stale.

    A document that is cut in blocks which lie on several sides has none of its own.
    """
    name = workspace.settings().get("tokenizer")
    folder = None if name is None else workspace.prepared(name)
    if folder is None or not is_sealed(folder):
        return None
    if read_manifest(folder)["made_from"]["documents"] != digest:
        return None
    store = TokenStore(folder)
    pairs = np.unique(np.stack([store.units["document"], store.units["split"]], axis=1), axis=0)
    documents, sides = np.unique(pairs[:, 0], return_counts=True)
    whole = set(documents[sides == 1].tolist())
    return {
        store.document_ids[document]: SPLITS[split]
        for document, split in pairs.tolist()
        if document in whole
    }
