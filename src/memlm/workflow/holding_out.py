"""Hold out: files that a person named are measured on and never learned from, until taken back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from memlm.collect import CollectConfig, is_table
from memlm.documents import free_side
from memlm.errors import InputError
from memlm.messages import render
from memlm.records import CollectReport
from memlm.workflow.collecting import collect_documents
from memlm.workflow.listener import Listener
from memlm.workflow.opening import documents_of
from memlm.workspace import Workspace

_NAMED = 5


def collect_held_out(
    workspace: Workspace,
    files: Iterable[Path | str],
    config: CollectConfig | None,
    listener: Listener | None,
) -> list[CollectReport]:
    """Collect text that is measured on, each file by itself.

    InputError for one that gives no document: something else would be measured on unnoticed.
    """
    reports = []
    for file in files:
        reading = _reading_of(file, config)
        report = collect_documents(
            workspace, file, config=reading, split="held_out", listener=listener
        )
        read = report.documents_added + report.documents_changed + report.documents_unchanged
        if not read:
            reason = (
                report.rejected[0].reason
                if report.rejected
                else render("note.nothing_found", source=file)
            )
            raise InputError("held_out_without_documents", path=file, reason=reason)
        reports.append(report)
    return reports


def _reading_of(file: Path | str, config: CollectConfig | None) -> CollectConfig | None:
    """Return how to read a file: by lines where what is learned from is, with no labels of it."""
    if config is None or config.labels is None:
        return config
    unlabelled = replace(config, labels=None)
    return unlabelled if is_table(str(file)) else replace(unlabelled, lines=True)


def say_what_is_held_out(workspace: Workspace, listener: Listener) -> None:
    """Name the files that are held out by name, whenever that was asked for."""
    with documents_of(workspace) as store:
        found = store.files_on_side("held_out")
    if found:
        names = [name for name, _ in found[:_NAMED]] + ["…"] * (len(found) > _NAMED)
        listener.note(
            "held_out_by_name",
            files=render("list.comma").join(names),
            count=sum(documents for _, documents in found),
        )


def free_held_out(workspace: Workspace, listener: Listener) -> None:
    """Hold nothing out by name any more; the documents stay, as all others are."""
    with workspace.writing(), documents_of(workspace) as store:
        freed = free_side(store, "held_out")
    if freed:
        listener.note("held_out_freed", count=freed)
