"""Export: all documents of a workspace in one file that others read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from memlm.collect import check_ending, write_documents
from memlm.records import Document, ExportReport
from memlm.storage import new_file
from memlm.workflow.listener import Listener
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of

_EXPORTED_AT_ONCE = 1000


def export_documents(
    workspace: AnyWorkspace, to: Path | str, *, listener: Listener | None = None
) -> ExportReport:
    """Write all documents to a file, JSON lines or Parquet by its ending; `collect` reads it again.

    Raises ConfigError for another ending, NotFoundError if there are no documents.
    """
    hears, file = listener or Listener(), Path(to).expanduser()
    check_ending(file)
    opened = as_workspace(workspace)
    with opened.undisturbed(), documents_of(opened) as store:  # which is read twice
        count = store.count()

        def read() -> Iterator[Document]:
            for number, document in enumerate(store, start=1):
                yield document
                if number % _EXPORTED_AT_ONCE == 0:
                    hears.progress("export", number, count)

        with new_file(file) as temporary:
            write_documents(temporary, file.suffix.lower(), read)
        return ExportReport(documents=count, characters=store.characters(), file=str(to))
