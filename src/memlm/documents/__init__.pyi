"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .merge import FileMerge, MergeCounts, free_side
from .moved import find_moved_root
from .places import Root, place_name
from .removed import has_only_lost, has_unerased, note_erased, remove_documents
from .store import DocumentStore

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
