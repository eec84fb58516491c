"""Many segments as one index, kept in step with the documents.

`segments.json` lists the segments in force and the digest of the documents that they hold; it is
replaced last, so that a reader sees the old index or the new one. Segments are never changed: where
a document is new, changed or gone, the segment that held it is written anew, and small segments
join, so that their number stays in proportion to the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from memlm.errors import CorruptArtefactError
from memlm.index.segment import Segment, SegmentDocument, build_segment
from memlm.storage import (
    delete_folder,
    hash_json,
    new_folder,
    read_json,
    read_manifest,
    verify_folder,
    write_json,
)

LARGEST_SEGMENT_BYTES = 64 << 20
"""UTF-8 bytes of text; a longer document has a segment of its own, since documents stay whole."""
_SMALL_SHARE = 4
_BYTES_PER_CHARACTER = 4  # the most that UTF-8 takes: sizes are known in characters only
_LIST = "segments.json"


class SuffixIndex:
    """All segments of one index, asked as one."""

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = segments
        self.characters = sum(segment.characters for segment in segments)
        self.num_symbols = max((segment.num_symbols for segment in segments), default=1)
        self._counts: dict[str, int] = {}

    def count(self, text: str) -> int:
        """Return how often `text` occurs, overlapping occurrences included."""
        total = 0
        for segment in self.segments:
            low, high = segment.interval(segment.encode(text))
            total += high - low
        return total

    def count_cached(self, text: str) -> int:
        """Return `count(text)`, remembering it: for the few short strings that are asked often."""
        found = self._counts.get(text)
        if found is None:
            found = self._counts[text] = self.count(text)
        return found

    def places(self, text: str, *, limit: int) -> tuple[int, list[tuple[str, int]]]:
        """Return how often `text` occurs and (document id, offset) of the first places."""
        count = 0
        found: list[tuple[str, int]] = []
        for segment in self.segments:
            low, high = segment.interval(segment.encode(text))
            count += high - low
            if high > low and len(found) < limit:
                found += segment.places((low, high), limit=limit - len(found))
        return count, found


def open_index(folder: Path) -> SuffixIndex:
    """Open the index in `folder`, checking every segment's bytes against its manifest."""
    segments = []
    for name in _read_list(folder)[1]:
        verify_folder(folder / name)
        segments.append(Segment(folder / name))
    return SuffixIndex(segments)


def is_current(folder: Path, *, digest: str) -> bool:
    """Say whether the index in `folder` holds just the documents with this digest.

    A segment that somebody deleted, because it was damaged, makes it stale.
    """
    if not (folder / _LIST).exists():
        return False
    made_from, names = _read_list(folder)
    return made_from == digest and all((folder / name).is_dir() for name in names)


def refresh_index(
    folder: Path,
    *,
    digest: str,
    documents: Mapping[str, tuple[str, int]],
    read: Callable[[Iterable[str]], Iterator[SegmentDocument]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Bring the index in `folder` in step with the documents.

    `documents` maps each id to (content hash, code points), in reading order; `read` yields the
    texts of given ids; `progress(done, total)` is told in code points.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = _segments_to_keep(folder, documents)
    covered = {identity for held in kept.values() for identity, _ in held}
    pending = [identity for identity in documents if identity not in covered]
    total, done = sum(documents[identity][1] for identity in pending), 0
    names = list(kept)
    for group in _group(pending, documents):
        name = "segment-" + hash_json([[identity, documents[identity][0]] for identity in group])
        if not (folder / name).exists():
            with new_folder(folder / name, made_from={"documents": len(group)}) as temporary:
                build_segment(temporary, read(group))
        names.append(name)
        done += sum(documents[identity][1] for identity in group)
        progress(done, total)
    write_json(folder / _LIST, {"made_from": digest, "segments": names})
    for old in folder.glob("segment-*"):
        if old.is_dir() and old.name not in names:
            delete_folder(old)


def _read_list(folder: Path) -> tuple[str, list[str]]:
    """Return the digest of the documents that are held, and the names of the segments."""
    found = read_json(folder / _LIST)
    try:
        return str(found["made_from"]), [str(name) for name in found["segments"]]
    except (KeyError, TypeError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=folder / _LIST) from error


def _segments_to_keep(
    folder: Path, documents: Mapping[str, tuple[str, int]]
) -> dict[str, list[tuple[str, str]]]:
    if not (folder / _LIST).exists():
        return {}
    kept = {}
    for name in _read_list(folder)[1]:
        if not (folder / name).is_dir():
            continue
        read_manifest(folder / name)
        segment = Segment(folder / name)
        is_small = segment.characters * _SMALL_SHARE * _BYTES_PER_CHARACTER < LARGEST_SEGMENT_BYTES
        is_intact = all(
            documents.get(identity, ("", 0))[0] == content
            for identity, content in segment.documents
        )
        if is_intact:
            kept[name] = (is_small, segment.documents)
    held = {identity for _, entries in kept.values() for identity, _ in entries}
    if len(held) < len(documents):  # there is something to write: let small segments join it
        return {name: entries for name, (is_small, entries) in kept.items() if not is_small}
    return {name: entries for name, (_, entries) in kept.items()}


def _group(pending: Iterable[str], documents: Mapping[str, tuple[str, int]]) -> Iterator[list[str]]:
    group: list[str] = []
    size = 0
    for identity in pending:
        needed = documents[identity][1] * _BYTES_PER_CHARACTER
        if group and size + needed > LARGEST_SEGMENT_BYTES:
            yield group
            group, size = [], 0
        group.append(identity)
        size += needed
    if group:
        yield group
