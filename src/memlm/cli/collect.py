"""`memlm collect`: bring texts into a workspace."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from memlm.cli.console import ConsoleListener, print_json, print_rejected, say
from memlm.cli.options import Collect, Common, CommonOptions
from memlm.collect import CollectConfig
from memlm.workflow import collect_documents
from memlm.workspace import open_workspace


def collect(
    workspace: Path,
    source: Path,
    /,
    *sources: Path,
    reading: Collect = CollectConfig(),  # noqa: B008  # frozen
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    with ConsoleListener() as listener:
        report = collect_documents(workspace, source, *sources, config=reading, listener=listener)
    if common.json:
        print_json(asdict(report))
        return 0
    say("note.collected", **asdict(report))
    print_rejected(report.rejected, path=open_workspace(workspace).rejected_file)
    return 0
