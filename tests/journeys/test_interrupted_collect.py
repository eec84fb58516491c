"""A collecting that is killed or stopped leaves a sound workspace and goes on where it was."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from memlm import CollectConfig, collect_documents
from memlm.collect import collection
from memlm.storage import is_leftover

FILES = 500
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Return a folder of so many files that there is time to stop in the middle."""
    folder = tmp_path_factory.mktemp("many") / "many"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:05}.txt").write_text(f"file {number} says nothing much\n" * 20)
    return folder


def _collected(ws: Path) -> int:
    """Return how many files are in."""
    with closing(sqlite3.connect(ws / "documents.sqlite")) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM files").fetchone()[0])


def _stop_when_some_are_in(ws: Path, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    path = ws / "documents.sqlite"
    while not path.exists() or path.stat().st_size < 150_000:  # half of it is tables yet empty
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)  # it holds still, wherever it is, and keeps its lock


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)],
    ids=["SIGKILL", "SIGTERM", "SIGINT"],
)
def test_stopped_collect_goes_on_and_reads_no_file_twice(
    start, memlm, many, tmp_path, monkeypatch, number, code
):
    ws = tmp_path / "ws"
    process = start("collect", ws, many, "--json")
    _stop_when_some_are_in(ws, process)
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    # Python may warn of a file that the signal met between its opening and its `with`.
    assert "KeyboardInterrupt" not in said
    had = _collected(ws)
    assert 0 < had < FILES

    read: list[str] = []
    real = collection.read_file
    monkeypatch.setattr(
        collection, "read_file", lambda path, how: read.append(path.name) or real(path, how)
    )
    report = collect_documents(ws, many, config=CollectConfig())
    assert (report.documents_unchanged, report.documents_added) == (had, FILES - had)
    assert read == [f"{n:05}.txt" for n in range(had, FILES)]
    assert memlm("info", ws)["documents"]["documents"] == FILES
    assert not [path for path in ws.rglob("*") if is_leftover(path.name)]
    assert not (ws / "documents.sqlite-journal").exists()


def test_second_collect_is_refused_while_one_is_at_work(start, memlm, many, corpus, tmp_path):
    ws = tmp_path / "ws"
    process = start("collect", ws, many, "--json")
    _stop_when_some_are_in(ws, process)
    refused = memlm("collect", ws, corpus, code=2)
    assert refused["error"]["code"] == "workspace_busy"
    assert str(process.pid) in refused["error"]["message"]
    process.kill()
    process.communicate(timeout=60)
    assert memlm("collect", ws, corpus)["documents_added"] == 82
