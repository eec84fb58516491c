"""`documents.sqlite`: the collected texts, each with an id that never changes.

The only room with SQL. A *root* is a source that was named (a folder or a file); a document is
found again by (root, path in the root, row key, occurrence), whose hash is its id. The store keeps
one *digest* of everything in it, the sum of the hashes of its documents, which does not depend on
the order in which they came: what was made from the documents compares it to know whether it is
stale.
"""

from memlm.documents.merge import FileMerge, MergeCounts, free_side
from memlm.documents.moved import find_moved_root
from memlm.documents.places import Root, place_name
from memlm.documents.removed import has_only_lost, has_unerased, note_erased, remove_documents
from memlm.documents.store import DocumentStore

__all__ = [
    "DocumentStore",
    "FileMerge",
    "MergeCounts",
    "Root",
    "find_moved_root",
    "free_side",
    "has_only_lost",
    "has_unerased",
    "note_erased",
    "place_name",
    "remove_documents",
]
