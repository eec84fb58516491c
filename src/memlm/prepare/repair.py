"""Text that was decoded wrongly, decoded again: `cafÃ©` becomes `café` and `&eacute;` `é`.

Only what is surely damage is touched. A line is decoded again where ftfy's test of badness (Speer,
2019, doi:10.5281/zenodo.2591652) says that such a sequence of characters does not occur in any
language; entities are resolved only in a text without tags. Quotes, ligatures, wide forms and line
ends stay as they are.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from unicodedata import normalize

from memlm.prepare.character_classes import has_any
from memlm.prepare.draft import Draft, with_edits
from memlm.records import Dropped
from memlm.runtime import require_package

# Bytes of UTF-8 that were read as another encoding are accented, Greek or Cyrillic letters, or the
# boxes of DOS, and never come alone: a character that is no ASCII was two bytes at least, of which
# only the second can have become a space. `café` is no such line; ftfy's own test is slow.
_SUSPECT = re.compile("[\x80-\u04ff\u2500-\u257f][^\x00-\x7f]|[\u00c2\u00c3] ")
_SUSPECT_RANGES = ((0x80, 0x4FF), (0x2500, 0x257F))
_TAG = re.compile(r"</?[A-Za-z!][^<>]*>")
_ENTITY = re.compile(r"&(?:#[0-9]{2,7}|#[xX][0-9a-fA-F]{2,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_RUN = re.compile("[\x00-\x7f]+|[^\x00-\x7f]+")
_COMPARED = 2000
"""Longest stretches that are compared character by character, which takes their square."""


class Repair:
    """Wrongly decoded lines and entities set right."""

    name = "repair"

    def run(self, draft: Draft) -> Draft | Dropped:
        """Return the draft with its damage repaired."""
        repaired = with_edits(draft, list(_decoded_again(draft.text)))
        return with_edits(repaired, list(_without_entities(repaired.text)))


def _decoded_again(text: str) -> Iterator[tuple[int, int, str]]:
    if text.isascii() or not has_any(text, _SUSPECT_RANGES):
        return
    require_package("ftfy", extra="words")
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    for start, line in _suspect_lines(text):
        # In the form that collecting promises.
        fixed = normalize("NFC", fix_encoding(line)) if is_bad(line) else line
        if fixed != line and "\n" not in fixed and "\r" not in fixed:
            yield from _differences(line, fixed, start)


def _suspect_lines(text: str) -> Iterator[tuple[int, str]]:
    match = _SUSPECT.search(text)
    while match is not None:
        start = text.rfind("\n", 0, match.start()) + 1
        end = text.find("\n", match.start())
        end = len(text) if end < 0 else end
        yield start, text[start:end]
        match = _SUSPECT.search(text, end)


def _without_entities(text: str) -> Iterator[tuple[int, int, str]]:
    if "&" not in text or _TAG.search(text):
        return
    for match in _ENTITY.finditer(text):
        character = html.unescape(match.group())
        if character != match.group() and character.isprintable() and character != "\ufffd":
            yield match.start(), match.end(), character


def _differences(old: str, new: str, start: int) -> Iterator[tuple[int, int, str]]:
    """Yield the edits that make `new` of `old`: ASCII stays, so what is between it pairs up."""
    olds, news = _RUN.findall(old), _RUN.findall(new)
    is_paired = len(olds) == len(news) and all(
        a == b for a, b in zip(olds, news, strict=True) if a.isascii() or b.isascii()
    )
    for before, after in zip(olds, news, strict=True) if is_paired else [(old, new)]:
        yield from _stretch(before, after, start)
        start += len(before)


def _stretch(old: str, new: str, start: int) -> Iterator[tuple[int, int, str]]:
    if old == new:
        return
    if len(old) > _COMPARED:
        yield start, start + len(old), new
        return
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            yield start + a, start + b, new[c:d]
