"""Read: a whole file, or what came through a pipe, as one text."""

from __future__ import annotations

from pathlib import Path

from memlm.collect import CollectConfig, Reading, normalise_text, read_text_file
from memlm.errors import InputError, NotFoundError
from memlm.records import SourceText


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
