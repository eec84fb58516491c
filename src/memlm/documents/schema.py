"""The tables of `documents.sqlite`, and what SQLite says in the words of memlm."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memlm.errors import CorruptArtefactError, InputError, ResourceError

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS roots (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, path_hash TEXT UNIQUE NOT NULL,
    is_folder INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    root INTEGER NOT NULL, path TEXT NOT NULL, bytes_hash TEXT NOT NULL, reading TEXT NOT NULL,
    PRIMARY KEY (root, path));
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, root INTEGER NOT NULL, path TEXT NOT NULL,
    position INTEGER NOT NULL, label TEXT, fields TEXT NOT NULL, split TEXT, content TEXT NOT NULL,
    characters INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS documents_by_place ON documents (root, path, position);
CREATE TABLE IF NOT EXISTS text_parts (
    document INTEGER NOT NULL, part INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (document, part));
CREATE TABLE IF NOT EXISTS rejected (
    root INTEGER NOT NULL, path TEXT NOT NULL, position INTEGER, code TEXT NOT NULL,
    details TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS rejected_by_place ON rejected (root, path);
"""
_MACHINE_CODES = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_TOOBIG,
}  # fmt: skip


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        # The low byte is the kind. Text that is no UTF-8 comes without a code: it is damaged.
        kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise InputError("workspace_busy", path=path.parent, process="?") from error
        if kind in _MACHINE_CODES:
            raise ResourceError("cannot_write", path=path, reason=error) from error
        raise CorruptArtefactError("artefact_unreadable", path=path) from error
