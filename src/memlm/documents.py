"""`documents.sqlite`: the collected texts, each with an id that never changes.

The only file with SQL. A *root* is a source that was named (a folder or a file); a document is
found again by (root, path in the root, row key, occurrence), whose hash is its id. The store keeps
one *digest* of everything in it, the sum of the hashes of its documents, which does not depend on
the order in which they came: what was made from the documents compares it to know whether it is
stale.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from memlm.errors import CorruptArtefactError, InputError, ResourceError
from memlm.messages import render
from memlm.records import Document, Rejected, SourceProblem, SourceText, Split

PART_CHARACTERS = 1 << 26
"""SQLite takes at most 10^9 bytes a value; longer texts lie in several parts."""
_DIGEST_MODULUS = 1 << 128
_SCHEMA = """
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
_COLUMNS = (
    "d.number, d.id, d.path, d.position, d.label, d.fields, d.split, d.content, r.name, r.is_folder"
)
_MACHINE_CODES = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_TOOBIG,
}  # fmt: skip


@dataclass(frozen=True)
class Root:
    """A source that was named once: number for good, name for people."""

    number: int
    name: str
    is_folder: bool


@dataclass
class MergeCounts:
    """What merging one file changed, in documents."""

    added: int = 0
    unchanged: int = 0
    changed: int = 0
    removed: int = 0


