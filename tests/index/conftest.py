"""Indexes of small texts, and the two ways in which an index is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from memlm.index import Entry, SegmentEntry, SuffixIndex, open_index, refresh_index, suffix_index
from memlm.storage import hash_json

Texts = Mapping[str, "str | list[int]"]
Refresh = Callable[..., list[str]]


@pytest.fixture(params=["numpy", "compiled"])
def asked_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Ask in numpy alone, then in compiled loops, whatever the size of the question."""
    if request.param == "compiled":
        pytest.importorskip("numba")
    size = 0 if request.param == "compiled" else 1 << 60
    monkeypatch.setattr(suffix_index, "WORTH_COMPILING", size)
    monkeypatch.setattr(suffix_index, "WORTH_CALLING", size)
    return str(request.param)


@pytest.fixture(scope="session")
def refresh() -> Refresh:
    """Bring an index in step with {key: text or ids}; return the keys that had to be read."""

    def refresh(
        folder: Path,
        texts: Texts,
        digest: str = "d",
        *,
        groups: Mapping[str, str] | None = None,
        vocabulary_size: int | None = None,
        **options: str,
    ) -> list[str]:
        was_read: list[str] = []
        contents = {key: hash_json(text) for key, text in texts.items()}

        def read(keys: Iterable[str]) -> Iterator[SegmentEntry]:
            for key in keys:
                was_read.append(key)
                text = texts[key]
                symbols = text if isinstance(text, str) else np.asarray(text, np.int64)
                yield SegmentEntry(key, contents[key], symbols)

        entries = {
            key: Entry(contents[key], len(text), (groups or {}).get(key, ""))
            for key, text in texts.items()
        }
        refresh_index(
            folder,
            digest=digest,
            entries=entries,
            read=read,
            vocabulary_size=vocabulary_size,
            **options,
        )
        return was_read

    return refresh


@pytest.fixture
def build(refresh: Refresh, tmp_path: Path) -> Callable[..., SuffixIndex]:
    """Build and open an index of texts, or lists of ids, which are called d0, d1, ..."""

    def build(texts: Iterable[str | list[int]], name: str = "index", **options) -> SuffixIndex:
        keyed = {f"d{number}": text for number, text in enumerate(texts)}
        refresh(tmp_path / name, keyed, **options)
        return open_index(tmp_path / name)

    return build
