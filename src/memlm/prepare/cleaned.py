"""The cleaned documents of a workspace: what `cleaning.py` wrote, opened for reading.

    cleaned.json   the parts in force, and what was counted
    copies.bin     for each document the row of the one that stands for it, and how alike they are
    personal.jsonl where something was masked: document, kind, and place in the collected text;
                   personal-dropped.jsonl the same of copies that were left out, for traces
    dropped.jsonl  documents left out: id, step, reason and the numbers that decided
    repeats.jsonl  passages that occur again, and cuts.bin: those that are cut out (see `cuts.py`)
    part-.../      some neighbouring documents, cleaned

A part holds the *fate* of each of its documents. Their texts stay in `documents.sqlite`; only what
the steps changed lies here, with the way back to the collected text as stretches: from this code
point of the cleaned text on, so much further is where it came from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from memlm.documents import DocumentStore
from memlm.errors import CorruptArtefactError
from memlm.prepare.cuts import Cuts, cut_out, lost_characters, read_cuts
from memlm.prepare.draft import Draft, Origin
from memlm.prepare.fates import read_fates
from memlm.prepare.split import Lengths
from memlm.prepare.words import han_share
from memlm.records import SPLITS, Document, PersonalPlace
from memlm.storage import hash_file, read_json, verify_folder

LIST = "cleaned.json"
MASKED_FILES = ("personal.jsonl", "personal-dropped.jsonl")
JOINT_FILES = ("copies.bin", "cuts.bin", "dropped.jsonl", *MASKED_FILES)
"""What is of all parts; `cleaned.json` knows the hash of each."""
COPY = np.dtype(
    [
        ("kept", "<i8"),  # row of the document that stands for this one
        ("group", "<u8"),  # identity of the first of all that are joined by copies; 0: it is alone
        ("side", "<u1"),  # 1 + place in SPLITS of the side that one of its kind was put on, or 0
        ("similarity", "<f4"),
        ("is_exact", "?"),
    ]
)
_SAMPLED_CHARACTERS = 1_000


@dataclass
class Survey:
    """What must be known of a corpus before it is cut: lengths, labels, scripts."""

    free: Lengths = field(default_factory=Lengths)
    """Lengths of the documents whose side is not given."""
    labels: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    han: float = 0.0
    """Code points of Chinese, estimated from the beginning of each document."""
    has_held_out: bool = False

    def add(self, document: Document, text: str) -> None:
        """Count one document."""
        self.characters += len(text)
        self.han += estimated_han(text)
        self.has_held_out |= document.split == "held_out"
        if document.split is None:
            self.free.add(len(text))
        if document.label is not None:
            self.labels[document.label] += 1

    def join(self, other: Survey) -> None:
        """Count all that another survey counted."""
        self.free.join(other.free)
        self.labels += other.labels
        self.characters += other.characters
        self.han += other.han
        self.has_held_out |= other.has_held_out

    @property
    def han_share(self) -> float:
        """Share of Chinese in the text."""
        return self.han / max(1, self.characters)


def estimated_han(text: str) -> float:
    """Return how many code points of a text are Chinese, going by its beginning."""
    return han_share(text[:_SAMPLED_CHARACTERS]) * len(text)


class Part(Protocol):
    """Some neighbouring documents, cleaned: what is cut into tokens in one go."""

    @property
    def key(self) -> str:
        """Names what is in it: two parts with one key are the same."""

    @property
    def survey(self) -> Survey:
        """What was counted in it."""

    def drafts(self) -> Iterator[Draft]:
        """Yield its documents that are kept, in order."""

    def grouped(self) -> Iterator[Draft]:
        """Yield those that have to stay on the side of others, since they are copies."""

    def to_json(self) -> dict[str, object] | None:
        """Return what another process opens it by; None where it is in this one's memory only."""


