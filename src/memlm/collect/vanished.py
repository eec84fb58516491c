"""Where, among the documents, is what was collected from a source that is no longer there?"""

from __future__ import annotations

from pathlib import Path

from memlm.collect.sources import relative_name
from memlm.documents import DocumentStore, Root


def find_place(
    store: DocumentStore, source: Path, *, may_be_empty: bool = False
) -> tuple[Root, str] | None:
    """Return the root, and the path in it, of a source that was collected and is gone.

    None where nothing of it is left, unless it `may_be_empty`.
    """
    resolved = source.resolve()
    for place in (resolved, *resolved.parents):
        root = store.find_root(place, is_folder=True)
        if root is None and place == resolved:
            root = store.find_root(place, is_folder=False)
        if root is not None:
            inside = "" if place == resolved else relative_name(resolved, place)
            known = store.paths_of(root) | store.rejected_paths_of(root)
            has_any = may_be_empty or any(is_below(path, inside) for path in known)
            return (root, inside) if has_any else None
    return None


def is_below(path: str, inside: str) -> bool:
    """Say whether a path in a root is a place in it, or lies in that."""
    return not inside or path == inside or path.startswith(f"{inside}/")
