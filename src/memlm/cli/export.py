"""`memlm export`: the documents of a workspace as a file that other programs read."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from memlm.cli.console import ConsoleListener, print_json, say
from memlm.cli.options import Common, CommonOptions
from memlm.errors import ConfigError
from memlm.workflow import export_documents

_PARTS = ("documents",)


def export(
    workspace: Path,
    part: str,
    /,
    *,
    to: Path,
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    if part not in _PARTS:
        raise ConfigError("export_unknown", part=part, known=", ".join(_PARTS))
    with ConsoleListener() as listener:
        report = export_documents(workspace, to, listener=listener)
    if common.json:
        print_json(asdict(report))
        return 0
    say("note.exported", **asdict(report))
    return 0
