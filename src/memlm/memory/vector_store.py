"""Every state that a network had while it read its texts, and the token that came next, on disk.

    codec/                 what makes bytes of a hidden state, learned once for a network
    segments.json          the segments in force
    segment-<hash>/        never changed: documents are taken out by writing it anew without them
      keys.bin             codes of the states, one byte a component, list by list
      norms.bin, rows.bin  squared length of each, and its row in the order of the text
      places.bin           where the code of each row lies           values.bin  token of each row
      bounds.bin           where each list begins                    stretches.jsonl  whose rows

A state is reduced by its principal components, which are turned at random so that all say about as
much, and rounded to a byte each. Codes lie in lists, each around a centre, of which a search visits
the nearest (an inverted file, Jegou et al. 2011): one slice of a mapped file each, a product of
matrices, no copy in memory. All of it is bound to the weights that made the states.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.errors import ConfigError, CorruptArtefactError
from memlm.language_model import Hidden, ShowsHidden, Tokens
from memlm.memory.vector_codec import VectorCodec, load_codec, save_codec
from memlm.storage import (
    delete_folder,
    hash_json,
    is_leftover,
    new_folder,
    read_json,
    verify_folder,
    write_json,
)

Rows = npt.NDArray[np.int64]
Distances = npt.NDArray[np.float32]

LARGEST_SEGMENT = 1 << 20
"""Rows; a document that is longer goes on in the next segment."""
_SMALL_SEGMENT = LARGEST_SEGMENT // 8  # joins what is added
_ROWS = 16
"""Passages that are read side by side."""
_LIST, CODEC = "segments.json", "codec"


@dataclass(frozen=True)
class VectorStretch:
    """Some tokens of one document, end to end, and the state that the network had before each."""

    document_id: str
    tokens: Tokens
    """(n,)"""
    hidden: Hidden
    """(n, D)"""
    position: int = 0
    """Of the first token, in tokens of the document."""


@dataclass(frozen=True)
class Passage:
    """Some tokens of one document that a network is to read, (n,); states are held of all."""

    document_id: str
    position: int
    """Of the first that is remembered, in tokens of the document."""
    tokens: Tokens
    before: int = 0
    """So many at its beginning are read only, for the network to know where it is."""


@dataclass(frozen=True)
class _Coded:
    """The same as it is kept."""

    document_id: str
    position: int
    values: npt.NDArray[np.uint32]
    codes: npt.NDArray[np.int8]


def read_stretches(
    model: ShowsHidden, opening: int, passages: Iterable[Passage]
) -> Iterator[VectorStretch]:
    """Let a network read passages, many side by side, and yield what it was thinking.

    Each is read by itself, after the token `opening`: what stands in one leaves no trace in what is
    remembered of another.
    """
    left = iter(passages)
    while batch := list(islice(left, _ROWS)):
        inputs = np.full((len(batch), max(len(one.tokens) for one in batch)), opening)
        for row, one in enumerate(batch):
            inputs[row, 1 : len(one.tokens)] = one.tokens[:-1]
        hidden, _ = model.hidden_states(model.start(len(batch)), inputs)
        for row, one in enumerate(batch):
            kept = slice(one.before, len(one.tokens))
            yield VectorStretch(one.document_id, one.tokens[kept], hidden[row, kept], one.position)


def _write_segment(folder: Path, stretches: list[_Coded], codec: VectorCodec) -> str:
    """Write the segment of these stretches; return its name, which is a hash of what it holds."""
    codes = np.concatenate([one.codes for one in stretches])
    values = np.concatenate([one.values for one in stretches])
    lists = codec.lists_of(codes)
    order = np.argsort(lists, kind="stable")
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    parts = {
        "keys.bin": codes[order],
        "norms.bin": (codes[order].astype(np.float32) ** 2).sum(axis=1).astype("<f4"),
        "rows.bin": order.astype("<u4"),
        "places.bin": places.astype("<u4"),
        "values.bin": values.astype("<u4"),
        "bounds.bin": np.searchsorted(lists[order], np.arange(len(codec.centres) + 1)).astype(
            "<i8"
        ),
    }
    held = _joined(stretches)
    name = "segment-" + hash_json([held, _hash(codes), _hash(values)])
    with new_folder(folder / name, made_from={"stretches": len(held)}) as temporary:
        for file, part in parts.items():
            part.tofile(temporary / file)
        lines = "".join(json.dumps(one) + "\n" for one in held)
        (temporary / "stretches.jsonl").write_text(lines, encoding="utf-8")
    return name


def _hash(part: npt.NDArray[np.generic]) -> str:
    return hashlib.sha256(part.tobytes()).hexdigest()


def _joined(stretches: Iterable[_Coded]) -> list[tuple[str, int, int]]:
    """Return (document id, position, size) of stretches, those that go on in one another joined."""
    held: list[tuple[str, int, int]] = []
    for one in stretches:
        identity, position, size = held[-1] if held else ("", 0, 0)
        if held and (one.document_id, one.position) == (identity, position + size):
            held[-1] = identity, position, size + len(one.values)
        else:
            held.append((one.document_id, one.position, len(one.values)))
    return held


class VectorSegment:
    """A segment on disk, memory-mapped; rows count from its beginning."""

    def __init__(self, folder: Path, codec: VectorCodec) -> None:
        self.folder = folder
        lines = (folder / "stretches.jsonl").read_text("utf-8").splitlines()
        stretches = [json.loads(line) for line in lines]
        self.document_ids: list[str] = [identity for identity, _, _ in stretches]
        self.positions = np.array([position for _, position, _ in stretches], dtype=np.int64)
        sizes = [size for _, _, size in stretches]
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.rows = int(self.starts[-1])
        self.values = self._map("values.bin", "<u4")
        self._keys = self._map("keys.bin", "i1").reshape(self.rows, codec.width)
        self._norms = self._map("norms.bin", "<f4")
        self._rows, self._places = self._map("rows.bin", "<u4"), self._map("places.bin", "<u4")
        self._bounds = np.fromfile(folder / "bounds.bin", dtype="<i8")

    def search(self, query: Hidden, lists: Rows) -> tuple[Rows, Distances]:
        """Return all rows of some lists, and their squared distances to a query in codes (d,)."""
        slices = [slice(self._bounds[one], self._bounds[one + 1]) for one in lists]
        parts = [self._norms[at] - self._keys[at].astype(np.float32) @ (2 * query) for at in slices]
        rows = np.concatenate([self._rows[at] for at in slices]).astype(np.int64)
        return rows, np.concatenate(parts) + query @ query

    def distances(self, query: Hidden, rows: Rows) -> Distances:
        """Return the squared distances of some rows to a query in codes (d,)."""
        places = self._places[rows]
        products = self._keys[places].astype(np.float32) @ (2 * query)
        return np.asarray(self._norms[places] - products + query @ query, dtype=np.float32)

    def stretch_of(self, rows: Rows) -> Rows:
        """Return which stretch each row belongs to."""
        return np.searchsorted(self.starts, rows, side="right") - 1

    def coded(self, *, without: Collection[str] = ()) -> Iterator[_Coded]:
        """Yield the stretches as they were added, but those of some documents."""
        for number, identity in enumerate(self.document_ids):
            if identity in without:
                continue
            rows = slice(self.starts[number], self.starts[number + 1])
            codes = self._keys[self._places[rows]]
            yield _Coded(identity, int(self.positions[number]), self.values[rows], codes)

    def _map(self, name: str, dtype: str) -> Any:  # Any: arrays of several types
        path = self.folder / name
        found = np.asarray(np.memmap(path, dtype=dtype, mode="r")).view(np.ndarray)
        if len(found) % self.rows:
            raise CorruptArtefactError("artefact_unreadable", path=path)
        return found


class VectorStore:
    """All segments of one network's memory, asked as one; rows count over all of them."""

    def __init__(self, folder: Path, codec: VectorCodec) -> None:
        self.folder, self.codec = folder, codec
        self.segments: list[VectorSegment] = []
        self._read_segments()

    @property
    def rows(self) -> int:
        """Number of states that are remembered."""
        return int(self._firsts[-1])

    @property
    def document_ids(self) -> set[str]:
        """Ids of the documents that are remembered."""
        return {identity for segment in self.segments for identity in segment.document_ids}

    def add(self, stretches: Iterable[VectorStretch]) -> None:
        """Remember documents that are not remembered yet; small segments join them."""
        small = [segment for segment in self.segments if segment.rows < _SMALL_SEGMENT]
        kept = [segment.folder.name for segment in self.segments if segment not in small]
        names = self._write(*(one.coded() for one in small), (self._code(one) for one in stretches))
        self._put_in_force([*kept, *names])

    def remove(self, document_ids: Collection[str]) -> None:
        """Forget documents; when it returns no file holds any of their tokens or states."""
        gone, names = set(document_ids), []
        for segment in self.segments:
            if gone.isdisjoint(segment.document_ids):
                names.append(segment.folder.name)
            else:
                names += self._write(segment.coded(without=gone))
        self._put_in_force(names)

    def search(self, query: Hidden, *, lists: int) -> tuple[Rows, Distances]:
        """Return the rows in the nearest lists and their distances to a query in codes (d,)."""
        if not self.rows:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        nearest = self.codec.nearest_lists(query, lists)
        found = [segment.search(query, nearest) for segment in self.segments]
        rows = [rows + first for (rows, _), first in zip(found, self._firsts, strict=False)]
        return np.concatenate(rows), np.concatenate([distances for _, distances in found])

    def distances(self, query: Hidden, rows: Rows) -> Distances:
        """Return the squared distances of some rows to a query in codes (d,)."""
        found = np.empty(len(rows), dtype=np.float32)
        for segment, at, own in self._by_segment(rows):
            found[at] = segment.distances(query, own)
        return found

    def values(self, rows: Rows) -> Rows:
        """Return the token that came at each row."""
        found = np.empty(len(rows), dtype=np.int64)
        for segment, at, own in self._by_segment(rows):
            found[at] = segment.values[own]
        return found

    def following(self, rows: Rows) -> Rows:
        """Return the rows after these, of those that the document goes on behind."""
        goes_on = np.zeros(len(rows), dtype=bool)
        for segment, at, own in self._by_segment(rows):
            goes_on[at] = own + 1 < segment.starts[segment.stretch_of(own) + 1]
        return rows[goes_on] + 1

    def places(self, rows: Rows) -> list[tuple[str, int]]:
        """Return the document of each row, and which of its tokens that is."""
        found = [("", 0)] * len(rows)
        for segment, at, own in self._by_segment(rows):
            stretches = segment.stretch_of(own)
            positions = segment.positions[stretches] + own - segment.starts[stretches]
            for number, stretch, position in zip(at, stretches, positions, strict=True):
                found[number] = segment.document_ids[stretch], int(position)
        return found

    def marks(self, document_ids: Collection[str]) -> list[npt.NDArray[np.bool_]]:
        """Return, for each segment, which of its stretches are of these documents."""
        return [
            np.array([identity in document_ids for identity in segment.document_ids], dtype=bool)
            for segment in self.segments
        ]

    def are_marked(
        self, rows: Rows, marks: Sequence[npt.NDArray[np.bool_]]
    ) -> npt.NDArray[np.bool_]:
        """Say of each row whether its stretch is marked."""
        found = np.zeros(len(rows), dtype=bool)
        for segment, at, own in self._by_segment(rows):
            found[at] = marks[self.segments.index(segment)][segment.stretch_of(own)]
        return found

    def _by_segment(self, rows: Rows) -> Iterator[tuple[VectorSegment, Rows, Rows]]:
        """Yield each segment that holds any of the rows, which of them, and as it counts them."""
        if len(self.segments) == 1:  # as most memories have
            yield self.segments[0], np.arange(len(rows)), rows
            return
        number = np.searchsorted(self._firsts, rows, side="right") - 1
        for one in np.unique(number):
            at = np.flatnonzero(number == one)
            yield self.segments[one], at, rows[at] - self._firsts[one]

    def _code(self, stretch: VectorStretch) -> _Coded:
        values = np.asarray(stretch.tokens).astype(np.uint32)
        codes = self.codec.encode(stretch.hidden)
        return _Coded(stretch.document_id, stretch.position, values, codes)

    def _write(self, *parts: Iterable[_Coded]) -> list[str]:
        """Write segments of what all parts yield, and return their names."""
        names: list[str] = []
        held: list[_Coded] = []
        size = 0
        for one in chain(*parts):
            if held and size + len(one.values) > LARGEST_SEGMENT:
                names.append(_write_segment(self.folder, held, self.codec))
                held, size = [], 0
            held.append(one)
            size += len(one.values)
        return [*names, _write_segment(self.folder, held, self.codec)] if held else names

    def _put_in_force(self, names: list[str]) -> None:
        write_json(self.folder / _LIST, {"segments": names})
        self.segments = []  # so that nothing is mapped any longer where that forbids deleting
        for old in self.folder.glob("segment-*"):
            if old.name not in names and not is_leftover(old.name):
                delete_folder(old)
        self._read_segments()

    def _read_segments(self) -> None:
        found = read_json(self.folder / _LIST)
        try:
            names = [str(name) for name in found["segments"]]
        except (KeyError, TypeError) as error:
            raise CorruptArtefactError("artefact_unreadable", path=self.folder / _LIST) from error
        for name in names:
            verify_folder(self.folder / name)
        self.segments = [VectorSegment(self.folder / name, self.codec) for name in names]
        sizes = [segment.rows for segment in self.segments]
        self._firsts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def new_vectors(folder: Path, codec: VectorCodec, *, weights_hash: str) -> VectorStore:
    """Return an empty memory in `folder`, for the network with these weights."""
    save_codec(folder / CODEC, codec, weights_hash=weights_hash)
    write_json(folder / _LIST, {"segments": []})
    return VectorStore(folder, codec)


def open_vectors(folder: Path, *, weights_hash: str) -> VectorStore:
    """Open the memory in `folder`, checking every byte.

    Raises ConfigError if it was made with other weights, CorruptArtefactError if it was changed.
    """
    codec, bound_to = load_codec(folder / CODEC)
    if bound_to != weights_hash:
        raise ConfigError("vectors_of_another", path=folder)
    return VectorStore(folder, codec)
