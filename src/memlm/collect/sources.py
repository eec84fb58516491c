"""Which files a source has, and which reader each goes to: the one table of formats."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from memlm.collect.config import Reading
from memlm.collect.epub import read_epub
from memlm.collect.files import read_text_file
from memlm.collect.markup import read_page
from memlm.collect.office import read_docx, read_odt
from memlm.collect.pdf import read_pdf
from memlm.collect.tables import read_csv, read_json_lines, read_tsv
from memlm.errors import InputError, NotFoundError
from memlm.records import SourceNote, SourceProblem, SourceText

Reader = Callable[[Path, Reading], Iterator[SourceText | SourceProblem | SourceNote]]

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
    ".html": read_page,
    ".htm": read_page,
    ".xhtml": read_page,
    ".pdf": read_pdf,
    ".docx": read_docx,
    ".odt": read_odt,
    ".epub": read_epub,
}
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class SourceFile:
    """One file of a source, or something in it that is left alone and why."""

    path: Path
    relative: str
    """Its path inside the source, with forward slashes; its name if the source is a file."""
    problem: SourceProblem | None = None


def list_files(source: Path) -> Iterator[SourceFile]:
    """Yield the files of a source: the file itself, or all below a folder, in a fixed order.

    Hidden files, unknown endings and memlm workspaces come out with the problem that they are.
    Raises NotFoundError if there is nothing at `source`, InputError if it is neither a file nor a
    folder, or a workspace.
    """
    if source.is_dir():
        if _is_workspace(source):
            raise InputError("is_workspace", path=source)
        yield from _walk(source, source)
    elif source.is_file():
        yield _readable(source, source.parent)
    elif source.exists():
        raise InputError("not_a_file", path=source)
    else:
        raise NotFoundError("source_missing", path=source)


def read_file(path: Path, reading: Reading) -> Iterator[SourceText | SourceProblem | SourceNote]:
    """Yield what is in one file: texts, rows that are no texts, and notes.

    Raises InputError if the file as a whole cannot be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError("ending_unknown", **_ending(path))
    try:
        yield from reader(path, reading)
    except OSError as error:  # not allowed, or the disk gave some of it and then no more
        raise InputError("not_readable", path=path.name) from error


def relative_name(path: Path, root: Path) -> str:
    """Return a path inside its source; bytes in it that are not UTF-8 are spelt out."""
    relative = path.relative_to(root).as_posix()
    return relative.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _walk(folder: Path, root: Path) -> Iterator[SourceFile]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield _left_alone(folder, root, "not_readable")
        return
    for entry in entries:
        path = Path(entry.path)
        # Path's questions, not the entry's: a link to itself is no error to them.
        if entry.name.startswith("."):
            yield _left_alone(path, root, "hidden")
        elif path.is_symlink() and path.is_dir():
            yield _left_alone(path, root, "linked_folder")
        elif path.is_dir():
            if _is_workspace(path):
                yield _left_alone(path, root, "is_workspace")
            else:
                yield from _walk(path, root)
        elif path.is_file():
            yield _readable(path, root)
        else:
            yield _left_alone(path, root, "not_a_file")


def _is_workspace(folder: Path) -> bool:
    # Other programs write a workspace.json too.
    return (folder / "workspace.json").exists() and (folder / "documents.sqlite").exists()


def _readable(path: Path, root: Path) -> SourceFile:
    """Return a file with its problem where no reader is for it, so that nobody need open it."""
    if path.suffix.lower() not in READERS:
        problem = SourceProblem(code="ending_unknown", values=_ending(path))
        return SourceFile(path, relative_name(path, root), problem)
    return SourceFile(path, relative_name(path, root))


def _left_alone(path: Path, root: Path, code: str) -> SourceFile:
    relative = relative_name(path, root)
    return SourceFile(path, relative, SourceProblem(code=code, values={"path": relative}))


def _ending(path: Path) -> dict[str, str]:
    known = " ".join(sorted(ending for ending in READERS if ending))
    return {"path": path.name, "ending": path.suffix, "known": known}
