"""Which files a source has, and which reader each goes to: the one table of formats."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from memlm.collect.config import Reading
from memlm.collect.lines import read_plain_text
from memlm.errors import InputError, NotFoundError
from memlm.messages import spell_out
from memlm.records import SourceNote, SourceProblem, SourceText

if TYPE_CHECKING:
    from memlm.collect.archives import FindMembers

Item = SourceText | SourceProblem | SourceNote
Reader = Callable[[Path, Reading], Iterator[Item]]
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")


def _late(module: str, name: str) -> Reader:
    """Return a reader of this room that is loaded when the first file comes that needs it."""

    def read(path: Path, reading: Reading) -> Iterator[Item]:
        reader: Reader = getattr(import_module(f"memlm.collect.{module}"), name)
        yield from reader(path, reading)

    return read


def _read_archive(find_members: FindMembers, path: Path, reading: Reading) -> Iterator[Item]:
    from memlm.collect.archives import Table, read_archive

    table = Table(whole_ending=whole_ending, read=read_file)
    yield from read_archive(path, reading, find_members=find_members, table=table)


def _read_zip(path: Path, reading: Reading) -> Iterator[Item]:
    from memlm.collect.zip_members import members_of_zip

    yield from _read_archive(members_of_zip, path, reading)


def _read_tar(path: Path, reading: Reading) -> Iterator[Item]:
    from memlm.collect.tar_members import members_of_tar

    yield from _read_archive(members_of_tar, path, reading)


def _read_compressed(path: Path, reading: Reading) -> Iterator[Item]:
    from memlm.collect.archives import Table, read_compressed

    table = Table(whole_ending=whole_ending, read=read_file)
    yield from read_compressed(path, reading, table=table)


_read_csv = _late("tables", "read_csv")
_read_tsv = _late("tables", "read_tsv")
_read_json = _late("json_rows", "read_json")
_read_json_lines = _late("json_rows", "read_json_lines")
_read_arrow = _late("arrow_tables", "read_arrow")
_read_parquet = _late("arrow_tables", "read_parquet")
_read_arc = _late("web_archives", "read_arc")
_read_warc = _late("web_archives", "read_warc")
_read_page = _late("markup", "read_page")
READERS: dict[str, Reader] = {
    "": read_plain_text,  # no ending: judged by content
    ".txt": read_plain_text,
    ".text": read_plain_text,
    ".md": read_plain_text,
    ".markdown": read_plain_text,
    ".rst": read_plain_text,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_json_lines,
    ".ndjson": _read_json_lines,
    ".zip": _read_zip,
    ".tar": _read_tar,
    ".tgz": _read_tar,
    ".tbz2": _read_tar,
    ".txz": _read_tar,
    **{f".tar{ending}": _read_tar for ending in COMPRESSIONS},
    ".warc": _read_warc,
    ".warc.gz": _read_warc,
    ".arc": _read_arc,
    ".arc.gz": _read_arc,
    **dict.fromkeys(COMPRESSIONS, _read_compressed),
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
    ".html": _read_page,
    ".htm": _read_page,
    ".xhtml": _read_page,
    ".pdf": _late("pdf", "read_pdf"),
    ".docx": _late("office", "read_docx"),
    ".odt": _late("office", "read_odt"),
    ".epub": _late("epub", "read_epub"),
}
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather")
_OF_CHARACTERS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".html", ".htm", ".xhtml")
_MOST_STATE_BYTES = 1 << 24
_DATASET_NOTES = ("dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json")


@dataclass(frozen=True)
class SourceFile:
    """One file of a source, or something in it that is left alone and why."""

    path: Path
    relative: str
    """Its path inside the source, with forward slashes; its name if the source is a file."""
    problem: SourceProblem | None = None


def list_files(source: Path, *, has_lines: bool = False) -> Iterator[SourceFile]:
    """Yield the files of a source: the file itself, or all below a folder, in a fixed order.

    With `has_lines` a file that was named itself is plain text whatever its ending (`train.de`).
    Hidden files, unknown endings and memlm workspaces come out with the problem that they are.
    Raises NotFoundError if there is nothing at `source`, InputError if it is neither a file nor a
    folder, or a workspace, or lies where one may not look.
    """
    is_there(source)
    if source.is_dir():
        for file in _walk(source, source):
            if file.path == source and file.problem and file.problem.code == "is_workspace":
                raise InputError("is_workspace", path=source)
            yield file
    elif source.is_file() and has_lines:
        yield SourceFile(source, source.name)
    elif source.is_file():
        yield _readable(source, source.parent)
    elif source.exists():
        raise InputError("not_a_file", path=source)
    else:
        raise NotFoundError("source_missing", path=source)


def is_there(source: Path) -> bool:
    """Say whether there is anything at a path, if only a link; InputError where one may not look.

    What may not be seen is not gone.
    """
    try:
        source.stat()
    except PermissionError as error:
        raise InputError("not_readable", path=source) from error
    except OSError:
        return source.is_symlink()
    return True


def read_file(path: Path, reading: Reading) -> Iterator[Item]:
    """Yield what is in one file: texts, rows that are no texts, and notes.

    Raises InputError if the file as a whole cannot be read.
    """
    try:
        ending = find_ending(path.name)
    except InputError:
        if not reading.config.has_lines:
            raise
        ending = ""
    if ending in _OF_CHARACTERS and reading.config.lines and reading.is_named:
        ending = ""
    reader = READERS[ending]
    if reading.config.labels is not None and reader not in (read_plain_text, _read_compressed):
        raise InputError("labels_need_lines", path=path.name)
    try:
        yield from reader(path, reading)
    except OSError as error:  # not allowed, or the disk gave some of it and then no more
        raise InputError("not_readable", path=path.name) from error


def find_ending(name: str) -> str:
    """Return the ending by which the table reads a file of this name: `.txt`, `.tar.gz`.

    Raises InputError if it has no reader.
    """
    for ending in ("".join(PurePath(name.lower()).suffixes[-2:]), PurePath(name.lower()).suffix):
        if ending in READERS:
            return ending
    path = PurePath(name)
    raise InputError("ending_unknown", path=path.name, ending=path.suffix)


def whole_ending(name: str) -> str:
    """Return the endings of a name that say how it is read, with those inside a compression.

    `.csv.gz` is read by the reader of `.gz`, which then needs to know of `.csv`. Raises InputError
    if there is no reader for any of them.
    """
    ending = find_ending(name)
    return (whole_ending(PurePath(name).stem) if ending in COMPRESSIONS else "") + ending


def is_table(name: str) -> bool:
    """Say whether a file of this name has rows, compressed or not."""
    path = PurePath(name.lower())
    return (PurePath(path.stem) if path.suffix in COMPRESSIONS else path).suffix in TABLES


def relative_name(path: Path, root: Path) -> str:
    """Return a path inside its source; bytes in it that are not UTF-8 are spelt out."""
    return spell_out(path.relative_to(root).as_posix())


def _walk(folder: Path, root: Path) -> Iterator[SourceFile]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        if _is_workspace(folder):
            yield _left_alone(folder, root, "is_workspace")
            return
    except (OSError, InputError):  # not to be listed, or listed and not entered
        yield _left_alone(folder, root, "not_readable")
        return
    tables = _tables_of_dataset(folder)
    for entry in entries:
        try:
            yield from _entry(Path(entry.path), root, tables)
        except PermissionError:  # a link to where one may not look
            yield _left_alone(Path(entry.path), root, "not_readable")


def _entry(path: Path, root: Path, tables: list[str]) -> Iterator[SourceFile]:
    # Path's questions, not those of `scandir`: a link to itself is no error to them.
    if path.name.startswith("."):
        yield _left_alone(path, root, "hidden")
    elif path.is_symlink() and path.is_dir():
        yield _left_alone(path, root, "linked_folder")
    elif path.is_dir():
        yield from _walk(path, root)
    elif not path.is_file():
        yield _left_alone(path, root, "not_a_file")
    elif path.name in _DATASET_NOTES and _is_dataset(path.parent):
        yield _left_alone(path, root, "dataset_notes")
    elif path.suffix == ".arrow" and path.name not in (tables or [path.name]):
        yield _left_alone(path, root, "dataset_copy")
    else:
        yield _readable(path, root)


def _is_workspace(folder: Path) -> bool:
    # Other programs write a workspace.json too.
    return is_there(folder / "workspace.json") and is_there(folder / "documents.sqlite")


def _is_dataset(folder: Path) -> bool:
    """Say whether a folder holds a data set as Hugging Face's libraries lay it out."""
    if (folder / "dataset_dict.json").exists():
        return True
    return any(entry.suffix in (".arrow", ".parquet") for entry in folder.iterdir())


def _tables_of_dataset(folder: Path) -> list[str]:
    """Return the tables of a data set as its folder lists them; none where it lists none.

    What lies beside them are copies that the library keeps of its own work.
    """
    try:
        with (folder / "state.json").open("rb") as file:
            state = json.loads(file.read(_MOST_STATE_BYTES))
        found = [Path(file["filename"]).name for file in state["_data_files"]]
    except (OSError, ValueError, RecursionError, LookupError, TypeError):  # another program's
        return []
    return [name for name in found if (folder / name).is_file()]


def _readable(path: Path, root: Path) -> SourceFile:
    """Return a file with its problem where no reader is for it, so that nobody need open it."""
    try:
        whole_ending(path.name)
    except InputError as error:
        problem = SourceProblem(code=error.code, values=error.values)
        return SourceFile(path, relative_name(path, root), problem)
    return SourceFile(path, relative_name(path, root))


def _left_alone(path: Path, root: Path, code: str) -> SourceFile:
    relative = relative_name(path, root)
    problem = SourceProblem(code=code, values={"path": relative if path != root else root.name})
    return SourceFile(path, relative if path != root else "", problem)
