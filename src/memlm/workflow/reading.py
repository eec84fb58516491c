"""Read: what lies in files, or came through a pipe, to be looked at and not collected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memlm import messages
from memlm.collect import (
    CollectConfig,
    Reading,
    SourceFile,
    list_files,
    normalise_text,
    read_file,
    read_text_file,
)
from memlm.errors import InputError, MemlmError, MissingExtraError, NotFoundError
from memlm.records import Rejected, SourceProblem, SourceText


@dataclass(frozen=True)
class FoundText:
    """A text that was read to be looked at."""

    name: str
    """The path of its file as it was named; with the row's line, or the member of an archive."""
    text: str


def read_texts(path: Path | str, *, encoding: str | None = None) -> Iterator[FoundText | Rejected]:
    """Yield the texts of a file, or of all files below a folder in order, read as in `collect`.

    So a table gives a text a row, a web page what it says. A named file of an ending that `collect`
    does not know is one text. What cannot be read of a folder, and rows that are none, come out as
    rejected; for a named file as a whole InputError is raised, NotFoundError if it is not there.
    """
    named = Path(path).expanduser()
    config = CollectConfig(encoding=encoding)
    for file in list_files(named):
        is_named = file.path == named
        name = str(path) if is_named else str(Path(path) / file.relative)
        if is_named and file.problem is not None and file.problem.code == "ending_unknown":
            yield FoundText(name, read_whole_text(named, encoding))
            continue
        try:
            yield from _read_listed(file, name, Reading(config=config, is_named=is_named))
        except (InputError, MissingExtraError) as error:
            if is_named:
                raise
            yield Rejected(source=name, position=None, reason=error.message)
        except (MemlmError, OSError, MemoryError):  # of the machine, not of this file
            raise
        except Exception as error:  # one odd file must not cost the others
            if is_named:
                raise
            values = {"path": name, "kind": type(error).__name__}
            yield _rejected(SourceProblem(code="reader_failed", values=values), name)


def _read_listed(file: SourceFile, name: str, reading: Reading) -> Iterator[FoundText | Rejected]:
    if file.problem is not None:
        yield _rejected(file.problem, name)
        return
    for item in read_file(file.path, reading):
        if isinstance(item, SourceProblem):
            yield _rejected(item, name)
        elif isinstance(item, SourceText):
            own = f"{name}/{item.member}" if item.member else name
            text = item.text if item.blocks is None else "".join(item.blocks())
            yield FoundText(f"{own}:{item.position}" if item.position else own, text)


def _rejected(problem: SourceProblem, name: str) -> Rejected:
    reason = messages.render(f"error.{problem.code}.message", **problem.values)
    own = f"{name}/{problem.member}" if problem.member else name
    return Rejected(source=own, position=problem.position, reason=reason)


def read_whole_text(path: Path | str, encoding: str | None = None) -> str:
    """Return a whole file as one text, whatever its ending, decoded and normalised as in `collect`.

    Raises NotFoundError if there is no such file, InputError if it is not text.
    """
    found = read_text_file(existing_file(path), Reading(config=CollectConfig(encoding=encoding)))
    item = next(item for item in found if isinstance(item, SourceText))
    return item.text if item.blocks is None else "".join(item.blocks())


def text_from_bytes(data: bytes) -> str:
    """Return bytes that came through a pipe as text; InputError if they are not UTF-8."""
    try:
        return normalise_text(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            "not_in_encoding", path="-", offset=error.start, encoding="utf-8"
        ) from error


def existing_file(path: Path | str) -> Path:
    """Return the path of a file that is there; NotFoundError or InputError if it is not."""
    file = Path(path).expanduser()
    if not file.exists():
        raise NotFoundError("source_missing", path=file)
    if not file.is_file():
        raise InputError("not_a_file", path=file)
    return file
