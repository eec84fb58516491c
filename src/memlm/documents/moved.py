"""Was a source that nobody knows collected before, when it lay somewhere else?

A source that was moved keeps its documents and their ids; a copy must never overwrite those of its
original. No path is stored that could be looked up, only the salted hash of one. So the old place
is guessed: something of the old name beside the source, beside any folder above it, or one folder
further down. Where the hash confirms a guess, the disk says whether the original is still there.
Where the old place stays unknown, a source has moved only if it holds every file of the old one
unchanged, since then it overwrites nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from memlm.documents.places import Root, hash_place

if TYPE_CHECKING:
    from memlm.documents.store import DocumentStore

_MOST_NEIGHBOURS = 1000


def find_moved_root(
    store: DocumentStore,
    source: Path,
    bytes_hashes: Mapping[str, str],
    *,
    is_folder: bool,
    in_use: Iterable[int],
) -> Root | None:
    """Return the root that now lies at `source`, an absolute path; None if it is a new one.

    `bytes_hashes` are those of its files by their paths in it. More than half of what the root
    held must be here.
    """
    taken = set(in_use)
    alike: list[tuple[int, Root]] = []
    for root in store.roots():
        if root.number in taken or root.is_folder != is_folder:
            continue
        known = store.bytes_hashes(root)
        contents = set(known.values())
        shared = sum(found in contents for found in bytes_hashes.values())
        if 2 * shared > max(len(known), len(bytes_hashes)):
            alike.append((shared, root))
    alike.sort(key=lambda pair: -pair[0])
    return next((root for _, root in alike if _has_moved(store, root, source, bytes_hashes)), None)


def _has_moved(
    store: DocumentStore, root: Root, source: Path, bytes_hashes: Mapping[str, str]
) -> bool:
    salt, place = store.salt(), store.place_of(root)
    for guess in _likely_places(source, root.name):
        if hash_place(salt, guess, root.is_folder) == place:
            return not _is_still_there(guess, source, root.is_folder)
    known = store.bytes_hashes(root)
    paths = store.paths_of(root) | known.keys()
    return all(path in known and known[path] == bytes_hashes.get(path) for path in paths)


def _is_still_there(place: Path, source: Path, is_folder: bool) -> bool:
    try:
        is_same_kind = place.is_dir() if is_folder else place.is_file()
        # A link that was left behind, or a name that differs in case only, is the source itself.
        return is_same_kind and not place.samefile(source)
    except OSError:  # we may not look
        return True


def _likely_places(source: Path, name: str) -> Iterator[Path]:
    for folder in source.parents:
        yield folder / name
        try:
            with os.scandir(folder) as entries:
                for entry in islice(entries, _MOST_NEIGHBOURS):
                    if entry.is_dir(follow_symlinks=False):
                        yield Path(entry.path) / name
        except OSError:  # we may not look
            continue
