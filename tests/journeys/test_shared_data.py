"""Every folder of the development data: one command each, and no file without a trace.

These are files as people have them: tables of every make, books, pages, archives, pictures, and
endings that nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memlm.documents import DocumentStore

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FOLDERS = sorted(path.name for path in DATA.iterdir() if path.is_dir()) if DATA.is_dir() else [""]
pytestmark = [pytest.mark.slow, pytest.mark.shared_data]


@pytest.mark.parametrize("name", FOLDERS)
def test_every_file_is_a_source_of_documents_or_rejected_with_a_reason(
    memlm: Callable[..., Any], shared_data: Path, tmp_path: Path, name: str
) -> None:
    report = memlm("collect", tmp_path / "ws", shared_data / name)
    with DocumentStore(tmp_path / "ws" / "documents.sqlite") as store:
        places = {document.source for document in store}
        assert store.count() == report["documents_added"]
        rejected = list(store.rejected())  # the report lists the first thousand
    assert report["documents_rejected"] == len(rejected)
    assert all(item.reason.strip() for item in rejected)
    places |= {item.source for item in rejected}
    assert [file for file in files_of(shared_data / name) if not is_among(file, places)] == []
    if report["documents_added"]:
        prepared = memlm("prepare", tmp_path / "ws")
        assert prepared["documents"] + prepared["dropped"] == report["documents_added"]
        assert prepared["dropped"] == sum(prepared["dropped_by_reason"].values())
        assert sum(prepared["tokens"].values()) > 0


def files_of(folder: Path) -> list[str]:
    """Return the files below a folder, as collecting names them."""
    return [
        f"{folder.name}/{path.relative_to(folder).as_posix()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def is_among(file: str, places: set[str]) -> bool:
    """Say whether a file, a row of it or a member of it is among the places."""
    return any(place == file or place.startswith((f"{file}:", f"{file}/")) for place in places)
