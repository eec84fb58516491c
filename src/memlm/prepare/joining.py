"""All cleaned parts together: copies and repeats are found, drops listed, and the parts in force.

What is held of each document here is a few numbers, so that millions of them fit in memory.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.documents import DocumentStore
from memlm.prepare.clean_config import CleanConfig
from memlm.prepare.cleaned import COPY, JOINT_FILES, LIST, MASKED_FILES, PartTexts
from memlm.prepare.cleaned_part import drop_line
from memlm.prepare.cuts import Repeats, lost_characters, read_cuts
from memlm.prepare.draft import Draft
from memlm.prepare.duplicates import BANDS, Copies, Keys, find_copies
from memlm.prepare.fates import Fates, read_fates
from memlm.prepare.repeats import PartPrints
from memlm.prepare.text_steps import apply_steps, steps_around_copies
from memlm.records import SPLITS, Document, Dropped
from memlm.storage import hash_file, new_file, verify_folder, write_json

MOST_FOR_REPEATS = 300_000_000
"""Code points among which repeats are looked for unasked: that takes two bytes of memory each."""
Mask = npt.NDArray[np.bool_]


def join_parts(
    folder: Path,
    database: Path,
    config: CleanConfig,
    names: Sequence[str],
    *,
    manner: Mapping[str, object],
) -> None:
    """Find the copies among all documents, list what is dropped, and put the parts in force.

    `names` are those of the parts in `folder`, in reading order; `manner` is what `cleaned.json`
    says of how they were made.
    """
    for name in names:
        verify_folder(folder / name)
    fates = Fates([folder / name for name in names])
    with DocumentStore(database) as store:
        read = _reader(fates, store)
        copies = _copies(config, fates, read)
        _note_sides(fates, copies, store)
        is_left = _is_left(fates, copies, config)
        repeats = Repeats(
            folder,
            draft=read,
            identify=fates.id_of,
            is_changed=fates.column("is_changed"),
            drops_repeats=bool(config.drop_repeats),
        )
        has_looked = _look_for_repeats(repeats, config, fates, is_left)
        _write_drops(folder, config, fates, copies, store, repeats.dropped)
    _free_the_lonely(copies, is_left)
    with new_file(folder / "copies.bin") as temporary:
        copies.tofile(temporary)
    num_left = int(is_left.sum())
    if len(repeats.cuts):
        is_left &= fates.column("characters") > lost_characters(repeats.cuts, len(fates))
    header = {
        **manner,
        "drops_copies": config.drops_copies,
        "documents_kept": num_left,
        "looked_for_repeats": has_looked,
        "repeats": {name: repeats.counts[name] for name in ("passages", "characters", "cut")},
        "parts": [_entry(folder, part, rows, copies) for part, rows in fates.parts()],
        "held_out_copies": int(np.count_nonzero(copies["side"] > 1 + SPLITS.index("train"))),
        **_join_losses(folder, fates, is_left),
    }
    files = {name: hash_file(folder / name) for name in JOINT_FILES}
    write_json(folder / LIST, header | {"files": files})


def _entry(folder: Path, part: Path, rows: slice, copies: npt.NDArray[Any]) -> dict[str, object]:
    """Return what `cleaned.json` says of one part."""
    own = hashlib.blake2b(copies[rows].tobytes(), digest_size=8)
    own.update(read_cuts(folder, rows.start, rows.stop - rows.start).tobytes())
    return {"name": part.name, "first_row": rows.start, "copies_hash": own.hexdigest()}


def _look_for_repeats(repeats: Repeats, config: CleanConfig, fates: Fates, is_left: Mask) -> bool:
    """Find what is repeated among the documents that are left; say whether it was looked for."""
    characters = fates.column("characters")
    is_too_much = int(characters[is_left].sum()) > MOST_FOR_REPEATS
    has_looked = bool(config.drop_repeats) or not is_too_much
    left = np.flatnonzero(is_left) if has_looked else np.zeros(0, dtype=np.int64)
    # Without fingerprints there is nothing to look at, and nothing is found.
    parts = [
        PartPrints(part / "prints.bin", rows.start, characters[rows])
        for part, rows in fates.parts()
    ]
    # As among copies, a document whose side is given goes before those that are free.
    repeats.find(parts, left[np.argsort(~fates.column("is_fixed")[left], kind="stable")])
    return has_looked


def _join_losses(folder: Path, fates: Fates, is_left: Mask) -> dict[str, dict[str, int]]:
    """Write where the documents were masked, and return what those that are left have lost."""
    totals: dict[str, Counter[str]] = {"removed": Counter(), "masked": Counter()}
    with ExitStack() as files:
        kept, dropped = (
            files.enter_context(files.enter_context(new_file(folder / name)).open("wb"))
            for name in MASKED_FILES
        )
        for part, rows in fates.parts():
            ids = {identity.decode("ascii") for identity in read_fates(part)["id"][is_left[rows]]}
            for line, found in _read_lines(part / "personal.jsonl"):
                is_kept = found["document_id"] in ids
                totals["masked"][found["kind"]] += is_kept
                (kept if is_kept else dropped).write(line)
            for _, found in _read_lines(part / "removed.jsonl"):
                if found.pop("document_id") in ids:
                    totals["removed"].update(found)
    return {name: dict(+total) for name, total in totals.items()}


def _read_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:  # Any: JSON
    with path.open("rb") as lines:
        for line in lines:
            yield line, json.loads(line)


def _copies(config: CleanConfig, fates: Fates, read: Callable[[int], Draft]) -> npt.NDArray[Any]:
    """Return what `copies.bin` holds."""
    kept_rows = np.flatnonzero(fates.column("is_kept"))
    kinds = fates.column("kind")[kept_rows]

    def band(number: int) -> Keys:
        keys = np.empty(len(fates), dtype=np.uint64)
        for part, rows in fates.parts():
            keys[rows] = _read_band(part, number)
        return keys[kept_rows]

    # Where copies go, only those of other kinds are left to be kept together.
    has_groups = not config.drops_copies or _varies(kinds)
    found = find_copies(
        fates.column("content")[kept_rows],
        kinds,
        # Where the side of a document is given, its copies make way for it.
        np.argsort(~fates.column("is_fixed")[kept_rows], kind="stable"),
        band=band if config.finds_near_copies else None,
        read=lambda row: _compared_text(config, read(int(kept_rows[row]))),
        texts=fates.column("text")[kept_rows] if has_groups else None,
    )
    return _as_rows(found, fates, kept_rows)


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


def _reader(fates: Fates, store: DocumentStore) -> Callable[[int], Draft]:
    """Return what reads the cleaned document of a row."""

    @lru_cache(maxsize=8)
    def texts(part: int) -> PartTexts:
        return PartTexts(fates.folders[part])

    def read(row: int) -> Draft:
        return texts(fates.place_of(row)[0]).draft(store, fates[row])

    return read


def _read_band(part: Path, number: int) -> Keys:
    path = part / "signed.bin"
    num = path.stat().st_size // (8 * BANDS)
    return np.fromfile(path, dtype="<u8", count=num, offset=number * num * 8)


def _as_rows(found: Copies, fates: Fates, kept_rows: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    copies = np.zeros(len(fates), dtype=COPY)
    copies["kept"] = np.arange(len(fates))
    copies["similarity"] = 1
    copies["kept"][kept_rows] = kept_rows[found.kept]
    copies["similarity"][kept_rows] = found.similarity
    copies["is_exact"][kept_rows] = found.is_exact
    joined = np.flatnonzero(found.group != np.arange(len(found.group)))
    joined = np.union1d(joined, found.group[joined])
    identities = fates.column("identity")
    copies["group"][kept_rows[joined]] = identities[kept_rows[found.group[joined]]]
    return copies


def _note_sides(fates: Fates, copies: npt.NDArray[Any], store: DocumentStore) -> None:
    """Note for each free copy the side that one of its kind was put on: what is measured on must
    not be learned from under another name."""
    is_fixed = fates.column("is_fixed")
    if not is_fixed.any():
        return
    keys = np.where(copies["group"] != 0, copies["group"], fates.column("identity")[copies["kept"]])
    _, kind, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    side_of_kind = np.zeros(len(sizes), dtype=np.uint8)
    for row in np.flatnonzero(is_fixed & (sizes[kind] > 1)).tolist():
        side = store.split_of(fates.id_of(row))
        if side is not None and not side_of_kind[kind[row]]:
            side_of_kind[kind[row]] = 1 + SPLITS.index(side)
    copies["side"] = np.where(is_fixed | ~fates.column("is_kept"), 0, side_of_kind[kind])


def _free_the_lonely(copies: npt.NDArray[Any], is_left: Mask) -> None:
    """Take documents out of groups of which nobody else is left: they are split like any other."""
    copies["group"][~is_left] = 0
    grouped = np.flatnonzero(copies["group"])
    _, group, sizes = np.unique(copies["group"][grouped], return_inverse=True, return_counts=True)
    copies["group"][grouped[sizes[group] == 1]] = 0


def _is_left(fates: Fates, copies: npt.NDArray[Any], config: CleanConfig) -> Mask:
    """Say which documents are left by the steps and among copies."""
    is_left = fates.column("is_kept")
    if config.drops_copies:
        is_left &= copies["kept"] == np.arange(len(fates))
    return is_left


def _write_drops(
    folder: Path,
    config: CleanConfig,
    fates: Fates,
    copies: npt.NDArray[Any],
    store: DocumentStore,
    emptied: Sequence[Dropped],
) -> None:
    """Write `dropped.jsonl`: what the steps left out, the copies, those that were all repeats."""
    with new_file(folder / "dropped.jsonl") as temporary, temporary.open("wb") as file:
        for part in fates.folders:
            with (part / "dropped.jsonl").open("rb") as lines:
                shutil.copyfileobj(lines, file)
        is_copy = copies["kept"] != np.arange(len(copies))
        for row in np.flatnonzero(is_copy) if config.drops_copies else ():
            file.write(drop_line(_dropped_copy(fates, int(row), copies[row], store)))
        file.writelines(drop_line(dropped) for dropped in emptied)


def _dropped_copy(fates: Fates, row: int, copy: Any, store: DocumentStore) -> Dropped:
    """Return why a copy is left out."""  # Any: a record by names
    ids = [fates.id_of(row), fates.id_of(int(copy["kept"]))]
    values: dict[str, object] = {"kept": ids[1]}
    if not copy["is_exact"]:
        values["similarity"] = round(float(copy["similarity"]), 3)
    elif fates[row]["fields"] != fates[int(copy["kept"])]["fields"]:
        values["differs_in"] = _differing(*(store.get(one) for one in ids))
    reason = "exact_copy" if copy["is_exact"] else "near_copy"
    return Dropped(document_id=ids[0], step="duplicates", reason=reason, values=values)


def _differing(one: Document | None, other: Document | None) -> list[str]:
    """Return the names of the columns in which two documents differ, whatever is in them."""
    fields = [document.fields if document is not None else {} for document in (one, other)]
    names = sorted({*fields[0], *fields[1]})
    return [name for name in names if fields[0].get(name) != fields[1].get(name)]
