"""What was read just now, counted beside the documents: only after it was predicted.

Each token counts at its longest contexts, downwards until one in which it was known already (update
exclusion, as in PPM): so that it adds to the varieties of shorter contexts as a document would. The
last `LONGEST_REMEMBERED` tokens are kept, about a kilobyte of memory each.

A session grows in place and is shared by all states that come from one another; a state knows how
much of it is its own. One that is asked for after another has read on gets a copy, made by reading
its part again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LONGEST_REMEMBERED = 1 << 15
_ID_BYTES = 4

Followed = dict[int, int] | int
"""Counts by token; a token alone where it is the only one, seen once."""


class Session:
    """Counts of one text that is being read, by context."""

    def __init__(self, orders: Sequence[int]) -> None:
        self._orders = tuple(orders)
        self._text = bytearray()
        self._lowest: list[int] = []
        """For each token the place in `orders` of the shortest context at which it counted."""
        self._nodes: list[dict[bytes, Followed]] = [{} for _ in orders]

    def __len__(self) -> int:
        """Tokens read so far."""
        return len(self._lowest)

    def at(self, length: int) -> Session:
        """Return the session as it was after so many tokens; itself where nothing came after."""
        if length == len(self):
            return self
        return self._again(0, length)

    def shortened(self) -> Session:
        """Return the session; without its older half where it has grown too long."""
        if len(self) <= 2 * LONGEST_REMEMBERED:
            return self
        return self._again(len(self) - LONGEST_REMEMBERED, len(self))

    def followers(self) -> list[Followed | None]:
        """Return what followed the contexts that the text ends with, one for each order."""
        end = len(self._text)
        return [
            nodes.get(bytes(self._text[end - _ID_BYTES * order : end]))
            if order <= len(self._lowest)
            else None
            for order, nodes in zip(self._orders, self._nodes, strict=True)
        ]

    def add(self, token: int, is_known: npt.NDArray[np.bool_]) -> None:
        """Count a token that came next; `is_known` (O,) says where the documents have it."""
        end, lowest = len(self._text), len(self._orders)
        for place in range(len(self._orders) - 1, -1, -1):
            order = self._orders[place]
            if order > len(self._lowest):
                continue
            key = bytes(self._text[end - _ID_BYTES * order : end])
            before = self._nodes[place].get(key)
            lowest = place
            self._nodes[place][key] = _with(before, token)
            if is_known[place] or _has(before, token):
                break
        self._append(token, lowest)

    def _append(self, token: int, lowest: int) -> None:
        self._text += token.to_bytes(_ID_BYTES, "little")
        self._lowest.append(lowest)

    def _again(self, first: int, length: int) -> Session:
        """Return a session that has counted some of these tokens, where they counted before."""
        fresh = Session(self._orders)
        tokens = np.frombuffer(bytes(self._text), dtype="<u4")
        for number in range(first, length):
            token, lowest = int(tokens[number]), self._lowest[number]
            end = len(fresh._text)
            for place in range(lowest, len(self._orders)):
                order = self._orders[place]
                if order <= len(fresh._lowest):
                    key = bytes(fresh._text[end - _ID_BYTES * order : end])
                    fresh._nodes[place][key] = _with(fresh._nodes[place].get(key), token)
            fresh._append(token, lowest)
        return fresh


def _has(followed: Followed | None, token: int) -> bool:
    return token in followed if isinstance(followed, dict) else followed == token


def _with(followed: Followed | None, token: int) -> Followed:
    if followed is None:
        return token
    if not isinstance(followed, dict):
        followed = {followed: 1}
    followed[token] = followed.get(token, 0) + 1
    return followed
