"""Show: where a page lies that a person asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from memlm.errors import InputError
from memlm.storage import new_file


def write_page(
    page: Callable[[], str], to: Path | str | None, *, otherwise: Callable[[], Path]
) -> Path:
    """Write what `page` returns to `to`, or where it lies `otherwise`; return the path.

    Raises InputError, before the page is made, where no file can lie.
    """
    check_page_place(to)
    file = otherwise() if to is None else Path(to).expanduser()
    text = page()
    with new_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")  # of a lone surrogate
    return file


def check_page_place(to: Path | str | None) -> None:
    """Raise InputError where no file can lie: a folder is there, or a file is on the way."""
    if to is None:
        return
    file = Path(to).expanduser()
    above = next((folder for folder in file.absolute().parents if folder.exists()), file)
    place = file if file.is_dir() else above
    if file.is_dir() or not above.is_dir():
        raise InputError("place_taken", path=file, place=place)