class DocumentStore:
    """The documents of one workspace. Use as a context manager; writes are in `merging`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        with _database_errors(self.path):
            self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            self._set_up()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._connection.close()

    # -- roots and files ------------------------------------------------------------------------

    def find_root(self, path: Path, *, is_folder: bool) -> Root | None:
        """Return the root that lies at this absolute path, if one was collected from there.

        A file is never taken for the folder that once had its name.
        """
        return self._find_root(self._hash_path(path, is_folder))

    def add_root(self, path: Path, *, is_folder: bool) -> Root:
        """Give the source at this absolute path a number."""
        return self._add_root(_root_name(path), self._hash_path(path, is_folder), is_folder)

    def memory_root(self) -> Root:
        """Return the root of the texts that were handed over in Python: it lies nowhere."""
        place = _hash(self._salt(), "memory")
        return self._find_root(place) or self._add_root("texts", place, is_folder=False)

    def find_moved_root(
        self, bytes_hashes: Iterable[str], *, is_folder: bool, in_use: Iterable[int]
    ) -> Root | None:
        """Return the root most of whose files have these contents: it has moved."""
        hashes = list(bytes_hashes)
        best: tuple[int, Root] | None = None
        taken = set(in_use)
        for number, name, folder, total in self._rows(
            "SELECT r.number, r.name, r.is_folder, COUNT(*) FROM roots r"
            " JOIN files f ON f.root = r.number GROUP BY r.number"
        ):
            if number in taken or bool(folder) != is_folder:
                continue
            known = {h for (h,) in self._rows("SELECT bytes_hash FROM files WHERE root=?", number)}
            shared = sum(h in known for h in hashes)
            if 2 * shared > max(total, len(hashes)) and (best is None or shared > best[0]):
                best = shared, Root(number, name, bool(folder))
        return best[1] if best else None

    def move_root(self, root: Root, path: Path) -> Root:
        """Note that a root now lies at this absolute path."""
        self._run(
            "UPDATE roots SET path_hash = ?, name = ? WHERE number = ?",
            self._hash_path(path, root.is_folder),
            _root_name(path),
            root.number,
        )
        return Root(root.number, _root_name(path), root.is_folder)

    def file_is_current(self, root: Root, path: str, *, bytes_hash: str, reading: str) -> bool:
        """Say whether this file was read before with these bytes and these options."""
        rows = self._rows(
            "SELECT 1 FROM files WHERE root=? AND path=? AND bytes_hash=? AND reading=?",
            root.number,
            path,
            bytes_hash,
            reading,
        )
        return next(rows, None) is not None

    # -- documents ------------------------------------------------------------------------------

    @contextmanager
    def merging(
        self, root: Root, path: str, *, bytes_hash: str, reading: str, keeps_others: bool = False
    ) -> Iterator[FileMerge]:
        """Merge what a reader finds in one file, in one transaction: all of it or nothing.

        Documents of that file which the reader does not find again are removed, unless
        `keeps_others`.
        """
        self._run("BEGIN IMMEDIATE")
        try:
            merge = FileMerge(self, root, path)
            yield merge
            merge.finish(keeps_others=keeps_others)
            self._run(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                root.number,
                path,
                bytes_hash,
                reading,
            )
            self._run("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise

    def count(self) -> int:
        """Return the number of documents."""
        return int(self._value("SELECT COUNT(*) FROM documents") or 0)

    def count_in_file(self, root: Root, path: str) -> int:
        """Return the number of documents that came from one file."""
        sql = "SELECT COUNT(*) FROM documents WHERE root=? AND path=?"
        return int(self._value(sql, root.number, path) or 0)

    def characters(self) -> int:
        """Return the code points of all documents together."""
        return int(self._value("SELECT SUM(characters) FROM documents") or 0)

    def digest(self) -> str:
        """Return a hash of all documents (id, text, label, fields, split), whatever their order."""
        return f"{int(self._value('SELECT value FROM meta WHERE key=?', 'digest'), 16):032x}"

    def sizes(self) -> Iterator[tuple[str, str, int]]:
        """Yield (id, content hash, code points) of every document, in reading order."""
        yield from self._rows(
            "SELECT id, content, characters FROM documents ORDER BY root, path, position, number"
        )

    def labels(self) -> dict[str, int]:
        """Return every label with the number of documents that carry it."""
        return dict(
            self._rows(
                "SELECT label, COUNT(*) FROM documents WHERE label IS NOT NULL"
                " GROUP BY label ORDER BY label"
            )
        )

    def sources(self) -> list[tuple[str, int, int]]:
        """Return (name, documents, code points) of every root."""
        return list(
            self._rows(
                "SELECT r.name, COUNT(*), SUM(d.characters) FROM documents d"
                " JOIN roots r ON r.number = d.root GROUP BY r.number ORDER BY r.number"
            )
        )

    def __iter__(self) -> Iterator[Document]:
        """Yield every document, in the order of roots, paths and rows."""
        yield from self._documents("ORDER BY d.root, d.path, d.position, d.number")

    def get(self, document_id: str) -> Document | None:
        """Return one document, or None."""
        return next(self._documents("WHERE d.id = ?", document_id), None)

    def source_of(self, document_id: str) -> str | None:
        """Return where a document lies, as people name it."""
        rows = self._rows(
            "SELECT r.name, r.is_folder, d.path, d.position FROM documents d"
            " JOIN roots r ON r.number = d.root WHERE d.id = ?",
            document_id,
        )
        row = next(rows, None)
        return None if row is None else place_name(row[0], bool(row[1]), row[2], row[3])

    def reject_file(self, root: Root, path: str, problem: SourceProblem) -> None:
        """Note that a whole file could not be read; documents it gave earlier stay."""
        # Should its old bytes come back, they must be read again, or this problem would stay.
        self._run("DELETE FROM files WHERE root=? AND path=?", root.number, path)
        self._run("DELETE FROM rejected WHERE root=? AND path=?", root.number, path)
        self._reject(root, path, problem)

    def rejected(self) -> Iterator[Rejected]:
        """Yield everything that could not be read when its source was last collected."""
        yield from (rejected for _, rejected in self._rejected(""))

    def rejected_by_code(self) -> Iterator[tuple[str, Rejected]]:
        """Yield the same, each with the code of its sentence."""
        yield from self._rejected("")

    def paths_of(self, root: Root) -> set[str]:
        """Return the paths of all files of a root that gave documents."""
        sql = "SELECT DISTINCT path FROM documents WHERE root=?"
        return {path for (path,) in self._rows(sql, root.number)}

    def rejected_in_file(self, root: Root, path: str) -> list[Rejected]:
        """Return what could not be read of one file when it was last read."""
        found = self._rejected("WHERE x.root=? AND x.path=?", root.number, path)
        return [rejected for _, rejected in found]

    # -- the connection -------------------------------------------------------------------------

    def _documents(self, clause: str, *values: object) -> Iterator[Document]:
        for row in self._rows(
            f"SELECT {_COLUMNS} FROM documents d JOIN roots r ON r.number = d.root {clause}",
            *values,
        ):
            number, identity, path, position, label, fields, split, content, name, folder = row
            parts = self._rows(
                "SELECT text FROM text_parts WHERE document = ? ORDER BY part", number
            )
            text = "".join(part for (part,) in parts)
            if _hash_content(text, label, fields, split) != content:
                raise CorruptArtefactError("artefact_unreadable", path=self.path)
            yield Document(
                id=identity,
                text=text,
                label=label,
                fields=json.loads(fields),
                source=place_name(name, bool(folder), path, position),
                split=cast(Split | None, split),
            )

    def _rejected(self, clause: str, *values: object) -> Iterator[tuple[str, Rejected]]:
        for name, folder, path, position, code, details in self._rows(
            "SELECT r.name, r.is_folder, x.path, x.position, x.code, x.details FROM rejected x"
            f" JOIN roots r ON r.number = x.root {clause} ORDER BY x.root, x.path, x.position",
            *values,
        ):
            found = json.loads(details)
            sentences = (render(f"error.{code}.{part}", **found) for part in ("message", "hint"))
            yield (
                code,
                Rejected(
                    source=place_name(name, bool(folder), path, None),
                    position=position,
                    reason=" ".join(sentences).strip(),
                ),
            )

    def _reject(self, root: Root, path: str, problem: SourceProblem) -> None:
        details = json.dumps(dict(problem.values), default=str)
        self._run(
            "INSERT INTO rejected VALUES (?, ?, ?, ?, ?)",
            root.number,
            path,
            problem.position,
            problem.code,
            details,
        )

    def _find_root(self, place: str) -> Root | None:
        rows = self._rows("SELECT number, name, is_folder FROM roots WHERE path_hash=?", place)
        return next((Root(number, name, bool(folder)) for number, name, folder in rows), None)

    def _add_root(self, name: str, place: str, is_folder: bool) -> Root:
        sql = "INSERT INTO roots (name, path_hash, is_folder) VALUES (?, ?, ?)"
        cursor = self._run(sql, name, place, is_folder)
        return Root(cast(int, cursor.lastrowid), name, is_folder)

    def _hash_path(self, path: Path, is_folder: bool) -> str:
        return _hash(self._salt(), "folder" if is_folder else "file", str(path.resolve()))

    def _salt(self) -> str:
        return str(self._value("SELECT value FROM meta WHERE key=?", "salt"))

    def _set_up(self) -> None:
        # Some builds have secure_delete on, others off: deleted text must be gone.
        for setting in ("journal_mode=DELETE", "synchronous=FULL", "secure_delete=ON"):
            self._run(f"PRAGMA {setting}")
        # What is there already is not written again: a reader must not wait for a writer.
        if self._value("SELECT 1 FROM sqlite_master WHERE name=?", "rejected_by_place") is None:
            with _database_errors(self.path):
                self._connection.executescript(_SCHEMA)
        for key, value in (("digest", "0"), ("salt", secrets.token_hex(16))):
            if self._value("SELECT 1 FROM meta WHERE key=?", key) is None:
                self._run("INSERT OR IGNORE INTO meta VALUES (?, ?)", key, value)

    def _value(self, sql: str, *values: object) -> Any:  # Any: SQLite's value types
        row = next(self._rows(sql, *values), None)
        return None if row is None else row[0]

    def _rows(self, sql: str, *values: object) -> Iterator[Any]:  # Any: SQLite's rows
        cursor = self._run(sql, *values)
        while True:
            with _database_errors(self.path):
                rows = cursor.fetchmany(256)
            if not rows:
                return
            yield from rows

    def _run(self, sql: str, *values: object) -> sqlite3.Cursor:
        with _database_errors(self.path):
            return self._connection.execute(sql, cast(tuple[Any, ...], values))


class FileMerge:
    """One file being read into the store; made by `DocumentStore.merging`."""

    def __init__(self, store: DocumentStore, root: Root, path: str) -> None:
        self._store, self._root, self._path = store, root, path
        self.counts = MergeCounts()
        self._digest_change = 0
        for table in ("seen (id TEXT PRIMARY KEY)", "row_keys (key TEXT PRIMARY KEY, n INTEGER)"):
            store._run(f"CREATE TEMP TABLE IF NOT EXISTS {table}")
        store._run("CREATE TEMP TABLE IF NOT EXISTS new_positions (position INTEGER PRIMARY KEY)")
        for name in ("seen", "row_keys", "new_positions"):
            store._run(f"DELETE FROM temp.{name}")
        store._run("DELETE FROM rejected WHERE root=? AND path=?", root.number, path)

    def add(self, found: SourceText, *, split: Split | None = None) -> str:
        """Store one text if it is new or changed; return its document id."""
        fields = json.dumps(dict(found.fields), ensure_ascii=False, sort_keys=True, default=str)
        content = _hash_content(found.text, found.label, fields, split)
        identity = self._identify(found, content)
        self._store._run("INSERT OR IGNORE INTO temp.seen VALUES (?)", identity)
        position = found.position or 0
        known = next(
            self._store._rows(
                "SELECT number, content, position FROM documents WHERE id=?", identity
            ),
            None,
        )
        if known is not None and known[1] == content:
            self.counts.unchanged += 1
            if known[2] != position:  # rows above it came or went
                self._store._run(
                    "UPDATE documents SET position=? WHERE number=?", position, known[0]
                )
            return identity
        if known is None:
            self.counts.added += 1
            self._store._run("INSERT OR IGNORE INTO temp.new_positions VALUES (?)", position)
        else:
            self.counts.changed += 1
            self._delete(known[0], identity, known[1])
        self._insert(found, identity, position, fields, content, split)
        return identity

    def reject(self, problem: SourceProblem) -> None:
        """Note a row that could not be read, so that it can be listed now and later."""
        self._store._reject(self._root, self._path, problem)

    def finish(self, *, keeps_others: bool) -> None:
        """Remove what the file no longer holds, and bring the digest up to date."""
        if not keeps_others:
            self._remove_unseen()
        old = int(self._store._value("SELECT value FROM meta WHERE key=?", "digest"), 16)
        new = (old + self._digest_change) % _DIGEST_MODULUS
        self._store._run("UPDATE meta SET value=? WHERE key=?", f"{new:x}", "digest")

    def _remove_unseen(self) -> None:
        gone = list(
            self._store._rows(
                "SELECT number, id, content, position IN (SELECT position FROM temp.new_positions)"
                " FROM documents WHERE root=? AND path=? AND id NOT IN (SELECT id FROM temp.seen)",
                self._root.number,
                self._path,
            )
        )
        for number, identity, content, is_replaced in gone:
            self._delete(number, identity, content)
            # A row without a key of its own changes its id when it is edited: still one change.
            self.counts.changed += is_replaced
            self.counts.added -= is_replaced
            self.counts.removed += 1 - is_replaced

    def _identify(self, found: SourceText, content: str) -> str:
        key = ""
        if found.position is not None:
            key = f"key:{found.key}" if found.key is not None else f"content:{content}"
        occurrence = self._store._value(
            "INSERT INTO temp.row_keys VALUES (?, 1)"
            " ON CONFLICT (key) DO UPDATE SET n = n + 1 RETURNING n",
            key,
        )
        return _hash(str(self._root.number), self._path, key, str(occurrence))[:16]

    def _insert(
        self,
        found: SourceText,
        identity: str,
        position: int,
        fields: str,
        content: str,
        split: Split | None,
    ) -> None:
        cursor = self._store._run(
            "INSERT INTO documents (id, root, path, position, label, fields, split, content,"
            " characters) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            identity,
            self._root.number,
            self._path,
            position,
            found.label,
            fields,
            split,
            content,
            len(found.text),
        )
        for part, start in enumerate(range(0, len(found.text), PART_CHARACTERS)):
            text = found.text[start : start + PART_CHARACTERS]
            self._store._run(
                "INSERT INTO text_parts VALUES (?, ?, ?)", cursor.lastrowid, part, text
            )
        self._digest_change += _digest_share(identity, content)

    def _delete(self, number: int, identity: str, content: str) -> None:
        self._store._run("DELETE FROM text_parts WHERE document=?", number)
        self._store._run("DELETE FROM documents WHERE number=?", number)
        self._digest_change -= _digest_share(identity, content)


def place_name(root: str, is_folder: bool, path: str, position: int | None) -> str:
    """Return where something lies as people name it: `notes/monday.txt`, `train.csv:12`."""
    name = f"{root}/{path}" if is_folder else root
    return f"{name}:{position}" if position else name


def _root_name(path: Path) -> str:
    """Return the last name of a path; bytes in it that are not UTF-8 are spelt out."""
    name = path.name or path.anchor
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _hash_content(text: str, label: str | None, fields: str, split: str | None) -> str:
    return _hash(text, label or "", str(label is None), fields, split or "")


def _hash(*parts: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def _digest_share(identity: str, content: str) -> int:
    return int(_hash(identity, content), 16)


@contextmanager
def _database_errors(path: Path) -> Iterator[None]:
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
