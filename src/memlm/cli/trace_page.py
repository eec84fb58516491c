"""The page of a trace, written by every command that traces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memlm.cli.console import ConsoleListener
from memlm.errors import MissingExtraError, ResourceError
from memlm.records import Generation, Trace
from memlm.workflow import write_trace_page


def write_page_of(
    workspace: Path,
    texts: Sequence[Trace | Generation],
    to: Path | None,
    listener: ConsoleListener,
) -> Path | None:
    """Write the page; where nobody named its place, a page that cannot be is no mistake."""
    try:
        return write_trace_page(workspace, texts, to=to)
    except (MissingExtraError, ResourceError) as error:
        if to is not None:
            raise
        listener.note("page_not_written", reason=str(error))
        return None
