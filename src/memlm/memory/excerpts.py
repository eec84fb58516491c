"""The documents around the places that a trace names: what a page shows beside a span.

Places that lie close together share one excerpt. Of a long place only its two ends are cut out,
since the traced text has its middle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from memlm.records import Excerpt, SpanSource

AROUND = 150
"""Characters before and after a place."""
_LONGEST_WHOLE = 600
_END = 240


def cut_excerpts(
    sources: Iterable[SpanSource], text_of: Callable[[str], str]
) -> tuple[Excerpt, ...]:
    """Return excerpts in which all these places lie; each document is read once.

    `text_of` returns the collected text of a document. Excerpts of a document do not overlap.
    """
    wanted: dict[str, set[tuple[int, int]]] = {}
    for source in sources:
        wanted.setdefault(source.document_id, set()).update(_stretches(source))
    found = []
    for identity, stretches in wanted.items():
        text = text_of(identity)
        for start, end in _joined(sorted(stretches)):
            found.append(Excerpt(document_id=identity, start=start, text=text[start:end]))
    return tuple(found)


def _stretches(source: SpanSource) -> list[tuple[int, int]]:
    start, end = max(0, source.start - AROUND), source.end + AROUND
    if source.end - source.start <= _LONGEST_WHOLE:
        return [(start, end)]
    return [(start, source.start + _END), (source.end - _END, end)]


def _joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in stretches:
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
