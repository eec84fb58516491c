"""`memlm prepare`: cut the documents into tokens."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from memlm.cli.console import ConsoleListener, drop_reason, print_json, print_rejected, say
from memlm.cli.options import Clean, Common, CommonOptions, HoldOut, HoldOutOptions, Prepare
from memlm.messages import render
from memlm.prepare import CleanConfig, PrepareConfig
from memlm.workflow import prepare_documents
from memlm.workspace import open_workspace


def prepare(
    workspace: Path,
    /,
    *,
    cutting: Prepare = PrepareConfig(),  # noqa: B008  # frozen
    cleaning: Clean = CleanConfig(),  # noqa: B008  # frozen
    processes: int | None = None,
    fresh: bool = False,
    holding: HoldOut = HoldOutOptions(),  # noqa: B008  # frozen
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    with ConsoleListener() as listener:
        report = prepare_documents(
            workspace,
            config=cutting,
            cleaning=cleaning,
            held_out=holding.held_out,
            processes=processes,
            fresh=fresh,
            listener=listener,
        )
    if common.json:
        print_json(asdict(report))
        return 0
    if report.rejected:
        file = open_workspace(workspace).rejected_file
        print_rejected(report.rejected, count=report.documents_rejected, path=file)
    say("prepared.summary", **asdict(report))
    say(
        "prepared.tokens",
        **report.tokens,
        per_token=report.characters / sum(report.tokens.values()),
    )
    if report.tokens["sealed"]:
        say("prepared.sealed", sealed=report.tokens["sealed"])
    if report.unknown:
        say("prepared.unknown", unknown=report.unknown)
    if report.repeated_passages:
        say(
            "prepared.cut" if report.cut_characters else "prepared.repeats",
            **asdict(report),
            path=open_workspace(workspace).cleaned / "repeats.jsonl",
            share=report.repeated_characters / (report.characters + report.cut_characters),
        )
    for reason, count in report.dropped_by_reason.items():
        say("prepared.dropped", count=count, reason=drop_reason(reason))
    if "near_copy" in report.dropped_by_reason:
        say("prepared.near_copies")
    for reason, count in report.removed.items():
        say("prepared.removed", count=count, reason=render(f"removed.{reason}"))
    for kind, count in report.masked.items():
        say("prepared.masked", count=count, kind=render(f"personal.{kind}"))
    return 0
