"""One file being read into the documents: what is new, changed or gone, by its place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from memlm.documents.places import (
    Root,
    digest_share,
    hash_content,
    hash_long_content,
    hash_parts,
)
from memlm.documents.removed import change_digest, delete_document
from memlm.errors import InputError
from memlm.records import SourceProblem, SourceText, Split

if TYPE_CHECKING:
    from memlm.documents.store import DocumentStore

PART_CHARACTERS = 1 << 26
"""SQLite takes at most 10^9 bytes a value; longer texts lie in several parts."""


@dataclass
class MergeCounts:
    """What merging one file changed, in documents."""

    added: int = 0
    unchanged: int = 0
    changed: int = 0
    removed: int = 0


class FileMerge:
    """One file being read into the store; made by `DocumentStore.merging`."""

    def __init__(
        self, store: DocumentStore, root: Root, path: str, *, split: Split | None = None
    ) -> None:
        self._store, self._root, self._path, self._split = store, root, path, split
        self.counts = MergeCounts()
        self.kept = 0
        """Documents that were not found again and stay: something in the file hid its texts."""
        self._hides_all = False
        self._digest_change = self._lost = 0
        for table in (
            "seen (id TEXT PRIMARY KEY)",
            "row_keys (key TEXT, member TEXT, n INTEGER, PRIMARY KEY (key, member))",
            "new_places (member TEXT, position INTEGER, PRIMARY KEY (member, position))",
            "hidden (member TEXT PRIMARY KEY)",
        ):
            store._run(f"CREATE TEMP TABLE IF NOT EXISTS {table}")
        for name in ("seen", "row_keys", "new_places", "hidden"):
            store._run(f"DELETE FROM temp.{name}")
        store._run("DELETE FROM rejected WHERE root=? AND path=?", root.number, path)

    def add(self, found: SourceText, *, split: Split | None = None) -> str:
        """Store one text if it is new or changed; return its document id.

        Without `split` it stays on the side where it, or all of its file, was put before.
        """
        fields = json.dumps(dict(found.fields), ensure_ascii=False, sort_keys=True, default=str)
        content, characters = _hash_found(found, fields, None)
        identity = self._identify(found, content)
        self._store._run("INSERT OR IGNORE INTO temp.seen VALUES (?)", identity)
        position = found.position or 0
        known = next(
            self._store._rows(
                "SELECT number, content, position, split FROM documents WHERE id=?", identity
            ),
            None,
        )
        split = split or (self._split if known is None else cast(Split | None, known[3]))
        if split is not None:
            content, characters = _hash_found(found, fields, split)
        if known is not None and known[1] == content:
            self.counts.unchanged += 1
            if known[2] != position:  # rows above it came or went
                self._store._run(
                    "UPDATE documents SET position=? WHERE number=?", position, known[0]
                )
            return identity
        if known is None:
            self.counts.added += 1
            self._store._run(
                "INSERT OR IGNORE INTO temp.new_places VALUES (?, ?)", found.member, position
            )
        else:
            self.counts.changed += 1
            self._delete(known[0], identity, known[1])
        number = self._insert(found, identity, position, fields, content, split, characters)
        if self._store_text(found, number) != characters:  # somebody writes to the file
            raise InputError("not_readable", path=self._path)
        return identity

    def reject(self, problem: SourceProblem) -> None:
        """Note what could not be read, so that it can be listed now and later."""
        self._store._reject(self._root, self._path, problem)
        if problem.hides == "file" or (problem.hides and not problem.member):
            self._hides_all = True
        elif problem.hides:
            self._store._run("INSERT OR IGNORE INTO temp.hidden VALUES (?)", problem.member)

    def finish(self, *, keeps_others: bool) -> None:
        """Remove what the file no longer holds, and bring the digest up to date."""
        if not keeps_others:
            self.kept = self._num_hidden()
            self._remove_unseen()
        change_digest(self._store, self._digest_change, lost=self._lost)

    def _num_hidden(self) -> int:
        """Count what was not found again but may still be there, and take it for seen."""
        is_hidden = "1"
        if not self._hides_all:  # with what is in an archive inside the archive
            is_hidden = (
                "EXISTS (SELECT 1 FROM temp.hidden h WHERE h.member = documents.member"
                " OR substr(documents.member, 1, length(h.member) + 1) = h.member || '/')"
            )
        return self._store._run(
            "INSERT INTO temp.seen SELECT id FROM documents WHERE root=? AND path=?"
            f" AND id NOT IN (SELECT id FROM temp.seen) AND {is_hidden}",
            self._root.number,
            self._path,
        ).rowcount

    def _remove_unseen(self) -> None:
        gone = list(
            self._store._rows(
                "SELECT number, id, content, (member, position) IN temp.new_places"
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
        """Return the id of a text; `content` is its hash without its side, which may change."""
        key = ""
        if found.position is not None:
            key = f"key:{found.key}" if found.key is not None else f"content:{content}"
        occurrence = self._store._value(
            "INSERT INTO temp.row_keys VALUES (?, ?, 1)"
            " ON CONFLICT (key, member) DO UPDATE SET n = n + 1 RETURNING n",
            key,
            found.member,
        )
        # Outside archives the id is what it was before archives were read.
        member = [found.member] if found.member else []
        place = str(self._root.number), self._path, key, str(occurrence)
        return hash_parts(*place, *member)[:16]

    def _insert(
        self,
        found: SourceText,
        identity: str,
        position: int,
        fields: str,
        content: str,
        split: Split | None,
        characters: int,
    ) -> int:
        cursor = self._store._run(
            "INSERT INTO documents (id, root, path, position, label, fields, split, content,"
            " characters, member) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            identity,
            self._root.number,
            self._path,
            position,
            found.label,
            fields,
            split,
            content,
            characters,
            found.member,
        )
        self._digest_change += digest_share(identity, content)
        return cast(int, cursor.lastrowid)

    def _store_text(self, found: SourceText, number: int) -> int:
        """Store the text of a document in parts; return its code points."""
        part = stored = 0
        for block in (found.text,) if found.blocks is None else found.blocks():
            for start in range(0, len(block), PART_CHARACTERS):
                text = block[start : start + PART_CHARACTERS]
                self._store._run("INSERT INTO text_parts VALUES (?, ?, ?)", number, part, text)
                part, stored = part + 1, stored + len(text)
        return stored

    def _delete(self, number: int, identity: str, content: str) -> None:
        lost = delete_document(self._store, number, identity, content)
        self._digest_change -= lost
        self._lost += lost


def free_side(store: DocumentStore, split: Split) -> int:
    """Leave to the hash where the documents go that were put on a side by name; count them."""
    with store._transaction():
        found = store._rows("SELECT number, content, fields FROM documents WHERE split=?", split)
        known = {number: (content, fields) for number, content, fields in found}
        change = 0
        for number, document in store.read_numbers(known):
            old, fields = known[number]
            new = hash_content(document.text, document.label, fields, None)
            store._run("UPDATE documents SET split=NULL, content=? WHERE number=?", new, number)
            change += digest_share(document.id, new) - digest_share(document.id, old)
        change_digest(store, change)
    return len(known)


def _hash_found(found: SourceText, fields: str, split: Split | None) -> tuple[str, int]:
    """Return the content hash of a text that was found, and its code points."""
    if found.blocks is not None:
        return hash_long_content(found.blocks, found.label, fields, split)
    return hash_content(found.text, found.label, fields, split), len(found.text)
