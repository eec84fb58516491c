"""Tokens as bytes: what a person forbids or allows is text, and a token may hold half a character.

UTF-8 says in every byte whether it begins a character: the bytes of a word occur in a text where
the word does, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

from memlm.language_model import Tokenizer, Tokens

AT_LINE_START, WITHIN_LINE = 0, 1


class Pieces:
    """What each token of a tokenizer writes, in UTF-8.

    A tokenizer that leaves spaces out puts them back between tokens: there a token writes something
    else at the beginning of a line (a *place* of `AT_LINE_START`) than `WITHIN_LINE`.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        plain = list(tokenizer.pieces())
        self._starts_line = {token for token, piece in enumerate(plain) if piece == b"\n"}
        spaced = [b" " + piece if piece not in (b"", b"\n") else piece for piece in plain]
        self._is_spaced = tokenizer.is_spaced
        self.at: tuple[Sequence[bytes], Sequence[bytes]] = (
            (plain, spaced) if self._is_spaced else (plain, plain)
        )
        """The bytes of each token at each of the two places."""

    def place_after(self, token: int) -> int:
        """Return the place at which the token after this one is written."""
        return WITHIN_LINE if self._is_spaced and token not in self._starts_line else AT_LINE_START

    def place(self, row: Tokens) -> int:
        """Return the place at which the token after these (T,) is written."""
        return self.place_after(int(row[-1])) if len(row) else AT_LINE_START

    def tail(self, row: Tokens, size: int, *, begin: int = 0) -> bytes:
        """Return the last bytes that the tokens (T,) from `begin` on wrote: `size`, or a few more.

        There are fewer where the tokens have no more.
        """
        first = max(begin, len(row) - size)  # a token writes a byte or more
        place = self.place(row[:first])
        found = []
        for token in row[first:].tolist():
            found.append(self.at[place][token])
            place = self.place_after(token)
        return b"".join(found)
