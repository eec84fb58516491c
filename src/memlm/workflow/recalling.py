"""The states that a network had while it read its documents: kept in step with both, and opened.

They are kept by *pieces*, each named after its document, its place and its text: what has changed
is another piece. Of very much text some pieces are remembered, chosen by their names: which they
are depends on how much text there is, on no other document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from memlm.errors import CorruptArtefactError, NotFoundError
from memlm.language_model import ShowsHidden
from memlm.memory.vector_codec import learn_codec
from memlm.memory.vector_store import (
    CODEC,
    Passage,
    VectorStore,
    VectorStretch,
    new_vectors,
    open_vectors,
    read_stretches,
)
from memlm.prepare import TokenStore
from memlm.records import Split
from memlm.storage import (
    MANIFEST,
    delete_folder,
    hash_json,
    read_json,
    read_manifest,
    write_json,
)
from memlm.workflow.listener import Listener
from memlm.workflow.remembering import HELD, LEARNED, CountsMemory, Units
from memlm.workspace import STATES_FILE, Workspace

MOST_STATES = 1 << 22
"""That are remembered, some 85 bytes each."""
_PIECE, _BEFORE = 2048, 256
"""Tokens of a piece, and those that are read before it."""
_NAMES = 1 << 64
_GROWN = 4
"""Times as many states as the codec was learned for: it is learned anew."""
_SAMPLES, _SAMPLE = 64, 512
"""Stretches of text that the codec is learned from, and their tokens."""


@dataclass(frozen=True)
class VectorMemory:
    """The states of one network, in step with the tokens."""

    store: VectorStore
    tokens: TokenStore

    @cached_property
    def held_out(self) -> frozenset[str]:
        """Names of the pieces that are of held-out text."""
        return frozenset(_Pieces(self.tokens).of({"held_out"}))

    @property
    def codec_hash(self) -> str:
        """Names the units in which states are compared: what was fitted in others says nothing."""
        return hash_json(read_manifest(self.store.folder / CODEC)["files"])


@dataclass(frozen=True)
class _Piece:
    """Some tokens of a unit, which are remembered or forgotten together."""

    unit: str
    start: int
    stop: int


class _Pieces:
    """The text that is remembered, in pieces."""

    def __init__(self, store: TokenStore) -> None:
        self._units = Units(store, HELD)
        self._labels = frozenset(store.tokenizer.labels.values())
        sizes = {key: self._units.size(key) for key in self._units.entries}
        share = _NAMES
        while sum(sizes.values()) * share > MOST_STATES * _NAMES:
            share //= 2
        self._by_name: dict[str, _Piece] = {}
        for key, size in sizes.items():
            content = self._units.entries[key].content
            for start in range(0, size, _PIECE):
                name = f"{key}:{start}:{content}"
                if share == _NAMES or _number(name) < share:
                    self._by_name[name] = _Piece(key, start, min(start + _PIECE, size))

    @property
    def names(self) -> set[str]:
        return set(self._by_name)

    def of(self, splits: Collection[Split]) -> list[str]:
        """Return the names of those on these sides of the split."""
        entries = self._units.entries
        return [name for name, one in self._by_name.items() if entries[one.unit].group in splits]

    def size(self, names: Iterable[str]) -> int:
        """Return the tokens of some pieces."""
        found = (self._by_name[name] for name in names)
        return sum(piece.stop - piece.start for piece in found)

    def read(self, names: Collection[str]) -> Iterator[Passage]:
        """Yield some pieces, in the order of the text."""
        for name, piece in self._by_name.items():
            if name in names:
                yield self._passage(name, piece.unit, piece.start, piece.stop)

    def samples(self) -> Iterator[Passage]:
        """Yield stretches from all over the learned text, or of all where none is left."""
        learned = [self._by_name[name] for name in self.of(LEARNED) or self.of(HELD)]
        ends = np.cumsum([piece.stop - piece.start for piece in learned])
        total = int(ends[-1])
        count = min(_SAMPLES, total // _SAMPLE + 1)
        for place in ((np.arange(count) + 0.5) * total / count).astype(int).tolist():
            number = int(np.searchsorted(ends, place, side="right"))
            piece = learned[number]
            start = piece.stop - min(_SAMPLE + int(ends[number]) - place, piece.stop - piece.start)
            yield self._passage(str(place), piece.unit, start, min(start + _SAMPLE, piece.stop))

    def _passage(self, name: str, unit: str, start: int, stop: int) -> Passage:
        before = min(start, _BEFORE)
        tokens = self._units.tokens(unit)
        label = self._units.label(unit)
        if label is None and before < start and int(tokens[0]) in self._labels:
            label = int(tokens[0])
        read = tokens[start - before : stop]
        if label is None:
            return Passage(name, start, read, before)
        # The network knows the label wherever it is in the document.
        return Passage(name, start, np.concatenate([[label], read]), before + 1)


def refresh_vectors(
    workspace: Workspace,
    model: ShowsHidden,
    weights_hash: str,
    memory: CountsMemory,
    listener: Listener,
) -> VectorMemory:
    """Bring the states of a network in step with some tokens, and return them."""
    folder = workspace.vector_memory(weights_hash)
    made_from = {"tokenizer": memory.store.folder.name, "tokens": memory.digest}
    if _read_about(folder).get("made_from") == made_from:
        return VectorMemory(open_vectors(folder, weights_hash=weights_hash), memory.store)
    with workspace.writing():
        about = _read_about(folder)  # another process may have been here
        for other in workspace.vector_memories():
            if other != folder and _weights_of(workspace, other) is None:
                delete_folder(other)
        pieces = _Pieces(memory.store)
        wanted = pieces.size(pieces.names)
        if not about or wanted > _GROWN * about["codec_states"]:
            delete_folder(folder)
            codec_states = wanted
            told = read_stretches(model, memory.store.tokenizer.end, pieces.samples())
            codec = learn_codec(np.concatenate([one.hidden for one in told]), rows=wanted)
            store = new_vectors(folder, codec, weights_hash=weights_hash)
        else:
            store = open_vectors(folder, weights_hash=weights_hash)
            codec_states = about["codec_states"]
            _take_out_of_step(folder)
        store.remove(store.document_ids - pieces.names)
        _add(store, model, memory, pieces, listener)
        about = {"made_from": made_from, "states": store.rows, "codec_states": codec_states}
        write_json(folder / STATES_FILE, about)
    return VectorMemory(store, memory.store)


def forget_vectors(workspace: Workspace, folder: Path) -> bool:
    """Take out of a folder what is no longer a piece of the text; say whether anything was.

    What cannot be kept in step, as its network or its tokens are gone, is deleted.
    """
    about, weights_hash = _read_about(folder), _weights_of(workspace, folder)
    tokens = workspace.prepared(about["made_from"]["tokenizer"]) if about else folder
    if weights_hash is None or not (tokens / MANIFEST).exists():
        delete_folder(folder)
        return True
    store = open_vectors(folder, weights_hash=weights_hash)
    _take_out_of_step(folder)  # what comes back must be read again
    gone = store.document_ids - _Pieces(TokenStore(tokens)).names
    store.remove(gone)  # also what a removal that was killed has left
    write_json(folder / STATES_FILE, read_json(folder / STATES_FILE) | {"states": store.rows})
    return bool(gone)


def _take_out_of_step(folder: Path) -> None:
    """Note, before a memory changes, that it is of no tokens."""
    about = read_json(folder / STATES_FILE)
    made_from = about["made_from"] | {"tokens": ""}
    write_json(folder / STATES_FILE, about | {"made_from": made_from})


def _weights_of(workspace: Workspace, folder: Path) -> str | None:
    """Return the hash of the weights that a folder is named after; None if no model has them."""
    names = workspace.models_with_states(folder)
    return workspace.weights_hash(names[0]) if names else None


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("ascii"), digest_size=8).digest())


def _read_about(folder: Path) -> dict[str, Any]:  # Any: JSON
    """Return what a folder was made from; nothing where it never was finished."""
    path = folder / STATES_FILE
    try:
        found = read_json(path)
        return {
            "made_from": {key: str(found["made_from"][key]) for key in ("tokenizer", "tokens")},
            "codec_states": int(found["codec_states"]),
        }
    except NotFoundError:
        return {}
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=path) from error


def _add(
    store: VectorStore,
    model: ShowsHidden,
    memory: CountsMemory,
    pieces: _Pieces,
    listener: Listener,
) -> None:
    """Remember what is not remembered yet."""
    fresh = pieces.names - store.document_ids
    if not fresh:
        return
    total, done = pieces.size(fresh), 0
    listener.note("recalling", states=total)

    def told() -> Iterator[VectorStretch]:
        nonlocal done
        for one in read_stretches(model, memory.store.tokenizer.end, pieces.read(fresh)):
            done += len(one.tokens)
            listener.progress("recall", done, total)
            yield one

    store.add(told())
