"""A document on its way to tokens: its text as it is now, and where each character came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from memlm.records import Document, Dropped

Origin = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A document, the text that the steps have made of it so far, and the way back."""

    document: Document
    text: str
    origin: Origin | None = None
    """For each code point of `text`, where it was in `document.text`; None: all in their places."""
    group: str | None = None
    """Documents of one group stay on one side of the split; None: it stands alone."""


class Step(Protocol):
    """One step of cleaning. It never changes what it is given."""

    @property
    def name(self) -> str:
        """What it is called on the command line, in `dropped.jsonl` and in `docs/`."""

    def run(self, draft: Draft) -> Draft | Dropped:
        """Return the draft, changed or not, or why the document is left out."""


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
