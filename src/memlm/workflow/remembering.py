"""The memory that predicts: what it may hold, kept in step with the tokens, and opened.

It holds every token but the sealed ones. Whatever is fitted or reported on held-out text uses the
view without that: a choice of segments, since a segment holds one side of the split only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.errors import CorruptArtefactError
from memlm.index import Entry, SegmentEntry, SuffixIndex, is_current, open_index, refresh_index
from memlm.memory.counts import CountsModel
from memlm.memory.smoothing import Smoothing, usual_smoothing
from memlm.prepare import PrepareConfig, TokenStore
from memlm.records import SPLITS, Split
from memlm.storage import MANIFEST, hash_json, read_json, read_manifest, write_json
from memlm.train.learned import count_labels, tokens_hash
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, Model
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of
from memlm.workflow.preparing import (
    open_tokens,
    prepare_documents,
    say_what_cleaning_took,
)
from memlm.workspace import Workspace

HELD: tuple[Split, ...] = ("train", "held_out")
"""What a memory may hold: all but the sealed."""
LEARNED: tuple[Split, ...] = ("train",)
"""The view for whatever is fitted or reported on held-out text."""
_SMOOTHING = "smoothing.json"
_SHORTEST_STREAM = 256


@dataclass(frozen=True)
class CountsMemory:
    """The memory of a tokenizer's tokens, in step with them."""

    folder: Path
    store: TokenStore
    digest: str
    """Names the tokens."""

    def model(
        self, *, splits: Collection[Split] = HELD, smoothing: Smoothing | None = None
    ) -> CountsModel:
        """Return the model that has counted these sides of the split."""
        index = self.index(splits=splits)
        size = self.store.tokenizer.vocabulary_size
        return CountsModel(
            index.segments,
            smoothing or self.smoothing or usual_smoothing(size),
            vocabulary_size=size,
        )

    def index(self, *, splits: Collection[Split] = HELD) -> SuffixIndex:
        """Return the tokens of these sides of the split, to be searched."""
        return open_index(self.folder, splits, contents=False)

    def place_of(self, key: str, offset: int, length: int) -> tuple[str, int, int]:
        """Return the document, and the place in it, of some tokens of an entry of the index.

        The place is in code points of the collected text and reaches to where the next token
        begins, which is further than these tokens do where cleaning left something out. The end
        token in front of a document is none of its text.
        """
        unit, in_front = self._unit(key)
        first, behind = (
            int(unit["token_start"]) + at - in_front for at in (offset, offset + length)
        )
        start = self.store.offsets[max(first, unit["token_start"])]
        if behind < unit["token_end"]:
            end = self.store.offsets[behind]
        elif self.store.tokens[behind - 1] == self.store.tokenizer.end:
            end = self.store.offsets[behind - 1]
        else:
            end = unit["text_end"]
        return key.partition(":")[0], int(start), int(end)

    def tokens_from(self, key: str, offset: int, most: int) -> npt.NDArray[np.int64]:
        """Return at most so many tokens of an entry of the index from an offset on."""
        unit, in_front = self._unit(key)
        first = int(unit["token_start"]) + offset - in_front
        return self.store.tokens[first : min(first + most, unit["token_end"])].astype(np.int64)

    def _unit(self, key: str) -> tuple[Any, int]:  # Any: a record by name
        """Return the unit that an entry is of, and the tokens that the entry has in front of it."""
        document, _, number = key.partition(":")
        first = np.searchsorted(self.store.units["document"], self._document_numbers[document])
        return self.store.units[int(first) + int(number)], 1 if number == "0" else 0

    @cached_property
    def _document_numbers(self) -> dict[str, int]:
        ids = self.store.document_ids
        return {identity: number for number, identity in enumerate(ids[:])}

    @cached_property
    def smoothing(self) -> Smoothing | None:
        """What was fitted for these tokens; None where nothing was."""
        path = self.folder / _SMOOTHING
        if not path.exists():
            return None
        found = read_json(path)
        try:
            if found["tokenizer"] != self._tokenizer_hash():  # these tokens are others
                return None
            return Smoothing.from_json(found["smoothing"])
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptArtefactError("artefact_unreadable", path=path) from error

    def streams(
        self,
        split: Split,
        *,
        most_tokens: int,
        without: Collection[int] = (),
        but: Collection[int] = (),
    ) -> list[npt.NDArray[np.int64]]:
        """Return one side of the split as it is read, or a part of it from all over.

        What a document has on that side is read on and on, as a long text would be, over what is
        left out. Each stream begins with a token that is only read: the end of the document before,
        or its own first. Documents in `without` (their ids as numbers) give only those units that
        are among `but` (numbers as `contents` has them).
        """
        units = Units(self.store, (split,))
        by_document: dict[str, list[str]] = {}
        for key, entry in units.entries.items():
            document = key.partition(":")[0]
            if int(document, 16) not in without or _number_of(entry) in but:
                by_document.setdefault(document, []).append(key)
        step = -(-len(by_document) * _SHORTEST_STREAM // most_tokens)
        by_document = {one: by_document[one] for one in list(by_document)[:: max(1, step)]}
        sizes = {one: sum(map(units.size, keys)) for one, keys in by_document.items()}
        share = min(1.0, most_tokens / max(1, sum(sizes.values())))
        found: list[npt.NDArray[np.int64]] = []
        for document, keys in by_document.items():
            kept = max(_SHORTEST_STREAM, int(sizes[document] * share))
            tokens = np.concatenate([entry.symbols for entry in units.read(keys)])[:kept]
            if len(tokens) > 1 and sum(map(len, found)) < most_tokens + _SHORTEST_STREAM:
                found.append(tokens.astype(np.int64))
        return found

    def contents(self, split: Split) -> npt.NDArray[np.uint64]:
        """Return a number for the text of each unit on one side of the split, sorted."""
        entries = Units(self.store, (split,)).entries.values()
        return np.sort(np.fromiter(map(_number_of, entries), dtype="<u8"))

    def _tokenizer_hash(self) -> str:
        return hash_json(self.store.tokenizer.to_json())

    def keep(self, smoothing: Smoothing, **about: object) -> None:
        """Keep what was fitted, and on how much."""
        kept = {"tokenizer": self._tokenizer_hash(), "smoothing": smoothing.to_json(), **about}
        write_json(self.folder / _SMOOTHING, kept)
        self.__dict__.pop("smoothing", None)


def open_memory(
    workspace: AnyWorkspace, tokenizer: str | None = None, *, listener: Listener | None = None
) -> CountsMemory:
    """Return the memory of the workspace's documents, brought in step with them first.

    `tokenizer` names whose tokens it counts (by default those prepared last). Raises NotFoundError
    where there are no documents, or no such tokens.
    """
    opened, hears = as_workspace(workspace), listener or Listener()
    if tokenizer is None:
        tokenizer = prepare_documents(opened, listener=hears).tokenizer
    store = open_tokens(opened.prepared(tokenizer))
    return refresh_memory(opened, store, hears)


def holds_counts_only(folder: Path) -> bool:
    """Say whether the folder of a memory has nothing in it that a memory has not."""
    names = {path.name for path in folder.iterdir()}
    known = {name for name in names if name.startswith("segment-")} | {"segments.json", _SMOOTHING}
    return names <= known


def is_remembered(workspace: Workspace, tokenizer: str) -> bool:
    """Say whether the memory of a tokenizer's tokens is in step with them."""
    folder, tokens = workspace.counts_memory(tokenizer), workspace.prepared(tokenizer)
    if not (tokens / MANIFEST).exists():
        return False
    return is_current(folder, digest=tokens_hash(TokenStore(tokens)))


def refresh_memory(workspace: Workspace, store: TokenStore, listener: Listener) -> CountsMemory:
    """Bring the memory of some tokens in step with them."""
    folder = workspace.counts_memory(store.folder.name)
    digest = tokens_hash(store)
    if not is_current(folder, digest=digest):
        units = Units(store)
        with workspace.writing():
            listener.note("remembering", tokens=sum(entry.size for entry in units.entries.values()))
            refresh_index(
                folder,
                digest=digest,
                entries=units.entries,
                read=units.read,
                vocabulary_size=store.tokenizer.vocabulary_size,
                layout="compact",
                progress=lambda done, total: listener.progress("remember", done, total),
            )
    return CountsMemory(folder, store, digest)


def memory_model(
    workspace: AnyWorkspace,
    *,
    prepare: PrepareConfig | None = None,
    listener: Listener | None = None,
) -> Model:
    """Return the memory of a workspace as a model that can be asked: it needs no training."""
    opened, hears = as_workspace(workspace), listener or Listener()
    with documents_of(opened) as store:
        digest = store.digest()
    name = opened.settings().get("tokenizer")
    if name is None or prepare not in (None, PrepareConfig()) or not _is_of(opened, name, digest):
        prepared = prepare_documents(opened, config=prepare, listener=hears)
        say_what_cleaning_took(prepared, hears)
        name = prepared.tokenizer
    memory = open_memory(opened, name, listener=hears)
    return Model(
        name=MEMORY,
        predictor=memory.model(),
        tokenizer=memory.store.tokenizer,
        label_counts=count_labels(memory.store),
        documents_digest=digest,
        workspace=opened,
    )


def _is_of(workspace: Workspace, tokenizer: str, digest: str) -> bool:
    """Say whether tokens are of the documents with this digest: nothing need be prepared."""
    folder = workspace.prepared(tokenizer)
    if not (folder / MANIFEST).exists():
        return False
    return bool(read_manifest(folder)["made_from"]["documents"] == digest)


def _number_of(entry: Entry) -> int:
    return int(entry.content[:16], 16)


class Units:
    """The stretches of a token store as entries of an index.

    One that begins a document begins with the end of the one before it, as every text does: so that
    a memory knows how documents begin.
    """

    def __init__(self, store: TokenStore, splits: Collection[Split] = HELD) -> None:
        self._store = store
        self._numbers: dict[str, int] = {}
        self.entries: dict[str, Entry] = {}
        documents = store.units["document"]
        begins = np.append(True, documents[1:] != documents[:-1])[: len(documents)]
        self._begins = begins
        number_in_document = np.arange(len(documents)) - np.maximum.accumulate(
            np.where(begins, np.arange(len(documents)), 0)
        )
        for unit, (document, number) in enumerate(
            zip(documents.tolist(), number_in_document.tolist(), strict=True)
        ):
            split = SPLITS[store.units["split"][unit]]
            if split not in splits:
                continue
            key = f"{store.document_ids[document]}:{number}"
            self._numbers[key] = unit
            tokens = self._with_end(unit)
            content = hashlib.blake2b(tokens.tobytes(), digest_size=16).hexdigest()
            self.entries[key] = Entry(content, len(tokens), split)

    def read(self, keys: Iterable[str]) -> Iterator[SegmentEntry]:
        """Yield the entries of these keys."""
        for key in keys:
            yield SegmentEntry(key, self.entries[key].content, self._with_end(self._numbers[key]))

    def size(self, key: str) -> int:
        """Return the number of a unit's own tokens."""
        return len(self.tokens(key))

    def label(self, key: str) -> int | None:
        """Return the token of the label that a unit's document has, if that begins outside it."""
        units, number = self._store.units, self._numbers[key]
        if self._begins[number]:
            return None
        first = int(np.searchsorted(units["document"], units["document"][number]))
        opening = int(self._store.tokens[units["token_start"][first]])
        return opening if opening in self._store.tokenizer.labels.values() else None

    def tokens(self, key: str) -> npt.NDArray[Any]:  # Any: of the vocabulary's size
        """Return a unit's own tokens, without the end in front."""
        record = self._store.units[self._numbers[key]]
        return np.asarray(self._store.tokens[record["token_start"] : record["token_end"]])

    def _with_end(self, unit: int) -> npt.NDArray[np.uint32]:
        record = self._store.units[unit]
        tokens = self._store.tokens[record["token_start"] : record["token_end"]].astype(np.uint32)
        if not self._begins[unit]:
            return tokens
        end = np.array([self._store.tokenizer.end], dtype=np.uint32)
        return np.concatenate([end, tokens])
