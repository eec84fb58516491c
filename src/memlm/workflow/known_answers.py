"""The rows of a file whose answers are known: examples of a task, or texts with labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from memlm import messages
from memlm.collect import CollectConfig, Reading, is_table, read_file
from memlm.errors import ConfigError, InputError
from memlm.records import SourceProblem, SourceText
from memlm.tasks import TaskKind
from memlm.workflow.listener import Listener
from memlm.workflow.models import Model
from memlm.workflow.reading import existing_file

NO_SUCH_COLUMN = ("column_missing", "column_misspelt")
_ROWS_NAMED = 10


def task_texts(
    model: Model,
    path: Path | str,
    config: CollectConfig,
    task: TaskKind,
    limit: int | None,
    listener: Listener,
) -> list[SourceText]:
    """Return the examples of a table; InputError where it has none."""
    if config.task not in (None, task):
        raise ConfigError("task_of_model", task=config.task, model=model.name, learned=task)
    file = existing_file(path)
    if not is_table(file.name):
        raise InputError("file_no_table", path=path)
    config = replace(
        config,
        task=task,
        source_column=config.source_column or config.text_column,
        target_column=config.target_column or config.label_column,
        text_column=None,
        label_column=None,
    )
    kept = model.workspace.settings()
    names = {
        name: kept[name]
        for name in ("source_column", "target_column")
        if isinstance(kept.get(name), str) and getattr(config, name) is None
    }
    try:
        texts = _read_texts(file, replace(config, **names), limit, listener)
    except InputError as error:  # another table may call its columns otherwise
        if not names or error.code not in NO_SUCH_COLUMN:
            raise
        texts = _read_texts(file, config, limit, listener)
    if not texts:
        raise InputError("file_without_examples", path=path)
    return texts


def labelled_texts(
    path: Path | str, config: CollectConfig, limit: int | None, listener: Listener
) -> list[SourceText]:
    """Return the texts of a file that have labels; InputError where none has."""
    texts = _read_texts(existing_file(path), config, limit, listener)
    labelled = [item for item in texts if item.label is not None]
    if not labelled:
        raise InputError("file_without_labels", path=path)
    if len(labelled) < len(texts):
        listener.note("rows_without_label", count=len(texts) - len(labelled))
    return labelled


def _read_texts(
    file: Path, config: CollectConfig, limit: int | None, listener: Listener
) -> list[SourceText]:
    """Return the texts of the first rows of a file; what is wrong with others is noted."""
    items = list(islice(_rows(read_file(file, Reading(config=config))), limit))
    problems = [item for item in items if isinstance(item, SourceProblem)]
    for item in problems[:_ROWS_NAMED]:
        reason = messages.render(f"error.{item.code}.message", **item.values)
        listener.note("row_left_out", line=item.position, reason=reason)
    if len(problems) > _ROWS_NAMED:
        listener.note("rows_left_out", count=len(problems) - _ROWS_NAMED)
    return [item for item in items if isinstance(item, SourceText)]


def _rows(items: Iterator[Any]) -> Iterator[SourceText | SourceProblem]:
    """Yield what is a row: readers yield notes too (Any: whatever they have to say)."""
    return (item for item in items if isinstance(item, SourceText | SourceProblem))
