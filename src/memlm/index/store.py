"""Many segments on disk as one index, kept in step with the documents.

`segments.json` lists the segments in force and the digest of what they hold; it is replaced last,
so that a reader sees the old index or the new one. Segments are never changed. What is new is
sorted into segments of its own, in which small ones join: a segment joins what is at least as large
as itself, or as `ALWAYS_JOINED`, so that each symbol is sorted a logarithmic number of times, and
of the segments below `LARGEST_SEGMENT` there are only logarithmically many. What is gone is
filtered out of the segments that held it, which sorts nothing. No two groups share a segment, so
that a view of some groups (all that is not held out, say) is a choice of segments.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memlm.errors import CorruptArtefactError
from memlm.index.building import Layout, build_segment, write_without
from memlm.index.segment import Segment, SegmentEntry
from memlm.index.suffix_index import SuffixIndex
from memlm.storage import (
    delete_folder,
    hash_json,
    new_folder,
    read_json,
    read_manifest,
    verify_folder,
    write_json,
)

LARGEST_SEGMENT = 32 << 20
"""Positions; a longer entry has a segment of its own, since entries stay whole."""
ALWAYS_JOINED = 1 << 20
"""Positions that are sorted in a tenth of a second: not worth a segment of their own."""
_LIST = "segments.json"
_FORMAT = 2  # another when segments are written in another way


@dataclass(frozen=True)
class Entry:
    """What the index is told of an entry before it reads it."""

    content: str
    """Hash of all that the entry depends on."""
    size: int
    """Characters, or tokens."""
    group: str = ""
    """The side of the split, where there is one."""


@dataclass(frozen=True)
class _Listed:
    """A segment as the list knows it."""

    name: str
    group: str


def open_index(
    folder: Path, groups: Collection[str] | None = None, *, contents: bool = True
) -> SuffixIndex:
    """Open the index in `folder`, or of it the segments of some groups.

    Every file is checked against its manifest: its size always, its bytes unless `contents` is
    False. Raises CorruptArtefactError naming the first file that differs.
    """
    segments = []
    for listed in _read_list(folder)[1]:
        if groups is None or listed.group in groups:
            verify_folder(folder / listed.name, contents=contents)
            segments.append(Segment(folder / listed.name))
    return SuffixIndex(segments)


def is_current(folder: Path, *, digest: str) -> bool:
    """Say whether the index in `folder` holds just what has this digest.

    A segment that somebody deleted, because it was damaged, makes it stale; and so does one that
    nobody lists, which a crash may have left, with text that should be gone.
    """
    if not (folder / _LIST).exists() or not _is_known(folder):
        return False
    made_from, listed = _read_list(folder)
    found = {path.name for path in folder.glob("segment-*") if path.is_dir()}
    return made_from == digest and found == {one.name for one in listed}


def refresh_index(
    folder: Path,
    *,
    digest: str,
    entries: Mapping[str, Entry],
    read: Callable[[Iterable[str]], Iterator[SegmentEntry]],
    vocabulary_size: int | None = None,
    layout: Layout = "fast",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Bring the index in `folder` in step with `entries`, given in reading order by their keys.

    `read` yields entries of given keys; `progress(done, total)` is told in symbols that have to be
    sorted. When this returns, every answer is that of an index built anew, and no file holds what
    is gone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed, pending = _plan(folder, entries, vocabulary_size)
    total, done = sum(entries[key].size for key in pending), 0
    for keys in _portions(pending, entries):
        group = entries[keys[0]].group
        name = _name(group, vocabulary_size, [(key, entries[key].content) for key in keys])
        if not (folder / name).exists():
            with new_folder(folder / name, made_from={"entries": len(keys)}) as temporary:
                build_segment(
                    temporary,
                    read(keys),
                    vocabulary_size=vocabulary_size,
                    group=group,
                    layout=layout,
                )
        listed.append(_Listed(name, group))
        done += sum(entries[key].size for key in keys)
        progress(done, total)
    _write_list(folder, digest, listed)


def _plan(
    folder: Path, entries: Mapping[str, Entry], vocabulary_size: int | None
) -> tuple[list[_Listed], list[str]]:
    """Return the segments that stay, and the keys of what has to be sorted, in reading order.

    What is gone has been filtered out of the segments that stay. Small ones do not stay where there
    is something to sort, but are sorted with it.
    """
    staying = _without_the_gone(folder, entries, vocabulary_size)
    held = {key for segment in staying for key, _ in segment.entries}
    sizes: dict[str, int] = {}
    for key, entry in entries.items():
        if key not in held:
            sizes[entry.group] = sizes.get(entry.group, 0) + entry.size + 1
    for group, size in sizes.items():
        joining = _to_join([one for one in staying if one.group == group], size)
        staying = [one for one in staying if one not in joining]
        held -= {key for segment in joining for key, _ in segment.entries}
    listed = [_Listed(segment.folder.name, segment.group) for segment in staying]
    return listed, [key for key in entries if key not in held]


def _write_list(folder: Path, digest: str, listed: list[_Listed]) -> None:
    segments = [{"name": one.name, "group": one.group} for one in listed]
    write_json(folder / _LIST, {"format": _FORMAT, "made_from": digest, "segments": segments})
    names = {one.name for one in listed}
    for old in folder.glob("segment-*"):
        if old.is_dir() and old.name not in names:
            delete_folder(old)


def _is_known(folder: Path) -> bool:
    """Say whether the list is of the kind that is written here, not of an earlier one."""
    found = read_json(folder / _LIST)
    return isinstance(found, dict) and found.get("format", 1) == _FORMAT


def _read_list(folder: Path) -> tuple[str, list[_Listed]]:
    """Return the digest of what is held, and the segments."""
    found = read_json(folder / _LIST)
    try:
        if found["format"] != _FORMAT:
            raise KeyError("format")
        listed = [_Listed(str(one["name"]), str(one["group"])) for one in found["segments"]]
        return str(found["made_from"]), listed
    except (KeyError, TypeError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=folder / _LIST) from error


def _name(group: str, vocabulary_size: int | None, held: list[tuple[str, str]]) -> str:
    return "segment-" + hash_json([group, vocabulary_size, [list(entry) for entry in held]])


def _without_the_gone(
    folder: Path, entries: Mapping[str, Entry], vocabulary_size: int | None
) -> list[Segment]:
    """Return a segment for each one of the list that holds anything still wanted, and only that.

    Those that held something else, too, are written anew; the list still names the old ones.
    """
    if not (folder / _LIST).exists() or not _is_known(folder):
        return []
    kept = []
    for one in _read_list(folder)[1]:
        if not (folder / one.name).is_dir():
            continue
        read_manifest(folder / one.name)
        segment = Segment(folder / one.name)
        if segment.vocabulary_size != vocabulary_size:
            continue
        is_wanted = np.array(
            [_is_wanted(entries.get(key), content, one.group) for key, content in segment.entries]
        )
        if is_wanted.all():
            kept.append(segment)
        elif is_wanted.any():
            kept.append(_filtered(folder, segment, ~is_wanted))
    return kept


def _is_wanted(entry: Entry | None, content: str, group: str) -> bool:
    return entry is not None and entry.content == content and entry.group == group


def _filtered(folder: Path, segment: Segment, removed: np.ndarray) -> Segment:
    left = [
        entry for entry, gone in zip(segment.entries, removed.tolist(), strict=True) if not gone
    ]
    name = _name(segment.group, segment.vocabulary_size, left)
    if not (folder / name).exists():
        # A damaged segment must not become one whose checksum is right.
        verify_folder(segment.folder)
        with new_folder(folder / name, made_from={"entries": len(left)}) as temporary:
            write_without(temporary, segment, removed)
    return Segment(folder / name)


def _to_join(segments: list[Segment], size: int) -> list[Segment]:
    """Return the segments that are sorted again together with `size` new positions."""
    joined = []
    for segment in sorted(segments, key=lambda segment: segment.positions):
        if size + segment.positions > LARGEST_SEGMENT:
            break
        if segment.positions > max(size, ALWAYS_JOINED):
            break
        joined.append(segment)
        size += segment.positions
    return joined


def _portions(pending: Iterable[str], entries: Mapping[str, Entry]) -> Iterator[list[str]]:
    """Yield keys of one group that go into one segment, in order."""
    portions: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for key in pending:
        group, needed = entries[key].group, entries[key].size + 1
        if group in portions and sizes[group] + needed > LARGEST_SEGMENT:
            yield portions.pop(group)
        if group not in portions:
            portions[group], sizes[group] = [], 0
        portions[group].append(key)
        sizes[group] += needed
    yield from portions.values()