@dataclass(frozen=True)
class StoredPart:
    """A part on disk."""

    database: str
    folder: str
    """That of all cleaned documents."""
    name: str
    first_row: int
    """Documents in the parts before it."""
    drops_copies: bool
    copies_hash: str
    """Hash of what `copies.bin` and `cuts.bin` hold for this part."""

    @property
    def key(self) -> str:
        return f"{self.name}-{self.copies_hash}"

    @property
    def survey(self) -> Survey:
        noted = read_json(Path(self.folder) / self.name / "counts.json")["survey"]
        fates = self._fates()
        is_left = self._is_left(fates)
        characters = fates["characters"] - lost_characters(self._cuts(), len(fates))
        return Survey(
            free=Lengths.of(characters[is_left & ~fates["is_fixed"]].tolist()),
            labels=Counter(noted["labels"]),
            characters=int(characters[is_left].sum()),
            han=float(fates["han"][is_left].sum()),
            has_held_out=noted["has_held_out"],
        )

    def drafts(self) -> Iterator[Draft]:
        yield from self._drafts(np.flatnonzero(self._is_left(self._fates())))

    def grouped(self) -> Iterator[Draft]:
        is_left = self._is_left(self._fates())
        yield from self._drafts(np.flatnonzero(is_left & (self._copies()["group"] != 0)))

    def _drafts(self, rows: npt.NDArray[np.intp]) -> Iterator[Draft]:
        fates, copies, cuts = self._fates(), self._copies(), self._cuts()
        texts = PartTexts(Path(self.folder) / self.name)
        with DocumentStore(Path(self.database)) as store:
            for row in rows.tolist():
                group = copies["group"][row].item()
                draft = texts.draft(
                    store, fates[row], group=f"copies of {group:x}" if group else None
                )
                if copies["side"][row] and draft.document.split is None:
                    side = SPLITS[copies["side"][row] - 1]
                    draft = replace(draft, document=replace(draft.document, split=side))
                yield cut_out(draft, cuts[slice(*np.searchsorted(cuts["row"], (row, row + 1)))])

    def to_json(self) -> dict[str, object]:
        return asdict(self)

    def _fates(self) -> npt.NDArray[Any]:
        return read_fates(Path(self.folder) / self.name)

    def _is_left(self, fates: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Say which documents are left when steps, copies and cuts have taken theirs."""
        is_left = fates["is_kept"] & (
            fates["characters"] > lost_characters(self._cuts(), len(fates))
        )
        if self.drops_copies:
            is_left &= _stands_for_itself(self._copies(), self.first_row)
        return np.asarray(is_left)

    def _cuts(self) -> Cuts:
        return read_cuts(Path(self.folder), self.first_row, len(self._fates()))

    def _copies(self) -> npt.NDArray[Any]:
        path = Path(self.folder) / "copies.bin"
        num = len(self._fates())
        offset = self.first_row * COPY.itemsize
        if path.stat().st_size < offset + num * COPY.itemsize:
            raise CorruptArtefactError("artefact_unreadable", path=path)
        return np.fromfile(path, dtype=COPY, count=num, offset=offset)


class PartTexts:
    """The texts of one part on disk: those that were changed are here, the others in the store."""

    def __init__(self, folder: Path) -> None:
        self._texts = _map(folder / "texts.bin")
        self._stretches = _map(folder / "origins.bin").view("<i8").reshape(-1, 2)

    def draft(self, store: DocumentStore, fate: Any, *, group: str | None = None) -> Draft:
        """Return the draft of one document of the part."""  # Any: a record by names
        document = store.get(fate["id"].decode("ascii"))
        if document is None:
            raise CorruptArtefactError("artefact_unreadable", path=store.path)
        text, origin = document.text, None
        if fate["is_changed"]:
            text = bytes(self._texts[fate["text_start"] : fate["text_end"]]).decode("utf-8")
            pairs = self._stretches[fate["origin_start"] : fate["origin_end"]]
            origin = unpack_origin(pairs, len(text))
        return Draft(document=document, text=text, origin=origin, group=group)


class CleanedDocuments:
    """All parts of the cleaned documents of a workspace."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.folder, self._database = folder, database
        self.header: dict[str, Any] = read_json(folder / LIST)  # Any: JSON

    def parts(self) -> list[StoredPart]:
        """Return the parts, in reading order, every byte of them checked.

        Raises CorruptArtefactError if one has changed.
        """
        for name in JOINT_FILES:
            self._verify(name)
        for entry in self.header["parts"]:
            verify_folder(self.folder / entry["name"])
        return [
            StoredPart(
                database=str(self._database),
                folder=str(self.folder),
                name=entry["name"],
                first_row=entry["first_row"],
                drops_copies=self.header["drops_copies"],
                copies_hash=entry["copies_hash"],
            )
            for entry in self.header["parts"]
        ]

    def dropped(self) -> Iterator[dict[str, Any]]:  # Any: JSON
        """Yield what was left out: id, step, reason, values."""
        self._verify("dropped.jsonl")
        with (self.folder / "dropped.jsonl").open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def masked(self) -> Iterator[PersonalPlace]:
        """Yield where something was masked, in code points of the collected texts, copies and all.

        A trace knows documents that were left out, too.
        """
        for name in MASKED_FILES:
            self._verify(name)
            with (self.folder / name).open(encoding="utf-8") as file:
                for line in file:
                    yield PersonalPlace(**json.loads(line))

    def _verify(self, name: str) -> None:
        path, expected = self.folder / name, self.header["files"][name]
        if not path.is_file():
            raise CorruptArtefactError("artefact_file_missing", path=path)
        if hash_file(path) != expected:
            raise CorruptArtefactError("artefact_changed", path=path, expected=expected)


@dataclass(frozen=True)
class PartInMemory:
    """A part that was never on disk: drafts that are there already."""

    key: str
    held: Sequence[Draft]

    @property
    def survey(self) -> Survey:
        found = Survey()
        for draft in self.held:
            found.add(draft.document, draft.text)
        return found

    def drafts(self) -> Iterator[Draft]:
        yield from self.held

    def grouped(self) -> Iterator[Draft]:
        yield from (draft for draft in self.held if draft.group is not None)

    def to_json(self) -> None:
        return None


def pack_origin(origin: Origin) -> npt.NDArray[np.int64]:
    """Return an origin as stretches (n, 2): first code point, and how much further it came from."""
    shifts = origin - np.arange(len(origin))
    firsts = np.flatnonzero(np.diff(shifts, prepend=shifts[0] + 1 if len(shifts) else 0))
    return np.stack([firsts, shifts[firsts]], axis=1).astype(np.int64)


def unpack_origin(stretches: npt.NDArray[np.int64], length: int) -> Origin:
    """Return the origin that `pack_origin` packed."""
    lengths = np.diff(np.append(stretches[:, 0], length))
    return np.arange(length, dtype=np.int64) + np.repeat(stretches[:, 1], lengths)


def survey_parts(parts: Iterable[Part]) -> Survey:
    """Return what was counted in all parts together."""
    whole = Survey()
    for part in parts:
        whole.join(part.survey)
    return whole


def _stands_for_itself(copies: npt.NDArray[Any], first_row: int) -> npt.NDArray[np.bool_]:
    return np.asarray(copies["kept"] == np.arange(first_row, first_row + len(copies)))


def _map(path: Path) -> npt.NDArray[np.uint8]:
    if path.stat().st_size == 0:
        return np.zeros(0, dtype=np.uint8)
    return np.asarray(np.memmap(path, dtype=np.uint8, mode="r")).view(np.ndarray)
