"""Files that an older memlm wrote are brought up to date, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from memlm import workspace
from memlm.documents import DocumentStore, schema
from memlm.errors import InputError
from memlm.records import SourceText

VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE roots (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, path_hash TEXT UNIQUE NOT NULL,
    is_folder INTEGER NOT NULL);
CREATE TABLE files (
    root INTEGER NOT NULL, path TEXT NOT NULL, bytes_hash TEXT NOT NULL, reading TEXT NOT NULL,
    PRIMARY KEY (root, path));
CREATE TABLE documents (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, root INTEGER NOT NULL, path TEXT NOT NULL,
    position INTEGER NOT NULL, label TEXT, fields TEXT NOT NULL, split TEXT, content TEXT NOT NULL,
    characters INTEGER NOT NULL);
CREATE INDEX documents_by_place ON documents (root, path, position);
CREATE TABLE text_parts (
    document INTEGER NOT NULL, part INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (document, part));
CREATE TABLE rejected (
    root INTEGER NOT NULL, path TEXT NOT NULL, position INTEGER, code TEXT NOT NULL,
    details TEXT NOT NULL);
CREATE INDEX rejected_by_place ON rejected (root, path);
"""
TEXT = "an old text"


def old_hash(*parts: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


CONTENT = old_hash(TEXT, "", "True", "{}", "")
IDENTITY = old_hash("1", "old.csv", f"content:{CONTENT}", "1")[:16]
DIGEST = old_hash(IDENTITY, CONTENT)


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """A file of version 1 with one row of a table and one rejected row."""
    path = tmp_path / "documents.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_1)
    salt = "5a" * 16
    connection.executemany("INSERT INTO meta VALUES (?, ?)", [("digest", DIGEST), ("salt", salt)])
    place = old_hash(salt, "folder", str((tmp_path / "notes").resolve()))
    connection.execute("INSERT INTO roots VALUES (1, 'notes', ?, 1)", (place,))
    connection.execute("INSERT INTO files VALUES (1, 'old.csv', 'bytes', 'reading')")
    connection.execute(
        "INSERT INTO documents VALUES (1, ?, 1, 'old.csv', 2, NULL, '{}', NULL, ?, ?)",
        (IDENTITY, CONTENT, len(TEXT)),
    )
    connection.execute("INSERT INTO text_parts VALUES (1, 0, ?)", (TEXT,))
    connection.execute("INSERT INTO rejected VALUES (1, 'old.csv', 3, 'text_empty', '{}')")
    connection.commit()
    connection.close()
    return path


def contents(path: Path) -> tuple[object, ...]:
    with DocumentStore(path) as store:
        found = [(document.id, document.text, document.source) for document in store]
        return found, list(store.rejected()), store.digest()


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.close()
    return version


def test_file_of_version_1_keeps_its_documents(old_file: Path) -> None:
    documents, rejected, digest = contents(old_file)
    assert documents == [(IDENTITY, TEXT, "notes/old.csv:2")]
    assert [(item.source, item.position) for item in rejected] == [("notes/old.csv", 3)]
    assert (digest, version_of(old_file)) == (DIGEST, schema.SCHEMA_VERSION)


def test_file_of_version_1_is_collected_into_as_before(old_file: Path) -> None:
    with DocumentStore(old_file) as store:
        root = store.find_root(old_file.parent / "notes", is_folder=True)
        assert root is not None
        assert store.file_is_current(root, "old.csv", bytes_hash="bytes", reading="reading")
        with store.merging(root, "old.csv", bytes_hash="new", reading="reading") as merge:
            assert merge.add(SourceText(text=TEXT, position=5)) == IDENTITY
            merge.add(SourceText(text="new", position=2, member="a/b.csv"))
        assert (merge.counts.unchanged, merge.counts.added) == (1, 1)
        assert [document.source for document in store] == [
            "notes/old.csv:5",
            "notes/old.csv/a/b.csv:2",
        ]


def test_migration_that_fails_anywhere_leaves_the_old_file(
    old_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    for fails_at in range(1, 100):
        path = tmp_path / f"{fails_at}.sqlite"
        shutil.copy(old_file, path)
        if succeeds_but_for(fails_at, path, monkeypatch):
            break
        monkeypatch.setattr(sqlite3, "connect", connect)
        assert contents(path)[0] == [(IDENTITY, TEXT, "notes/old.csv:2")]
    assert fails_at > 10


def succeeds_but_for(number: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Open a store whose statement `number` fails; say whether there were fewer."""
    left = number

    class Failing(sqlite3.Connection):
        def execute(self, *arguments: object) -> sqlite3.Cursor:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            return super().execute(*arguments)  # type: ignore[arg-type]  # handed on as it came

    real = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **options: real(path, factory=Failing, **options)
    )
    try:
        with DocumentStore(path):
            return True
    except KeyboardInterrupt:
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_kill_within_the_migration_leaves_the_old_file(old_file: Path) -> None:
    code = f"""
import os, signal, sqlite3
from pathlib import Path
from memlm.documents import DocumentStore, schema
def migrate(connection, before=schema._migrate):
    before(connection)
    os.kill(os.getpid(), signal.SIGKILL)
schema._migrate = migrate
DocumentStore(Path({str(old_file)!r})).__enter__()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert version_of(old_file) == 0
    assert contents(old_file)[0] == [(IDENTITY, TEXT, "notes/old.csv:2")]


def test_file_of_a_newer_memlm_is_refused(old_file: Path) -> None:
    connection = sqlite3.connect(old_file)
    connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    connection.close()
    before = old_file.read_bytes()
    with pytest.raises(InputError) as caught, DocumentStore(old_file):
        pass
    assert caught.value.code == "workspace_is_newer"
    assert old_file.read_bytes() == before


def test_workspace_and_documents_have_one_version() -> None:
    assert workspace.SCHEMA_VERSION == schema.SCHEMA_VERSION
