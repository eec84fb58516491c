"""A document on its way to tokens: its text as it is now, and where each character came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from memlm.records import Document, Dropped, PersonalPlace

Origin = npt.NDArray[np.int64]
_LONGEST_REPAIRED = 33
"""Code points that can have become one: the longest entity has as many."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A document, the text that the steps have made of it so far, and the way back."""

    document: Document
    text: str
    origin: Origin | None = None
    """For each code point of `text`, where it was in `document.text`; None: all in their places."""
    group: str | None = None
    """Documents of one group stay on one side of the split; None: it stands alone."""
    removed: Mapping[str, int] = field(default_factory=dict)
    """Code points that the steps took out as useless, by reason."""
    masked: tuple[PersonalPlace, ...] = ()
    """Where personal data was masked."""


class Step(Protocol):
    """One step of cleaning. It never changes what it is given."""

    @property
    def name(self) -> str:
        """What it is called on the command line, in `dropped.jsonl` and in `docs/`."""

    def run(self, draft: Draft) -> Draft | Dropped:
        """Return the draft, changed or not, or why the document is left out."""


def collected_span(draft: Draft, start: int, end: int) -> tuple[int, int]:
    """Return where in the collected text a stretch of a draft came from, all of it.

    A last character that was repaired may have been several (`Ã©`, `&eacute;`), of which its origin
    is the first: it reaches as far as the next one, unless more than a repair lies between.
    """
    if draft.origin is None or start >= end:
        return start, end
    origin, collected = draft.origin, draft.document.text
    last = int(origin[end - 1])
    if collected[last] == draft.text[end - 1] != "&":
        return int(origin[start]), last + 1
    following = int(origin[end]) if end < len(origin) else len(collected)
    return int(origin[start]), max(last + 1, min(following, last + _LONGEST_REPAIRED))


def with_edits(draft: Draft, edits: Sequence[tuple[int, int, str]]) -> Draft:
    """Return the draft with stretches of its text replaced: (start, end, new text) in order.

    Every character of a new text comes from the place of the stretch that it replaces: the n-th
    from the n-th, and those beyond the stretch from its last.
    """
    if not edits:
        return draft
    old = draft.origin if draft.origin is not None else np.arange(len(draft.text), dtype=np.int64)
    texts, origins, reached = [], [], 0
    for start, end, new in edits:
        assert reached <= start <= end, "edits are in order and do not overlap"
        texts += [draft.text[reached:start], new]
        last = max(start, end - 1)
        places = np.minimum(np.arange(start, start + len(new)), min(last, len(old) - 1))
        origins += [old[reached:start], old[places]]
        reached = end
    texts.append(draft.text[reached:])
    origins.append(old[reached:])
    return replace(draft, text="".join(texts), origin=np.concatenate(origins))


def with_removals(draft: Draft, removals: Sequence[tuple[int, int, str]]) -> Draft:
    """Return the draft without stretches of its text: (start, end, reason) in order."""
    if not removals:
        return draft
    counts = Counter(draft.removed)
    for start, end, reason in removals:
        counts[reason] += end - start
    shorter = with_edits(draft, [(start, end, "") for start, end, _ in removals])
    return replace(shorter, removed=dict(counts))


def with_kept(draft: Draft, text: str, kept: Origin, *, reason: str) -> Draft:
    """Return the draft with the characters of `text` only, which were at the places `kept`."""
    removed = dict(draft.removed)
    removed[reason] = removed.get(reason, 0) + len(draft.text) - len(text)
    origin = kept if draft.origin is None else draft.origin[kept]
    return replace(draft, text=text, origin=origin, removed=removed)
