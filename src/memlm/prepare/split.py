"""What is learned from and what is held out: by hash, so that no document ever moves another.

A document goes to a side by the hash of its id and the seed. Where there are too few documents for
that (counted by weight: ten pages beside one long book are one), their text is cut into contiguous
blocks, and each block is hashed as if it were a document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

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

    def pieces(self, document: Document, text: str) -> list[Piece]:
        """Return the stretches of a document's (cleaned) text, each with its side."""
        if document.split is not None or self.share == 0:
            return [Piece(document.split or "train", 0, len(text))]
        if self.block_characters is None:
            return [Piece(self._side(document.id), 0, len(text))]
        pieces: list[Piece] = []
        for number, (start, end) in enumerate(_blocks(text, self.block_characters)):
            side = self._side(f"{document.id}:{number}")
            if pieces and pieces[-1].split == side:
                start = pieces.pop().start
            pieces.append(Piece(side, start, end))
        return pieces

    def _side(self, name: str) -> Split:
        digest = hashlib.blake2b(f"{self.seed}:{name}".encode(), digest_size=8).digest()
        return "held_out" if int.from_bytes(digest, "big") / 2**64 < self.share else "train"


def plan_split(sizes: Iterable[int], *, share: float, seed: int) -> SplitPlan:
    """Decide between documents and blocks from the documents' lengths, in code points."""
    total = squares = 0
    for size in sizes:
        total += size
        squares += size * size
    # Kish's effective number: how many documents of equal length would weigh as much.
    if squares == 0 or total * total / squares >= FEWEST_DOCUMENTS:
        return SplitPlan(share, seed, None)
    block = min(BLOCK_CHARACTERS, max(_SMALLEST_BLOCK, total // int(FEWEST_DOCUMENTS)))
    return SplitPlan(share, seed, block)


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
