"""What is learned from and what is held out: by hash, so that no document ever moves another.

A document goes to a side by the hash of its id and the seed. Where there are too few documents for
that (counted by weight: ten pages beside one long book are one), their text is cut into contiguous
blocks, and each block is hashed as if it were a document.

Documents that belong together (the rows of one file, one author's, near copies of one another) are
hashed by the name of their group, and so land on one side. The *sealed* side is put away: nothing
is learned from it, and nothing is measured on it until somebody asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from memlm.prepare.draft import Draft
from memlm.records import Document, Split

FEWEST_DOCUMENTS = 20.0
BLOCK_CHARACTERS = 4096
_SMALLEST_BLOCK = 64
_LOOK_FOR_LINE_END = 1024


@dataclass(frozen=True)
class Piece:
    """A contiguous stretch of one document, all of it on one side."""

    split: Split
    start: int
    end: int
    """Code points of the text that was split."""


@dataclass(frozen=True)
class SplitPlan:
    """How the documents of one workspace are split."""

    share: float
    seed: int
    block_characters: int | None
    """None: whole documents; else the length of the blocks."""
    sealed: float = 0.0

    def pieces(self, document: Document, text: str, *, group: str | None = None) -> list[Piece]:
        """Return the stretches of a document's (cleaned) text, each with its side.

        Where `group` is given it is hashed in place of the document's id.
        """
        if document.split is not None or not (self.share or self.sealed):
            return [Piece(document.split or "train", 0, len(text))]
        if self.block_characters is None or group is not None:
            return [Piece(self.side(document.id if group is None else group), 0, len(text))]
        pieces: list[Piece] = []
        for number, (start, end) in enumerate(_blocks(text, self.block_characters)):
            side = self.side(f"{document.id}:{number}")
            if pieces and pieces[-1].split == side:
                start = pieces.pop().start
            pieces.append(Piece(side, start, end))
        return pieces

    def side(self, name: str) -> Split:
        """Return the side that what is named so goes to."""
        digest = hashlib.blake2b(f"{self.seed}:{name}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "big") / 2**64
        if place < self.share:
            return "held_out"
        # From the other end, so that a sealed share moves no document from held out to train.
        return "sealed" if place >= 1 - self.sealed else "train"


@dataclass(frozen=True)
class Splitter:
    """A plan, and what keeps documents together."""

    plan: SplitPlan
    by_file: bool = False
    group_column: str | None = None
    joined: Mapping[str, str] = field(default_factory=dict)
    """Other names of groups that copies join: two authors of one text are on one side."""

    def pieces(self, draft: Draft) -> list[Piece]:
        """Return the stretches of a draft's text, each with its side."""
        return self.plan.pieces(draft.document, draft.text, group=self._group(draft))

    def name_of(self, draft: Draft) -> str:
        """Return the name by which a whole document is put on a side: its group's, else its id."""
        return self._group(draft) or draft.document.id

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return what `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Splitter:  # Any: JSON
        """Return the splitter that was written as JSON."""
        return cls(**{**values, "plan": SplitPlan(**values["plan"])})

    def joining(self, grouped: Iterable[Draft]) -> Splitter:
        """Return the splitter that keeps the groups of these copies together, each as a whole."""
        names: dict[str, str] = {}

        def first(name: str) -> str:
            while name in names:
                names[name] = names.get(names[name], names[name])  # shortens the way
                name = names[name]
            return name

        for draft in grouped:
            own, copies = self._own_group(draft), draft.group
            if own is not None and copies is not None and first(own) != first(copies):
                low, high = sorted((first(own), first(copies)))
                names[high] = low
        return replace(self, joined={name: first(name) for name in sorted(names)})

    def _group(self, draft: Draft) -> str | None:
        own = self._own_group(draft)
        return None if own is None else self.joined.get(own, own)

    def _own_group(self, draft: Draft) -> str | None:
        fields = draft.document.fields
        if self.group_column is not None and fields.get(self.group_column) is not None:
            return f"group {fields[self.group_column]}"
        if self.by_file:
            name, _, position = draft.document.source.rpartition(":")
            return f"file {name if position.isdecimal() else draft.document.source}"
        return draft.group


@dataclass
class Lengths:
    """How many documents there are, and how long they are, in code points."""

    count: int = 0
    total: int = 0
    squares: int = 0

    def add(self, length: int) -> None:
        """Count one document."""
        self.join(Lengths(1, length, length * length))

    def join(self, other: Lengths) -> None:
        """Count all that others counted."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Lengths:
        """Return what is known of documents of these lengths."""
        found = cls()
        for length in lengths:
            found.add(length)
        return found


def plan_split(lengths: Lengths, *, share: float, seed: int, sealed: float = 0.0) -> SplitPlan:
    """Decide between documents and blocks."""
    total, squares = lengths.total, lengths.squares
    # Kish's effective number: how many documents of equal length would weigh as much.
    if squares == 0 or total * total / squares >= FEWEST_DOCUMENTS:
        return SplitPlan(share, seed, None, sealed)
    block = min(BLOCK_CHARACTERS, max(_SMALLEST_BLOCK, total // int(FEWEST_DOCUMENTS)))
    return SplitPlan(share, seed, block, sealed)


def _blocks(text: str, length: int) -> Iterable[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = start + length
        # A block ends with a line where one ends soon, and takes a short rest of the text along.
        line_end = text.find("\n", end, end + _LOOK_FOR_LINE_END)
        end = line_end + 1 if line_end >= 0 else end
        if len(text) - end < length // 2:
            end = len(text)
        yield start, end
        start = end
