"""Where do these stretches of a text occur, and how often? For all of them in one call."""

from __future__ import annotations

from collections.abc import Sequence

from memlm.index.store import SuffixIndex

Places = tuple[int, list[tuple[str, int]]]
"""How often a stretch occurs, and (document id, offset) of the first places."""


def places_of(
    index: SuffixIndex, text: str, stretches: Sequence[tuple[int, int]], *, limit: int
) -> list[Places]:
    """Return for each stretch [start, end) of `text` what `index.places` says of it."""
    return [index.places(text[start:end], limit=limit) for start, end in stretches]
