"""What left the documents and may still lie in what was made of them: noted until it is erased.

The digest of the documents is a sum of shares, one a document. The shares of whatever was deleted,
or replaced by other text, are added up as `removed` until all that was made of the documents has
been made anew without it. So it is known whether anything is to be erased, and whether documents
that something was made of lost some since and gained none: the digest then, less `removed`, is the
digest now. A file of an older memlm has no such sum: nobody knows what it lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from memlm.documents.places import digest_share

if TYPE_CHECKING:
    from memlm.documents.store import DocumentStore

_DIGEST_MODULUS = 1 << 128


def remove_documents(store: DocumentStore, document_ids: Iterable[str]) -> int:
    """Remove documents, in one transaction, and return how many those were.

    Their files count as read: a document comes back only where its file is read again because it
    has changed.
    """
    removed = lost = 0
    with store._transaction():
        for identity in document_ids:
            sql = "SELECT number, content FROM documents WHERE id=?"
            for number, content in list(store._rows(sql, identity)):
                lost += delete_document(store, number, identity, content)
                removed += 1
        change_digest(store, -lost, lost=lost)
    return removed


def delete_document(store: DocumentStore, number: int, identity: str, content: str) -> int:
    """Delete a document with its text; return its share of the digest, which the caller changes."""
    store._run("DELETE FROM text_parts WHERE document=?", number)
    store._run("DELETE FROM documents WHERE number=?", number)
    return digest_share(identity, content)


def change_digest(store: DocumentStore, change: int, *, lost: int = 0) -> None:
    """Bring the digest up to date; `lost` is the share in it of what was deleted."""
    for key, added in (("digest", change), ("removed", lost)):
        old = _sum(store, key)
        if old is not None and added:
            new = (old + added) % _DIGEST_MODULUS
            store._run("UPDATE meta SET value=? WHERE key=?", f"{new:x}", key)


def has_unerased(store: DocumentStore) -> bool:
    """Say whether something was deleted or replaced that was not erased elsewhere, or may have
    been, for an older memlm wrote the file."""
    return _sum(store, "removed") != 0


def has_only_lost(store: DocumentStore, since: str) -> bool:
    """Say whether documents with the digest `since`, less what is not erased yet, are those here.

    True too where none was lost.
    """
    removed = _sum(store, "removed")
    if removed is None:
        return since == store.digest()
    return int(since, 16) == (int(store.digest(), 16) + removed) % _DIGEST_MODULUS


def note_erased(store: DocumentStore) -> None:
    """Note that all that was deleted is erased everywhere."""
    store._run("INSERT OR REPLACE INTO meta VALUES ('removed', '0')")


def _sum(store: DocumentStore, key: str) -> int | None:
    found = store._value("SELECT value FROM meta WHERE key=?", key)
    return None if found is None else int(found, 16)
