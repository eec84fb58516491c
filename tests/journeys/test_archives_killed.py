"""A real `collect` that is killed inside an archive leaves nothing half read and nothing behind."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

MEMBERS = 1500


def _wait_until_it_reads(ws: Path, process) -> None:
    until = time.monotonic() + 60
    while not (list(ws.glob("scratch.tmp-*/*")) and (ws / "documents.sqlite-journal").exists()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_kill_within_an_archive_loses_no_member_and_leaves_no_file(memlm, start, tmp_path):
    ws, source = tmp_path / "ws", tmp_path / "many.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for number in range(MEMBERS):
            archive.writestr(f"in/{number}.txt", f"text number {number}")
    process = start("collect", ws, source)
    _wait_until_it_reads(ws, process)
    process.kill()
    process.communicate(timeout=60)
    assert list(ws.glob("scratch.tmp-*"))

    assert memlm("collect", ws, source)["documents_added"] == MEMBERS
    assert not list(ws.glob("scratch*"))
    assert memlm("collect", ws, source)["documents_unchanged"] == MEMBERS
