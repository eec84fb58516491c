"""Useless characters out: control characters, which nobody reads and every model would learn.

Out go Unicode's category Cc but tab and line feed, the zero-width no-break space, and the marks
that embed, override or isolate a direction of writing: they are layout, not text, and the
overrides make a text read otherwise than it is stored. Zero-width joiners stay, for emoji, Persian
and the scripts of India need them; so do the marks U+200E and U+200F. Spaces are never touched.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from memlm.prepare.character_classes import has_any
from memlm.prepare.draft import Draft, with_kept, with_removals
from memlm.records import Dropped

_USELESS_RANGES = (
    (0x00, 0x08), (0x0B, 0x1F), (0x7F, 0x9F), (0x202A, 0x202E), (0x2066, 0x2069), (0xFEFF, 0xFEFF),
)  # fmt: skip
_MARK_RANGES = (
    (0x0300, 0x036F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F),
)  # fmt: skip
_USELESS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
# Vietnamese and phonetic script stack two or three marks on a letter; nobody reads a fifth.
_MARKS = "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_MARK_BOMB = re.compile(f"{_MARKS}{{5,}}")
_MOST_MARKS = 4
_BLANK_LINES = re.compile("\n{6,}")
_MOST_LINE_ENDS = 5


def clean_text(text: str) -> tuple[str, npt.NDArray[np.int64] | None]:
    """Return the cleaned text and, for each of its code points, where it was in `text`.

    The second value is None where nothing was removed and every code point is where it was.
    """
    if not has_any(text, _USELESS_RANGES):
        return text, None
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    is_useless = (codes < 32) | ((codes >= 0x7F) & (codes <= 0x9F)) | (codes == 0xFEFF)
    is_useless &= (codes != ord("\t")) & (codes != ord("\n"))
    is_useless |= (codes >= 0x202A) & (codes <= 0x202E)
    is_useless |= (codes >= 0x2066) & (codes <= 0x2069)
    return _USELESS.sub("", text), np.flatnonzero(~is_useless)


class Controls:
    """Useless characters out, more than four marks on a letter and more than four blank lines."""

    name = "controls"

    def run(self, draft: Draft) -> Draft | Dropped:
        """Return the draft without them."""
        text, kept = clean_text(draft.text)
        if kept is not None:
            draft = with_kept(draft, text, kept, reason="control")
        if not draft.text.isascii() and has_any(draft.text, _MARK_RANGES):
            draft = _shortened(draft, _MARK_BOMB, keep=_MOST_MARKS, reason="marks")
        if "\n" * (_MOST_LINE_ENDS + 1) not in draft.text:
            return draft
        return _shortened(draft, _BLANK_LINES, keep=_MOST_LINE_ENDS, reason="blank_lines")


def _shortened(draft: Draft, runs: re.Pattern[str], *, keep: int, reason: str) -> Draft:
    found = runs.finditer(draft.text)
    return with_removals(draft, [(run.start() + keep, run.end(), reason) for run in found])
