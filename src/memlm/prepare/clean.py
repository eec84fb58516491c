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

from memlm.prepare.draft import Draft, with_kept, with_removals
from memlm.records import Dropped

_USELESS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
_IS_USELESS = np.array([_USELESS.match(chr(code)) is not None for code in range(0x10000)])
_IS_USELESS_ASCII = _IS_USELESS[:128]
_BLOCK = 1 << 20
"""Code points that are looked up at a time."""
# Vietnamese and phonetic script stack two or three marks on a letter; nobody reads a fifth.
_MARKS = "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_MARK_BOMB = re.compile(f"(?<={_MARKS}{{4}}){_MARKS}+")
_FIVE_LINE_ENDS = "\n" * 5
_BLANK_LINES = re.compile(f"(?<={_FIVE_LINE_ENDS})\n+")


def clean_text(text: str) -> tuple[str, npt.NDArray[np.int64] | None]:
    """Return the cleaned text and, for each of its code points, where it was in `text`.

    The second value is None where nothing was removed and every code point is where it was.
    """
    blocks = [_is_useless(text[at : at + _BLOCK]) for at in range(0, len(text), _BLOCK)]
    if not any(block.any() for block in blocks):
        return text, None
    is_useless = np.concatenate(blocks)
    return _USELESS.sub("", text), np.flatnonzero(~is_useless)


def _is_useless(block: str) -> npt.NDArray[np.bool_]:
    if block.isascii():
        codes = np.frombuffer(block.encode("ascii"), dtype=np.uint8)
        return _IS_USELESS_ASCII[codes]
    wide = np.frombuffer(block.encode("utf-32-le"), dtype="<u4")
    return _IS_USELESS[np.minimum(wide, 0xFFFF)]


class Controls:
    """Useless characters out, more than four marks on a letter and more than four blank lines."""

    name = "controls"

    def run(self, draft: Draft) -> Draft | Dropped:
        """Return the draft without them."""
        text, kept = clean_text(draft.text)
        if kept is not None:
            draft = with_kept(draft, text, kept, reason="control")
        if not draft.text.isascii():
            bombs = [(*match.span(), "marks") for match in _MARK_BOMB.finditer(draft.text)]
            draft = with_removals(draft, bombs)
        if _FIVE_LINE_ENDS in draft.text:
            lines = [(*match.span(), "blank_lines") for match in _BLANK_LINES.finditer(draft.text)]
            draft = with_removals(draft, lines)
        return draft
