"""`memlm collect`: bring texts into a workspace."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from memlm.cli.asking import ask
from memlm.cli.console import ConsoleListener, print_json, print_rejected, say
from memlm.cli.options import Collect, Common, CommonOptions, Web
from memlm.collect import CollectConfig, WebConfig
from memlm.errors import ConfigError
from memlm.messages import render
from memlm.workflow import collect_documents
from memlm.workspace import open_workspace


def collect(
    workspace: Path,
    source: str,
    /,
    *sources: str,
    prune: bool = False,
    fresh: bool = False,
    yes: bool = False,
    reading: Collect = CollectConfig(),  # noqa: B008  # frozen
    visiting: Web = WebConfig(),  # noqa: B008  # frozen
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    with ConsoleListener() as listener:
        report = collect_documents(
            workspace,
            source,
            *sources,
            config=reading,
            web=visiting,
            prune=prune,
            fresh=fresh,
            may_remove=(lambda *_: True) if yes else _ask_whether_to_remove,
            listener=listener,
        )
    if common.json:
        print_json(asdict(report))
        return 0
    say("note.collected", **asdict(report))
    file = open_workspace(workspace).rejected_file
    print_rejected(report.rejected, count=report.documents_rejected, path=file)
    return 0


def _ask_whether_to_remove(source: str, documents: int, total: int) -> bool:
    """Ask the person at the terminal; ConfigError where there is none."""
    return ask(
        render("question.prune", source=source, count=documents, total=total),
        otherwise=ConfigError("prune_needs_yes", source=source, count=documents, total=total),
    )
