"""Documents to cleaned documents: every step on every document once, copies found, drops listed.

The documents are taken in parts of a few million characters, each by whichever process is free. A
part is named by the hash of its documents and of the steps, so a part that is there already is not
done again: after a crash the work goes on where it stopped, and after a change of a few documents
only their parts are done anew. Where a part ends is decided by the documents' own hashes, so that a
new document moves no boundary but its own.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.documents import DocumentStore
from memlm.prepare.children import Job, run_jobs
from memlm.prepare.clean_config import CleanConfig
from memlm.prepare.cleaned import (
    COPY,
    FATE,
    JOINT_FILES,
    LIST,
    MASKED_FILES,
    CleanedDocuments,
    PartTexts,
    read_fates,
)
from memlm.prepare.cleaned_part import (
    PartWriter,
    apply_steps,
    drop_line,
    steps_around_copies,
)
from memlm.prepare.cuts import Repeats, read_cuts
from memlm.prepare.draft import Draft
from memlm.prepare.duplicates import BANDS, Copies, Keys, find_copies
from memlm.prepare.repeats import PartPrints
from memlm.records import SPLITS, Document, Dropped
from memlm.storage import (
    MANIFEST,
    delete_folder,
    hash_file,
    hash_json,
    new_file,
    new_folder,
    verify_folder,
    write_json,
)

PART_CHARACTERS = 4_000_000
_LEAST_PART_CHARACTERS = 1_000_000
_ENDS_ONE_IN = 64
MOST_FOR_REPEATS = 300_000_000
"""Code points among which repeats are looked for unasked: that takes two bytes of memory each."""
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
    total, done = sum(part.characters for part in plan), 0
    done = total - sum(part.characters for part in todo)
    jobs = [
        Job(
            "clean",
            {
                "folder": str(folder / part.name),
                "database": str(database),
                "numbers": part.numbers.tolist(),
                "config": asdict(config),
            },
            part.characters,
        )
        for part in todo
    ]
    for number, _ in run_jobs(jobs, processes=processes):
        done += todo[number].characters
        progress(done, total)
    _finish(folder, database, config, plan, digest)
    return CleanedDocuments(folder, database)


def is_clean(folder: Path, *, digest: str, config: CleanConfig) -> bool:
    """Say whether `folder` holds just the documents with this digest, cleaned as `config` says."""
    if not (folder / LIST).exists():
        return False
    header = CleanedDocuments(folder, folder).header
    manner = {"format": _FORMAT, "documents": digest, "config": _as_json(config)}
    is_same = {name: header.get(name) for name in manner} == manner
    return is_same and all((folder / part["name"]).is_dir() for part in header["parts"])


@dataclass(frozen=True)
class _PlannedPart:
    name: str
    numbers: npt.NDArray[np.int64]
    characters: int


def _plan_parts(store: DocumentStore, config: CleanConfig) -> Iterator[_PlannedPart]:
    """Cut the documents, in reading order, into parts."""
    # Whether repeats are cut out is decided when all parts are there.
    steps = _as_json(replace(config, drop_repeats=False))
    manner = hash_json([_FORMAT, steps, config.finds_repeats])
    numbers: list[int] = []
    contents: list[list[str]] = []
    size = 0

    def part() -> _PlannedPart:
        name = "part-" + hash_json([manner, contents])
        return _PlannedPart(name, np.array(numbers, dtype=np.int64), size)

    for number, identity, content, characters in store.contents():
        numbers.append(number)
        contents.append([identity, content])
        size += characters
        may_end = size >= _LEAST_PART_CHARACTERS and int(identity, 16) % _ENDS_ONE_IN == 0
        if may_end or size >= PART_CHARACTERS:
            yield part()
            numbers, contents, size = [], [], 0
    if numbers:
        yield part()


# -- one part -----------------------------------------------------------------------------------


def run_job(
    *, folder: str, database: str, numbers: Sequence[int], config: Mapping[str, Any]
) -> dict[str, Any]:  # Any: JSON
    """Clean one part; what `children` calls."""
    wish = CleanConfig.from_json(config)
    with DocumentStore(Path(database)) as store, new_folder(Path(folder), made_from={}) as new:
        writer = PartWriter(new, wish)
        with writer:
            for _, document in store.read_numbers(numbers):
                writer.add(document)
        writer.finish()
    return {}


# -- all parts together -------------------------------------------------------------------------


def _finish(
    folder: Path, database: Path, config: CleanConfig, plan: Sequence[_PlannedPart], digest: str
) -> None:
    """Find the copies among all documents, list what is dropped, and put the parts in force."""
    for part in plan:
        verify_folder(folder / part.name)
    fates = [read_fates(folder / part.name) for part in plan]
    rows = np.concatenate([*fates, np.zeros(0, dtype=FATE)])
    with DocumentStore(database) as store:
        read = _reader(folder, plan, rows, store)
        copies = _copies(folder, config, plan, rows, read)
        repeats = Repeats(
            folder,
            draft=read,
            identify=lambda row: _id_of(rows, row),
            is_changed=rows["is_changed"],
            drops_repeats=bool(config.drop_repeats),
        )
        # Without fingerprints there is nothing to look at, and nothing is found.
        parts, left = _where_to_look(folder, config, plan, rows, copies)
        is_too_much = int(rows["characters"][left].sum()) > MOST_FOR_REPEATS
        has_looked = bool(config.drop_repeats) or not is_too_much
        repeats.find(parts, left if has_looked else left[:0])
        _write_drops(folder, config, plan, rows, copies, store, repeats.dropped)
        _note_sides(rows, copies, store)
        _free_the_lonely(rows, copies, config)
    with new_file(folder / "copies.bin") as temporary:
        copies.tofile(temporary)
    is_left = _is_left(rows, copies, config)
    is_left &= ~np.isin(rows["id"], [one.document_id.encode("ascii") for one in repeats.dropped])
    losses = _join_losses(folder, plan, rows, is_left)
    entries, first_row = [], 0
    for part, held in zip(plan, fates, strict=True):
        own = hashlib.blake2b(copies[first_row : first_row + len(held)].tobytes(), digest_size=8)
        own.update(read_cuts(folder, first_row, len(held)).tobytes())
        entry = {"name": part.name, "first_row": first_row, "copies_hash": own.hexdigest()}
        entries.append(entry)
        first_row += len(held)
    header = {
        "format": _FORMAT,
        "documents": digest,
        "config": _as_json(config),
        "drops_copies": config.drops_copies,
        "documents_kept": int(_is_left(rows, copies, config).sum()),
        "looked_for_repeats": has_looked,
        "repeats": {name: repeats.counts[name] for name in ("passages", "characters", "cut")},
        "parts": entries,
        "held_out_copies": int(np.count_nonzero(copies["side"] > 1 + SPLITS.index("train"))),
        "files": {name: hash_file(folder / name) for name in JOINT_FILES},
        **losses,
    }
    write_json(folder / LIST, header)
    names = {part.name for part in plan}
    for old in folder.glob("part-*"):
        if old.is_dir() and old.name not in names:
            delete_folder(old)


def _id_of(rows: npt.NDArray[Any], row: int) -> str:
    return str(rows["id"][row].decode("ascii"))


def _join_losses(
    folder: Path,
    plan: Sequence[_PlannedPart],
    rows: npt.NDArray[Any],
    is_left: npt.NDArray[np.bool_],
) -> dict[str, dict[str, int]]:
    """Write where the documents were masked, and return what those that are left have lost."""
    totals: dict[str, Counter[str]] = {"removed": Counter(), "masked": Counter()}
    first_row = 0
    with ExitStack() as files:
        kept, dropped = (
            files.enter_context(files.enter_context(new_file(folder / name)).open("wb"))
            for name in MASKED_FILES
        )
        for part in plan:
            here = slice(first_row, first_row := first_row + len(part.numbers))
            ids = {identity.decode("ascii") for identity in rows["id"][here][is_left[here]]}
            for line, found in _read_lines(folder / part.name / "personal.jsonl"):
                is_kept = found["document_id"] in ids
                totals["masked"][found["kind"]] += is_kept
                (kept if is_kept else dropped).write(line)
            for _, found in _read_lines(folder / part.name / "removed.jsonl"):
                if found.pop("document_id") in ids:
                    totals["removed"].update(found)
    return {name: dict(+total) for name, total in totals.items()}


def _read_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:  # Any: JSON
    with path.open("rb") as lines:
        for line in lines:
            yield line, json.loads(line)


def _copies(
    folder: Path,
    config: CleanConfig,
    plan: Sequence[_PlannedPart],
    rows: npt.NDArray[Any],
    read: Callable[[int], Draft],
) -> npt.NDArray[Any]:
    """Return what `copies.bin` holds."""
    kept_rows = np.flatnonzero(rows["is_kept"])
    fates = rows[kept_rows]

    def band(number: int) -> Keys:
        keys = [_read_band(folder / part.name, number) for part in plan]
        return np.concatenate([*keys, np.zeros(0, np.uint64)])[kept_rows]

    found = find_copies(
        fates["content"],
        fates["kind"],
        # Where the side of a document is given, its copies make way for it.
        np.argsort(~fates["is_fixed"], kind="stable"),
        band=band if config.finds_near_copies else None,
        read=lambda row: _compared_text(config, read(int(kept_rows[row]))),
        # Where copies go, only those of other kinds are left to be kept together.
        texts=fates["text"] if not config.drops_copies or _varies(fates["kind"]) else None,
    )
    return _as_rows(found, rows, kept_rows)


def _varies(values: npt.NDArray[np.uint64]) -> bool:
    return len(values) > 0 and bool((values != values[0]).any())


def _compared_text(config: CleanConfig, draft: Draft) -> str:
    """Return the text of a document by which its copies are told."""
    first, last = steps_around_copies(config)
    if not last:
        return draft.text
    found = apply_steps(first, Draft(document=draft.document, text=draft.document.text))
    assert isinstance(found, Draft), "it was kept"
    return found.text


def _reader(
    folder: Path, plan: Sequence[_PlannedPart], rows: npt.NDArray[Any], store: DocumentStore
) -> Callable[[int], Draft]:
    """Return what reads the cleaned document of a row."""
    first_rows = np.cumsum([0, *(len(part.numbers) for part in plan)])

    @lru_cache(maxsize=8)
    def texts(part: int) -> PartTexts:
        return PartTexts(folder / plan[part].name)

    def read(row: int) -> Draft:
        part = int(np.searchsorted(first_rows, row, side="right")) - 1
        return texts(part).draft(store, rows[row])

    return read


def _where_to_look(
    folder: Path,
    config: CleanConfig,
    plan: Sequence[_PlannedPart],
    rows: npt.NDArray[Any],
    copies: npt.NDArray[Any],
) -> tuple[list[PartPrints], npt.NDArray[np.int64]]:
    """Return the fingerprints of all parts, and the rows that are left, in reading order."""
    parts, first_row = [], 0
    for part in plan:
        sizes = rows["characters"][first_row : first_row + len(part.numbers)]
        parts.append(PartPrints(folder / part.name / "prints.bin", first_row, sizes))
        first_row += len(part.numbers)
    left = np.flatnonzero(_is_left(rows, copies, config))
    # As among copies, a document whose side is given goes before those that are free.
    return parts, left[np.argsort(~rows["is_fixed"][left], kind="stable")]


def _read_band(part: Path, number: int) -> Keys:
    path = part / "signed.bin"
    num = path.stat().st_size // (8 * BANDS)
    return np.fromfile(path, dtype="<u8", count=num, offset=number * num * 8)


def _as_rows(
    found: Copies, rows: npt.NDArray[Any], kept_rows: npt.NDArray[np.intp]
) -> npt.NDArray[Any]:
    copies = np.zeros(len(rows), dtype=COPY)
    copies["kept"] = np.arange(len(rows))
    copies["similarity"] = 1
    copies["kept"][kept_rows] = kept_rows[found.kept]
    copies["similarity"][kept_rows] = found.similarity
    copies["is_exact"][kept_rows] = found.is_exact
    joined = np.flatnonzero(found.group != np.arange(len(found.group)))
    joined = np.union1d(joined, found.group[joined])
    copies["group"][kept_rows[joined]] = rows["identity"][kept_rows[found.group[joined]]]
    return copies


def _note_sides(rows: npt.NDArray[Any], copies: npt.NDArray[Any], store: DocumentStore) -> None:
    """Note for each free copy the side that one of its kind was put on: what is measured on must
    not be learned from under another name."""
    keys = np.where(copies["group"] != 0, copies["group"], rows["identity"][copies["kept"]])
    _, kind, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    side_of_kind = np.zeros(len(sizes), dtype=np.uint8)
    for row in np.flatnonzero(rows["is_fixed"] & (sizes[kind] > 1)).tolist():
        side = store.split_of(_id_of(rows, row))
        if side is not None and not side_of_kind[kind[row]]:
            side_of_kind[kind[row]] = 1 + SPLITS.index(side)
    copies["side"] = np.where(rows["is_fixed"] | ~rows["is_kept"], 0, side_of_kind[kind])


def _free_the_lonely(rows: npt.NDArray[Any], copies: npt.NDArray[Any], config: CleanConfig) -> None:
    """Take documents out of groups of which nobody else is left: they are split like any other."""
    is_left = _is_left(rows, copies, config)
    _, group, sizes = np.unique(copies["group"][is_left], return_inverse=True, return_counts=True)
    copies["group"][~is_left] = 0
    copies["group"][np.flatnonzero(is_left)[sizes[group] == 1]] = 0


def _is_left(
    rows: npt.NDArray[Any], copies: npt.NDArray[Any], config: CleanConfig
) -> npt.NDArray[np.bool_]:
    """Say which documents are left by the steps and among copies."""
    is_left = rows["is_kept"].copy()
    if config.drops_copies:
        is_left &= copies["kept"] == np.arange(len(rows))
    return np.asarray(is_left)


def _write_drops(
    folder: Path,
    config: CleanConfig,
    plan: Sequence[_PlannedPart],
    rows: npt.NDArray[Any],
    copies: npt.NDArray[Any],
    store: DocumentStore,
    emptied: Sequence[Dropped],
) -> None:
    """Write `dropped.jsonl`: what the steps left out, the copies, those that were all repeats."""
    with new_file(folder / "dropped.jsonl") as temporary, temporary.open("wb") as file:
        for part in plan:
            with (folder / part.name / "dropped.jsonl").open("rb") as lines:
                shutil.copyfileobj(lines, file)
        is_copy = copies["kept"] != np.arange(len(copies))
        for row in np.flatnonzero(is_copy).tolist() if config.drops_copies else ():
            ids = [_id_of(rows, at) for at in (row, copies["kept"][row])]
            is_exact = bool(copies["is_exact"][row])
            values: dict[str, object] = {"kept": ids[1]}
            if is_exact and rows["fields"][row] != rows["fields"][copies["kept"][row]]:
                values["differs_in"] = _differing(*(store.get(one) for one in ids))
            if not is_exact:
                values["similarity"] = round(float(copies["similarity"][row]), 3)
            reason = "exact_copy" if is_exact else "near_copy"
            file.write(
                drop_line(
                    Dropped(document_id=ids[0], step="duplicates", reason=reason, values=values)
                )
            )
        file.writelines(drop_line(dropped) for dropped in emptied)


def _differing(one: Document | None, other: Document | None) -> list[str]:
    """Return the names of the columns in which two documents differ, whatever is in them."""
    fields = [document.fields if document is not None else {} for document in (one, other)]
    names = sorted({*fields[0], *fields[1]})
    return [name for name in names if fields[0].get(name) != fields[1].get(name)]


def _as_json(config: CleanConfig) -> dict[str, Any]:
    """Return a config as it comes back from JSON, so that the two can be compared."""
    return dict(json.loads(json.dumps(asdict(config))))
