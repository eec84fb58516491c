"""How a traced text is cut for its page: into pieces that are of one span, or of none.

Spans overlap; a piece is of the strongest that covers it, of the longest among those, and of the
first among those. Of a text with very many spans, only as many are shown as cover it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

MOST_SPANS = 20_000
"""Spans that a text may have and still be shown with all of them."""
_PARAGRAPH = 4_000
"""Characters of a part of the page that is drawn when it comes into view, or more to its end."""
_LONGEST_PARAGRAPH = 20_000

Found = Mapping[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Piece:
    """Code points [start, end) of a text, with the number of the span that they are of."""

    start: int
    end: int
    span: int | None


def spans_to_show(spans: Sequence[Found], most: int = MOST_SPANS) -> list[Found]:
    """Return all spans of a text, or if they are too many, those that still cover the same.

    Recited ones all stay. Spans are in order: each begins and ends after the one before.
    """
    if len(spans) <= most:
        return list(spans)
    kept: list[Found] = []
    covered = 0
    for number, span in enumerate(spans):
        following = spans[number + 1] if number + 1 < len(spans) else None
        # The next one, which reaches further, goes on from what is covered so far.
        is_needless = following is not None and following["start"] <= covered
        if span["kind"] == "recited" or not is_needless:
            kept.append(span)
            covered = max(covered, span["end"])
    return kept


def cut(length: int, spans: Sequence[Found], borders: Sequence[int] = ()) -> Iterator[Piece]:
    """Yield the pieces of a text of so many code points, from its first to its last.

    They are cut at every border of a span, and at `borders` (of tokens), so that any span or token
    is some whole pieces.
    """
    places = {0, length, *borders}
    for span in spans:
        places.update((span["start"], span["end"]))
    inside = sorted(place for place in places if 0 <= place <= length)
    first = 0  # no span before it reaches this far
    for start, end in pairwise(inside):
        while first < len(spans) and spans[first]["end"] <= start:
            first += 1
        yield Piece(start, end, _owner(spans, first, start))


def _owner(spans: Sequence[Found], first: int, place: int) -> int | None:
    best: int | None = None
    number = first
    while number < len(spans) and spans[number]["start"] <= place:
        if best is None or _strength(spans[number]) > _strength(spans[best]):
            best = number
        number += 1
    return best


def _strength(span: Found) -> tuple[bool, int]:
    return span["kind"] == "recited", span["end"] - span["start"]


def paragraph_ends(text: str) -> list[int]:
    """Return where parts of a text end, each with a line, as far as lines are not endless."""
    ends: list[int] = []
    start = 0
    while start < len(text):
        line = text.find("\n", start + _PARAGRAPH - 1, start + _LONGEST_PARAGRAPH)
        start = line + 1 if line >= 0 else min(start + _LONGEST_PARAGRAPH, len(text))
        if line < 0 and len(text) - start < _PARAGRAPH:
            start = len(text)
        ends.append(start)
    return ends


def paragraphs(text: str, pieces: Sequence[Piece]) -> Iterator[list[tuple[int, Piece]]]:
    """Yield the numbered pieces of each part of a text; they must be cut where the parts end."""
    ends = set(paragraph_ends(text))
    part: list[tuple[int, Piece]] = []
    for number, piece in enumerate(pieces):
        part.append((number, piece))
        if piece.end in ends:
            yield part
            part = []
