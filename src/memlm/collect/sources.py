"""Which files a source has, and which reader each goes to: the one table of formats."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from memlm.collect.config import CollectConfig
from memlm.collect.files import read_text_file
from memlm.collect.tables import read_csv, read_json_lines, read_tsv
from memlm.errors import InputError, NotFoundError
from memlm.records import SourceNote, SourceProblem, SourceText

Reader = Callable[[Path, CollectConfig], Iterator[SourceText | SourceProblem | SourceNote]]

READERS: dict[str, Reader] = {
    "": read_text_file,  # no ending: judged by content
    ".txt": read_text_file,
    ".text": read_text_file,
    ".md": read_text_file,
    ".markdown": read_text_file,
    ".rst": read_text_file,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
}


@dataclass(frozen=True)
class SourceFile:
    """One file of a source, or something in it that is left alone and why."""

    path: Path
    relative: str
    """Its path inside the source, with forward slashes; its name if the source is a file."""
    problem: SourceProblem | None = None


def list_files(source: Path) -> Iterator[SourceFile]:
    """Yield the files of a source: the file itself, or all below a folder, in a fixed order.

    Hidden files and memlm workspaces come out with the problem that they are.
    Raises NotFoundError if there is nothing at `source`.
    """
    if source.is_dir():
        yield from _walk(source, source)
    elif source.is_file():
        yield SourceFile(source, source.name)
    elif source.exists():
        raise InputError("not_a_file", path=source)
    else:
        raise NotFoundError("source_missing", path=source)


def read_file(
    path: Path, config: CollectConfig
) -> Iterator[SourceText | SourceProblem | SourceNote]:
    """Yield what is in one file: texts, rows that are no texts, and notes.

    Raises InputError if the file as a whole cannot be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = " ".join(sorted(ending for ending in READERS if ending))
        raise InputError("ending_unknown", path=path.name, ending=path.suffix, known=known)
    yield from reader(path, config)


def _walk(folder: Path, root: Path) -> Iterator[SourceFile]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        yield _left_alone(folder, root, "not_readable")
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.name.startswith("."):
            yield _left_alone(path, root, "hidden")
        elif entry.is_symlink() and entry.is_dir():
            yield _left_alone(path, root, "linked_folder")
        elif entry.is_dir():
            if (path / "workspace.json").exists():
                yield _left_alone(path, root, "is_workspace")
            else:
                yield from _walk(path, root)
        elif entry.is_file():
            yield SourceFile(path, path.relative_to(root).as_posix())
        else:
            yield _left_alone(path, root, "not_a_file")


def _left_alone(path: Path, root: Path, code: str) -> SourceFile:
    relative = path.relative_to(root).as_posix()
    return SourceFile(path, relative, SourceProblem(code=code, values={"path": relative}))
