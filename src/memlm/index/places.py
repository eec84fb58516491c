"""Where do these stretches of a text occur, and how often? For all of them in one call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memlm.index.suffix_index import SuffixIndex, find_intervals

Places = tuple[int, list[tuple[str, int]]]
"""How often a stretch occurs, and (document id, offset) of the first places."""


def places_of(
    index: SuffixIndex, text: str, stretches: Sequence[tuple[int, int]], *, limit: int
) -> list[Places]:
    """Return for each stretch [start, end) of `text` what `index.places` says of it."""
    starts, ends = np.array(stretches, dtype=np.int64).reshape(-1, 2).T
    starts, lengths = np.ascontiguousarray(starts), ends - starts
    counts = [0] * len(stretches)
    found: list[list[tuple[str, int]]] = [[] for _ in stretches]
    for segment in index.segments:
        low, high = find_intervals(segment, segment.encode(text), starts, lengths)
        for number, interval in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            size, own = interval[1] - interval[0], found[number]
            counts[number] += size
            if size and len(own) < limit:
                own += segment.places(interval, limit=limit - len(own))
    return list(zip(counts, found, strict=True))
