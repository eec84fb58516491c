"""A random sample of things that stream past, each as likely as any other, of bounded size.

Every thing draws a number; those below a bar are kept, and the bar is halved whenever what is kept
grows too large. So a sample holds everything of a small collection, and of a large one between
half the limit and all of it, without knowing beforehand how large it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
PASSAGE_CHARACTERS = 2000


def _one(thing: object) -> int:
    return 1


class Sample(Generic[T]):
    """Keeps some of what it is offered; `limit` bounds the sum of the sizes of what is kept."""

    def __init__(self, limit: int, *, seed: int, size: Callable[[T], int] = _one) -> None:
        self._limit, self._size = limit, size
        self._random = random.Random(seed)
        self._bar = 1.0
        self._kept: list[tuple[float, T]] = []
        self._total = 0
        self.num_offered = 0

    def offer(self, thing: T) -> None:
        """Keep this thing, or not."""
        self.num_offered += 1
        draw = self._random.random()
        if draw >= self._bar:
            return
        self._kept.append((draw, thing))
        self._total += self._size(thing)
        while self._total > self._limit and len(self._kept) > 1:
            self._bar /= 2
            self._kept = [pair for pair in self._kept if pair[0] < self._bar]
            self._total = sum(self._size(kept) for _, kept in self._kept)

    @property
    def is_whole(self) -> bool:
        """Say whether nothing has been left out."""
        return len(self._kept) == self.num_offered

    def __iter__(self) -> Iterator[T]:
        """Yield what was kept, in the order in which it came."""
        return (thing for _, thing in self._kept)

    def __len__(self) -> int:
        return len(self._kept)


def passages(text: str) -> Iterator[tuple[int, int]]:
    """Yield the bounds of passages of at most 2,000 characters, cut at line ends or spaces."""
    start = 0
    while start < len(text):
        end = min(len(text), start + PASSAGE_CHARACTERS)
        if end < len(text):
            places = (text.rfind(mark, start + PASSAGE_CHARACTERS // 2, end) for mark in "\n。 ")
            end = next((place + 1 for place in places if place >= 0), end)
        yield start, end
        start = end
