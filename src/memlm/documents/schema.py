"""The tables of `documents.sqlite`, and what SQLite says in the words of memlm.

The file carries the number of its schema. Version 1 had none and knew no members of archives; it
is brought up to date in one transaction, so that a crash leaves the old file or the new one.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memlm.errors import CorruptArtefactError, InputError, ResourceError

SCHEMA_VERSION = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS roots (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, path_hash TEXT UNIQUE NOT NULL,
    is_folder INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    root INTEGER NOT NULL, path TEXT NOT NULL, bytes_hash TEXT NOT NULL, reading TEXT NOT NULL,
    PRIMARY KEY (root, path));
CREATE TABLE IF NOT EXISTS pages (
    root INTEGER NOT NULL, path TEXT NOT NULL, etag TEXT NOT NULL, last_modified TEXT NOT NULL,
    PRIMARY KEY (root, path));
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, root INTEGER NOT NULL, path TEXT NOT NULL,
    position INTEGER NOT NULL, label TEXT, fields TEXT NOT NULL, split TEXT, content TEXT NOT NULL,
    characters INTEGER NOT NULL, member TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS documents_by_place ON documents (root, path, member, position);
CREATE TABLE IF NOT EXISTS text_parts (
    document INTEGER NOT NULL, part INTEGER NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (document, part));
CREATE TABLE IF NOT EXISTS rejected (
    root INTEGER NOT NULL, path TEXT NOT NULL, position INTEGER, code TEXT NOT NULL,
    details TEXT NOT NULL, member TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS rejected_by_place ON rejected (root, path);
"""
_MACHINE_CODES = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_TOOBIG,
}  # fmt: skip


def set_up(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or bring those of an older memlm up to date; `path` is for messages.

    Raises InputError for a file of a newer memlm.
    """
    # What is there already is not written again: a reader must not wait for a writer.
    if _version(connection, path) == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection, path) < SCHEMA_VERSION:  # nobody else was faster
            _migrate(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise InputError(
            "workspace_is_newer", path=path.parent, version=version, known=SCHEMA_VERSION
        )
    return version


def _migrate(connection: sqlite3.Connection) -> None:
    for table in ("documents", "rejected"):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        if columns and "member" not in columns:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN member TEXT NOT NULL DEFAULT ''")
            connection.execute("DROP INDEX IF EXISTS documents_by_place")
    for statement in _TABLES.split(";"):
        connection.execute(statement)
    is_new = connection.execute("SELECT 1 FROM meta").fetchone() is None
    # What an older memlm removed is not known: see `removed.py`.
    keys = {"digest": "0", "salt": secrets.token_hex(16), **({"removed": "0"} if is_new else {})}
    for key, value in keys.items():
        connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, value))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


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
