"""The documents of one workspace: which there are, where they came from, what was rejected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from memlm.documents.database import Database
from memlm.documents.merge import FileMerge
from memlm.documents.places import (
    Root,
    hash_content,
    hash_parts,
    hash_place,
    place_name,
    root_name,
)
from memlm.errors import CorruptArtefactError
from memlm.messages import join, render
from memlm.records import Document, Rejected, SourceProblem, Split

_COLUMNS = (
    "d.number, d.id, d.path, d.position, d.label, d.fields, d.split, d.content, r.name,"
    " r.is_folder, d.member"
)


class DocumentStore(Database):
    """The documents of one workspace. Use as a context manager; writes are in `merging`."""

    # -- roots and files ------------------------------------------------------------------------

    def find_root(self, path: Path, *, is_folder: bool) -> Root | None:
        """Return the root that lies at this absolute path, if one was collected from there.

        A file is never taken for the folder that once had its name.
        """
        return self._find_root(self._hash_path(path, is_folder))

    def add_root(self, path: Path, *, is_folder: bool) -> Root:
        """Give the source at this absolute path a number."""
        return self._add_root(root_name(path), self._hash_path(path, is_folder), is_folder)

    def find_address(self, address: str) -> Root | None:
        """Return the root that is this web address, if it was collected before."""
        return self._find_root(hash_parts(self.salt(), "address", address))

    def add_address(self, address: str) -> Root:
        """Give a web address a number; its pages are its files, each under its own address."""
        place = hash_parts(self.salt(), "address", address)
        return self._add_root(address, place, is_folder=True)

    def memory_root(self) -> Root:
        """Return the root of the texts that were handed over in Python: it lies nowhere."""
        place = hash_parts(self.salt(), "memory")
        return self._find_root(place) or self._add_root("texts", place, is_folder=False)

    def roots(self) -> list[Root]:
        """Return all roots."""
        rows = self._rows("SELECT number, name, is_folder FROM roots ORDER BY number")
        return [Root(number, name, bool(folder)) for number, name, folder in rows]

    def place_of(self, root: Root) -> str:
        """Return the salted hash of the place where a root lies."""
        return str(self._value("SELECT path_hash FROM roots WHERE number=?", root.number))

    def bytes_hashes(self, root: Root) -> dict[str, str]:
        """Return the hash of each file of a root that was read, as its bytes were then."""
        sql = "SELECT path, bytes_hash FROM files WHERE root=?"
        return dict(self._rows(sql, root.number))

    def move_root(self, root: Root, path: Path) -> Root:
        """Note that a root now lies at this absolute path."""
        self._run(
            "UPDATE roots SET path_hash = ?, name = ? WHERE number = ?",
            self._hash_path(path, root.is_folder),
            root_name(path),
            root.number,
        )
        return Root(root.number, root_name(path), root.is_folder)

    def kept_options(self) -> dict[str, dict[str, Any]]:  # Any: JSON
        """Return what was kept of how the places of each root are read; see `collect/wishes.py`."""
        found: dict[str, dict[str, Any]] = json.loads(
            self._value("SELECT value FROM meta WHERE key=?", "options") or "{}"
        )
        return found

    def keep_options(self, options: dict[str, dict[str, Any]]) -> None:  # Any: JSON
        """Keep that, in place of what was kept."""
        value = json.dumps(options, ensure_ascii=False)
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", "options", value)

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

    def split_of_file(self, root: Root, path: str) -> Split | None:
        """Return the side on which all documents of a file were put; None if there is none."""
        sql = "SELECT DISTINCT split FROM documents WHERE root=? AND path=?"
        sides = [side for (side,) in self._rows(sql, root.number, path)]
        return cast(Split, sides[0]) if len(sides) == 1 else None

    def page_marks(self, root: Root, *, reading: str) -> dict[str, tuple[str, str]]:
        """Return (ETag, Last-Modified) of each page of a root that gave documents.

        Empty where the server gave none, or the page was read with other options.
        """
        marks = dict.fromkeys(self.paths_of(root), ("", ""))
        for path, etag, last_modified in self._rows(
            "SELECT p.path, p.etag, p.last_modified FROM pages p"
            " JOIN files f ON f.root = p.root AND f.path = p.path"
            " WHERE p.root = ? AND f.reading = ?",
            root.number,
            reading,
        ):
            if path in marks:
                marks[path] = etag, last_modified
        return marks

    def mark_page(self, root: Root, path: str, *, etag: str, last_modified: str) -> None:
        """Keep what a server said of a page, to ask it next time whether the page has changed."""
        sql = "INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?)"
        self._run(sql, root.number, path, etag, last_modified)

    # -- documents ------------------------------------------------------------------------------

    @contextmanager
    def merging(
        self, root: Root, path: str, *, bytes_hash: str, reading: str, keeps_others: bool = False
    ) -> Iterator[FileMerge]:
        """Merge what a reader finds in one file, in one transaction: all of it or nothing.

        Documents of that file which the reader does not find again are removed, unless
        `keeps_others`.
        """
        with self._transaction():
            # What several calls brought together has no side in common.
            split = None if keeps_others else self.split_of_file(root, path)
            merge = FileMerge(self, root, path, split=split)
            yield merge
            merge.finish(keeps_others=keeps_others)
            self._run(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
                root.number,
                path,
                bytes_hash,
                reading,
            )

    def remove_files(self, root: Root, paths: Iterable[str]) -> int:
        """Remove files with all their documents, in one transaction; return how many those were."""
        removed = 0
        with self._transaction():
            for path in paths:
                merge = FileMerge(self, root, path)  # which forgets what was rejected too
                merge.finish(keeps_others=False)
                removed += merge.counts.removed
                for table in ("files", "pages"):
                    self._run(f"DELETE FROM {table} WHERE root=? AND path=?", root.number, path)
        return removed

    def forget_rejected(self, root: Root, path: str) -> None:
        """No longer list what could not be read of a file that is gone."""
        self._run("DELETE FROM rejected WHERE root=? AND path=?", root.number, path)

    def write_compact(self, path: Path) -> None:
        """Write all of this to a new file that has no trace of what was deleted.

        SQLite's own VACUUM writes its copy where the system keeps temporary files; this does not.
        """
        self._run("VACUUM INTO ?", str(path))

    def count(self) -> int:
        """Return the number of documents."""
        return int(self._value("SELECT COUNT(*) FROM documents") or 0)

    def count_in_file(self, root: Root, path: str) -> int:
        """Return the number of documents that came from one file."""
        sql = "SELECT COUNT(*) FROM documents WHERE root=? AND path=?"
        return int(self._value(sql, root.number, path) or 0)

    def count_labelled(self, root: Root, path: str) -> int:
        """Return how many of them carry a label."""
        sql = "SELECT COUNT(label) FROM documents WHERE root=? AND path=?"
        return int(self._value(sql, root.number, path) or 0)

    def members_of(self, root: Root, path: str) -> Iterator[str]:
        """Yield the members of one archive that gave documents; an empty name for other files."""
        sql = "SELECT DISTINCT member FROM documents WHERE root=? AND path=?"
        yield from (member for (member,) in self._rows(sql, root.number, path))

    def count_below(self, root: Root, place: str) -> int:
        """Return the number of documents of a file or folder in a root; of all of it if empty."""
        inside = place.rstrip("/")
        if not inside:
            return int(self._value("SELECT COUNT(*) FROM documents WHERE root=?", root.number) or 0)
        # Not of a neighbour whose name begins the same way.
        sql = "SELECT COUNT(*) FROM documents WHERE root=? AND (path=? OR substr(path, 1, ?)=?)"
        below = f"{inside}/"
        return int(self._value(sql, root.number, inside, len(below), below) or 0)

    def ids_in_files(self, root: Root, paths: Iterable[str]) -> Iterator[str]:
        """Yield the ids of all documents that came from these files."""
        for path in paths:
            sql = "SELECT id FROM documents WHERE root=? AND path=?"
            yield from (identity for (identity,) in self._rows(sql, root.number, path))

    def ids(self) -> Iterator[str]:
        """Yield the id of every document."""
        yield from (identity for (identity,) in self._rows("SELECT id FROM documents"))

    def characters(self) -> int:
        """Return the code points of all documents together."""
        return int(self._value("SELECT SUM(characters) FROM documents") or 0)

    def digest(self) -> str:
        """Return a hash of all documents (id, text, label, fields, split), whatever their order."""
        return f"{int(self._value('SELECT value FROM meta WHERE key=?', 'digest'), 16):032x}"

    def sizes(self) -> Iterator[tuple[str, str, int]]:
        """Yield (id, content hash, code points) of every document, in reading order."""
        yield from self._rows(
            "SELECT id, content, characters FROM documents"
            " ORDER BY root, path, member, position, number"
        )

    def contents(self) -> Iterator[tuple[int, str, str, int]]:
        """Yield (number, id, content hash, code points) of every document, in reading order.

        The number is what `read_numbers` takes; it stays while the document does.
        """
        yield from self._rows(
            "SELECT number, id, content, characters FROM documents"
            " ORDER BY root, path, member, position, number"
        )

    def read_numbers(self, numbers: Iterable[int]) -> Iterator[tuple[int, Document]]:
        """Yield the documents with these numbers, in the order given; those that are gone are not.

        As fast as reading all of them in a row where their numbers follow one another.
        """
        for number in numbers:
            for document in self._documents("WHERE d.number = ?", number):
                yield number, document

    def split_of(self, document_id: str) -> Split | None:
        """Return the side on which a document was put by name; None where the hash decides."""
        return cast(
            Split | None, self._value("SELECT split FROM documents WHERE id=?", document_id)
        )

    def files_on_side(self, split: Split) -> list[tuple[str, int]]:
        """Return (file, documents) of every file with documents that were put there by name."""
        rows = self._rows(
            "SELECT r.name, r.is_folder, d.path, COUNT(*) FROM documents d"
            " JOIN roots r ON r.number = d.root WHERE d.split = ?"
            " GROUP BY d.root, d.path ORDER BY d.root, d.path",
            split,
        )
        return [(place_name(name, bool(folder), path, None), n) for name, folder, path, n in rows]

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
        yield from self._documents("ORDER BY d.root, d.path, d.member, d.position, d.number")

    def get(self, document_id: str) -> Document | None:
        """Return one document, or None."""
        return next(self._documents("WHERE d.id = ?", document_id), None)

    def source_of(self, document_id: str) -> str | None:
        """Return where a document lies, as people name it."""
        rows = self._rows(
            "SELECT r.name, r.is_folder, d.path, d.position, d.member FROM documents d"
            " JOIN roots r ON r.number = d.root WHERE d.id = ?",
            document_id,
        )
        row = next(rows, None)
        return None if row is None else place_name(row[0], bool(row[1]), *row[2:])

    def reject_file(self, root: Root, path: str, problem: SourceProblem) -> None:
        """Note that a whole file could not be read; documents it gave earlier stay."""
        with self._transaction():
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

    def rejected_paths_of(self, root: Root) -> set[str]:
        """Return the paths of all files of a root of which something could not be read."""
        sql = "SELECT DISTINCT path FROM rejected WHERE root=?"
        return {path for (path,) in self._rows(sql, root.number)}

    def rejected_in_file(self, root: Root, path: str) -> Iterator[Rejected]:
        """Yield what could not be read of one file when it was last read."""
        found = self._rejected("WHERE x.root=? AND x.path=?", root.number, path)
        yield from (rejected for _, rejected in found)

    def num_rejected_in_file(self, root: Root, path: str) -> int:
        """Return how much could not be read of one file when it was last read."""
        sql = "SELECT COUNT(*) FROM rejected WHERE root=? AND path=?"
        return int(self._value(sql, root.number, path))

    def num_rejected(self) -> int:
        """Return how much could not be read of all sources when they were last collected."""
        return int(self._value("SELECT COUNT(*) FROM rejected"))

    def rejected_codes(self, root: Root, path: str) -> set[str]:
        """Return the codes of what could not be read of one file when it was last read."""
        sql = "SELECT DISTINCT code FROM rejected WHERE root=? AND path=?"
        return {code for (code,) in self._rows(sql, root.number, path)}

    # -- rows of the tables ---------------------------------------------------------------------

    def _documents(self, clause: str, *values: object) -> Iterator[Document]:
        for row in self._rows(
            f"SELECT {_COLUMNS} FROM documents d JOIN roots r ON r.number = d.root {clause}",
            *values,
        ):
            number, identity, path, position, label, fields, split, content, *place = row
            name, folder, member = place
            parts = self._rows(
                "SELECT text FROM text_parts WHERE document = ? ORDER BY part", number
            )
            text = "".join(part for (part,) in parts)
            if hash_content(text, label, fields, split) != content:
                raise CorruptArtefactError("artefact_unreadable", path=self.path)
            yield Document(
                id=identity,
                text=text,
                label=label,
                fields=json.loads(fields),
                source=place_name(name, bool(folder), path, position, member),
                split=cast(Split | None, split),
            )

    def _rejected(self, clause: str, *values: object) -> Iterator[tuple[str, Rejected]]:
        for name, folder, path, position, member, code, details in self._rows(
            "SELECT r.name, r.is_folder, x.path, x.position, x.member, x.code, x.details"
            f" FROM rejected x JOIN roots r ON r.number = x.root {clause}"
            " ORDER BY x.root, x.path, x.member, x.position",
            *values,
        ):
            found = json.loads(details)
            sentences = (render(f"error.{code}.{part}", **found) for part in ("message", "hint"))
            yield (
                code,
                Rejected(
                    source=place_name(name, bool(folder), path, None, member),
                    position=position,
                    reason=join(*sentences),
                ),
            )

    def _reject(self, root: Root, path: str, problem: SourceProblem) -> None:
        details = json.dumps(dict(problem.values), default=str)
        self._run(
            "INSERT INTO rejected (root, path, position, code, details, member)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            root.number,
            path,
            problem.position,
            problem.code,
            details,
            problem.member,
        )

    def _find_root(self, place: str) -> Root | None:
        rows = self._rows("SELECT number, name, is_folder FROM roots WHERE path_hash=?", place)
        return next((Root(number, name, bool(folder)) for number, name, folder in rows), None)

    def _add_root(self, name: str, place: str, is_folder: bool) -> Root:
        sql = "INSERT INTO roots (name, path_hash, is_folder) VALUES (?, ?, ?)"
        cursor = self._run(sql, name, place, is_folder)
        return Root(cast(int, cursor.lastrowid), name, is_folder)

    def _hash_path(self, path: Path, is_folder: bool) -> str:
        return hash_place(self.salt(), path.resolve(), is_folder)

    def salt(self) -> str:
        """Return what is hashed with every place, so that a place cannot be looked for."""
        return str(self._value("SELECT value FROM meta WHERE key=?", "salt"))
