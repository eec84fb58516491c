"""`memlm trace` and `generate --trace` open the index once, however many texts there are."""

from __future__ import annotations

import pytest

from memlm.index import open_index


@pytest.fixture
def opened(monkeypatch) -> list[object]:
    """Return the list of what was opened."""
    found: list[object] = []

    def note(folder):
        found.append(folder)
        return open_index(folder)

    monkeypatch.setattr("memlm.workflow.tracing.open_index", note)
    return found


def test_samples_are_traced_with_one_opening(memlm, trained, opened):
    done = memlm("generate", trained, "the", "--samples", "3", "--tokens", "5", "--trace", "--json")
    assert [set(one) >= {"spans", "recited_share"} for one in done.json["samples"]] == [True] * 3
    assert len(opened) == 1


def test_files_are_traced_with_one_opening(memlm, trained, corpus, sample, opened):
    done = memlm("trace", trained, corpus / "notes.txt", sample, "--json")
    assert [part["file"] for part in done.json["files"]] == [
        str(corpus / "notes.txt"), str(sample),
    ]  # fmt: skip
    assert len(opened) == 1
