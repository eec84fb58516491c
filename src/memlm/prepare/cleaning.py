"""Documents to cleaned documents: every step on every document once, copies found, drops listed.

The documents are taken in parts of a few million characters, each by whichever process is free. A
part is named by the hash of its documents and of the steps, so a part that is there already is not
done again: after a crash the work goes on where it stopped, and after a change of a few documents
only their parts are done anew. Where a part ends is decided by the documents' own hashes, so that a
new document moves no boundary but its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from memlm.documents import DocumentStore
from memlm.prepare.children import Job, run_jobs
from memlm.prepare.clean_config import CleanConfig
from memlm.prepare.cleaned import LIST, CleanedDocuments
from memlm.prepare.cleaned_part import PartWriter
from memlm.prepare.joining import join_parts
from memlm.storage import MANIFEST, delete_folder, hash_json, new_folder

PART_CHARACTERS = 4_000_000
_LEAST_PART_CHARACTERS = 1_000_000
_LEAST_DOCUMENT_CHARACTERS = 40
"""A shorter document counts as so long: what a part holds of each in memory must be bounded too."""
_ENDS_ONE_IN = 64
_FORMAT = 5  # raised when the steps, or what becomes of copies, change


def clean_documents(
    folder: Path,
    database: Path,
    config: CleanConfig,
    *,
    processes: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CleanedDocuments:
    """Bring the cleaned documents in `folder` in step with those in `database`, and open them.

    `progress(done, total)` counts code points. The result does not depend on `processes`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with DocumentStore(database) as store:
        digest = store.digest()
        plan = list(_plan_parts(store, config))
    todo = [part for part in plan if not (folder / part.name / MANIFEST).exists()]
    total = sum(part.characters for part in plan)
    done = total - sum(part.characters for part in todo)
    jobs = [
        Job(
            "clean",
            {
                "folder": str(folder / part.name),
                "database": str(database),
                "ranges": part.ranges,
                "config": asdict(config),
            },
            part.characters,
        )
        for part in todo
    ]
    for number, _ in run_jobs(jobs, processes=processes):
        done += todo[number].characters
        progress(done, total)
    names = [part.name for part in plan]
    join_parts(folder, database, config, names, manner=_manner(digest, config))
    for old in folder.glob("part-*"):
        if old.is_dir() and old.name not in names:
            delete_folder(old)
    return CleanedDocuments(folder, database)


def is_clean(folder: Path, *, digest: str, config: CleanConfig) -> bool:
    """Say whether `folder` holds just the documents with this digest, cleaned as `config` says.

    A part of others that a crash has left there makes it stale.
    """
    if not (folder / LIST).exists():
        return False
    header = CleanedDocuments(folder, folder).header
    manner = _manner(digest, config)
    is_same = {name: header.get(name) for name in manner} == manner
    found = {path.name for path in folder.glob("part-*") if path.is_dir()}
    return is_same and found == {part["name"] for part in header["parts"]}


def _manner(digest: str, config: CleanConfig) -> dict[str, Any]:  # Any: JSON
    """Return what documents are cleaned, and how."""
    return {"format": _FORMAT, "documents": digest, "config": _as_json(config)}


@dataclass(frozen=True)
class _PlannedPart:
    name: str
    ranges: list[list[int]]
    """Numbers of its documents, [first, last + 1]: they follow one another, nearly always."""
    characters: int


def _plan_parts(store: DocumentStore, config: CleanConfig) -> Iterator[_PlannedPart]:
    """Cut the documents, in reading order, into parts."""
    # Whether repeats are cut out is decided when all parts are there.
    steps = _as_json(replace(config, drop_repeats=False))
    manner = hash_json([_FORMAT, steps, config.finds_repeats])
    ranges: list[list[int]] = []
    contents: list[list[str]] = []
    characters = size = 0

    def part() -> _PlannedPart:
        name = "part-" + hash_json([manner, contents])
        return _PlannedPart(name, ranges, characters)

    for number, identity, content, length in store.contents():
        if ranges and ranges[-1][1] == number:
            ranges[-1][1] += 1
        else:
            ranges.append([number, number + 1])
        contents.append([identity, content])
        characters += length
        size += max(length, _LEAST_DOCUMENT_CHARACTERS)
        may_end = size >= _LEAST_PART_CHARACTERS and int(identity, 16) % _ENDS_ONE_IN == 0
        if may_end or size >= PART_CHARACTERS:
            yield part()
            ranges, contents, characters, size = [], [], 0, 0
    if contents:
        yield part()


# -- one part -----------------------------------------------------------------------------------


def run_job(
    *, folder: str, database: str, ranges: Iterable[Sequence[int]], config: Mapping[str, Any]
) -> dict[str, Any]:  # Any: JSON
    """Clean one part; what `children` calls."""
    wish = CleanConfig.from_json(config)
    with DocumentStore(Path(database)) as store, new_folder(Path(folder), made_from={}) as new:
        writer = PartWriter(new, wish)
        with writer:
            for _, document in store.read_numbers(
                chain.from_iterable(range(*one) for one in ranges)
            ):
                writer.add(document)
        writer.finish()
    return {}


def _as_json(config: CleanConfig) -> dict[str, Any]:
    """Return a config as it comes back from JSON, so that the two can be compared."""
    return dict(json.loads(json.dumps(asdict(config))))
