"""Traditional Chinese to simplified, by the tables of OpenCC (`t2s`)."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from memlm.prepare.character_classes import HAN
from memlm.prepare.draft import Draft, with_edits
from memlm.records import Dropped
from memlm.runtime import require_package

_HAN_RUN = re.compile(f"[{HAN}]+")


class Simplify:
    """Traditional characters to simplified ones."""

    name = "simplify"

    def run(self, draft: Draft) -> Draft | Dropped:
        """Return the draft in simplified characters."""
        edits = []
        for match in _HAN_RUN.finditer(draft.text):
            old = match.group()
            new = _converter().convert(old)
            if len(new) != len(old):
                edits.append((match.start(), match.end(), new))
                continue
            edits += [
                (match.start() + place, match.start() + place + 1, after)
                for place, (before, after) in enumerate(zip(old, new, strict=True))
                if before != after
            ]
        return with_edits(draft, edits)


@cache
def _converter() -> Any:  # Any: opencc has no types
    require_package("opencc", extra="words")
    import opencc

    return opencc.OpenCC("t2s")
