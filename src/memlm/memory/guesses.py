"""What may well come next: the tokens that followed the longest remembered end of a text.

A guess costs one search of the sorted suffixes and is no prediction: `generate/reading_ahead.py`
says what it is for. Where the guess before came true, it goes on in the same place for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memlm.memory.contexts import SuffixArrays

LONGEST_MATCH = 32
"""Tokens at the end of a text that are looked for; a longer match guesses no better."""


@dataclass(frozen=True)
class Place:
    """Where a text goes on in the memory."""

    segment: int
    position: int
    """Of the symbol that comes next."""
    length: int
    """Tokens before it that are those of the text."""


class SuffixGuesser:
    """Guesses how a text goes on, from segments of sorted suffixes."""

    def __init__(self, segments: Sequence[SuffixArrays], *, shortest: int = 3) -> None:
        """A match of fewer than `shortest` tokens gives no guess."""
        self._segments, self._shortest = list(segments), shortest

    def find(self, tokens: Sequence[int]) -> Place | None:
        """Return where the longest end of these tokens stands, up to `LONGEST_MATCH` of them."""
        symbols = [token + 1 for token in tokens[-LONGEST_MATCH:]]
        best: Place | None = None
        for number, segment in enumerate(self._segments):
            least = best.length + 1 if best is not None else self._shortest
            found = _longest_end(segment, symbols, least)
            if found is not None:
                rank, length = found
                best = Place(number, int(segment.suffixes[rank]) + length, length)
        return best

    def go_on(self, place: Place, token: int) -> Place | None:
        """Return the place after one more token; None where another token stands there."""
        symbols = self._segments[place.segment].symbols
        if place.position >= len(symbols) or int(symbols[place.position]) != token + 1:
            return None
        length = min(place.length + 1, LONGEST_MATCH)
        return Place(place.segment, place.position + 1, length)

    def guess(self, place: Place, most: int) -> list[int]:
        """Return at most so many tokens that stand there, up to the end of the document."""
        symbols = self._segments[place.segment].symbols[place.position : place.position + most]
        guessed = []
        for symbol in symbols.tolist():
            if symbol == 0:
                break
            guessed.append(symbol - 1)
        return guessed


def _longest_end(
    segment: SuffixArrays, symbols: Sequence[int], least: int
) -> tuple[int, int] | None:
    """Return a rank, and the length, of the longest end of `symbols` that stands in a segment.

    None where none of at least `least` does. What holds for a length holds for all shorter ones,
    so that the longest is found by halving.
    """
    longest: tuple[int, int] | None = None
    low, high = least, len(symbols)
    while low <= high:
        length = (low + high) // 2
        rank = _rank_of(segment, symbols[len(symbols) - length :])
        if rank is None:
            high = length - 1
        else:
            longest, low = (rank, length), length + 1
    return longest


def _rank_of(segment: SuffixArrays, wanted: Sequence[int]) -> int | None:
    """Return the rank of the first suffix that begins with these symbols; None if none does."""
    symbols, suffixes, length = segment.symbols, segment.suffixes, len(wanted)
    wanted = list(wanted)
    low, high = 0, len(suffixes)
    while low < high:
        middle = (low + high) // 2
        start = int(suffixes[middle])
        # A suffix that is cut off by the end of all ends with a 0 and compares as it should.
        if symbols[start : start + length].tolist() < wanted:
            low = middle + 1
        else:
            high = middle
    if low == len(suffixes):
        return None
    start = int(suffixes[low])
    return low if symbols[start : start + length].tolist() == wanted else None
