"""Forbidden words: texts that are never written, however they are cut into tokens.

A word is forbidden as the characters it is made of, wherever they stand: who forbids *cat* forbids
*category*. It may have begun in the prompt, or many tokens ago; the token that would complete it is
what is forbidden. That is a token with the whole word in it or, where the text so far ends with the
first k bytes of the word, one that begins with the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from memlm.generate.pieces import Pieces
from memlm.generate.transforms import LogWeights
from memlm.language_model import Tokens

_Ids = npt.NDArray[np.int64]


class ForbidWords:
    """A transform that forbids every token that would complete a word."""

    def __init__(self, words: Sequence[str], pieces: Pieces) -> None:
        self._words = [word.encode("utf-8") for word in words]
        self._longest = max(map(len, self._words), default=0)
        self._pieces = pieces
        self._holding = cache(self._tokens_holding)
        self._opening = cache(self._tokens_opening)

    def __call__(self, log_weights: LogWeights, so_far: Tokens) -> LogWeights:
        changed = log_weights.copy()
        for row, tokens in enumerate(so_far):
            for forbidden in self._completing(tokens):
                changed[row, forbidden] = -np.inf
        return changed

    def _completing(self, tokens: Tokens) -> Iterator[_Ids]:
        """Yield the ids of the tokens that would complete a word after these (T,)."""
        place = self._pieces.place(tokens)
        tail = self._pieces.tail(tokens, self._longest - 1)
        yield self._holding(place)
        for word in self._words:
            for begun in range(1, min(len(word) - 1, len(tail)) + 1):
                if tail.endswith(word[:begun]):
                    yield self._opening(place, word[begun:])

    def _tokens_holding(self, place: int) -> _Ids:
        """Return the tokens that have a whole word in them."""
        pieces = self._pieces.at[place]
        return _ids(any(word in piece for word in self._words) for piece in pieces)

    def _tokens_opening(self, place: int, rest: bytes) -> _Ids:
        """Return the tokens that begin with the rest of a word."""
        return _ids(piece.startswith(rest) for piece in self._pieces.at[place])


def completed(words: Sequence[bytes], tokens: Tokens, pieces: Pieces, *, begin: int) -> bool:
    """Say whether a word has been completed by the last of these tokens (T,), from `begin` on."""
    longest = max(map(len, words), default=0)
    tail = pieces.tail(tokens, longest, begin=begin)
    # What is farther back than the last token was looked at when that was the last.
    return any(word in tail for word in words)


def _ids(chosen: Iterator[bool]) -> _Ids:
    return np.flatnonzero(np.fromiter(chosen, dtype=np.bool_))
