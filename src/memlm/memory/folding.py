"""A text as it is compared where case, width or white space are to make no difference.

    case    small and capital letters are one, letter for letter (ß is not ss)
    width   full-width and half-width forms are one: Ａ and A, ｶﾞ and ガ
    space   white space of any kind and length is one space, and none beside a hanzi or kana

No character becomes two, so that whatever is found in a folded text lies between two characters of
the text itself; where is remembered, for text and documents alike. Two stretches that are equal
when folded are found as one; folding the stretch alone gives what was found.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from memlm.errors import ConfigError
from memlm.records import Fold

FOLDS: tuple[Fold, ...] = get_args(Fold)
FOLDING_VERSION = f"1-{unicodedata.unidata_version}"
"""Of what folding makes of a text: what another version has made is stale."""
_SPACE = ord(" ")
_VOICED = (0x3099, 0x309A)  # which half-width kana have behind them, and others in them

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FoldedText:
    """A text, folded, and where each of its characters came from."""

    text: str
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    """(F,) Code points of the text as it was, end not included, of each folded character."""

    def unfold(self, start: int, end: int) -> tuple[int, int]:
        """Return where a stretch of at least one folded character lies in the text as it was."""
        return int(self.starts[start]), int(self.ends[end - 1])


def parse_folds(wish: str) -> tuple[Fold, ...]:
    """Return what `--fold` names, in our order: `case,width`. ConfigError for another word."""
    named = [word.strip() for word in wish.split(",") if word.strip()]
    unknown = [word for word in named if word not in FOLDS]
    if unknown or not named:
        choices = ", ".join(FOLDS)
        raise ConfigError("choice_unknown", option="--fold", value=wish, choices=choices)
    return in_order(fold for fold in FOLDS if fold in named)


def in_order(folds: Iterable[Fold]) -> tuple[Fold, ...]:
    """Return the folds, each once, in an order that does not depend on who names them."""
    named = set(folds)
    return tuple(fold for fold in FOLDS if fold in named)


def fold_text(text: str, folds: Collection[Fold]) -> FoldedText:
    """Return a text as it is compared; with no folds, as it is."""
    codes = code_points(text)
    starts = np.arange(len(codes))
    ends = starts + 1
    if folds:
        codes = _each(codes, folds)
    if "width" in folds:
        codes, starts, ends = _composed(codes, starts, ends)
    if "space" in folds:
        codes, starts, ends = _spaced(codes, starts, ends)
    folded = codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    return FoldedText(folded, starts.astype(np.int32), ends.astype(np.int32))


def code_points(text: str) -> Codes:
    """Return the code points of a text (T,); lone surrogates are code points too."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.int64)


def _is_wide(codes: Codes) -> npt.NDArray[np.bool_]:
    """Say of each code point whether it is a hanzi, a kana, or a mark as wide as they are."""
    return (
        ((codes >= 0x2E80) & (codes <= 0x9FFF))
        | ((codes >= 0xF900) & (codes <= 0xFAFF))
        | ((codes >= 0xFF01) & (codes <= 0xFF9F))
        | ((codes >= 0x20000) & (codes <= 0x3FFFF))
    )


def _each(codes: Codes, folds: Collection[Fold]) -> Codes:
    distinct, which = np.unique(codes, return_inverse=True)
    folded = [ord(_character(chr(code), folds)) for code in distinct.tolist()]
    return np.array(folded, dtype=np.int64)[which]


def _character(character: str, folds: Collection[Fold]) -> str:
    if "width" in folds and unicodedata.east_asian_width(character) in ("F", "H"):
        character = _if_one(unicodedata.normalize("NFKC", character), character)
    if "case" in folds:
        character = _if_one(character.casefold(), _if_one(character.lower(), character))
    if "space" in folds and character.isspace():
        character = " "
    return character


def _if_one(folded: str, character: str) -> str:
    return folded if len(folded) == 1 else character


def _composed(codes: Codes, starts: Codes, ends: Codes) -> tuple[Codes, Codes, Codes]:
    """Join a kana with the mark of voicing that stood behind it, as the full-width form has it."""
    marks = np.flatnonzero(np.isin(codes, _VOICED))
    taken = []
    for mark in marks[marks > 0].tolist():
        pair = chr(codes[mark - 1]) + chr(codes[mark])
        whole = unicodedata.normalize("NFC", pair)
        if len(whole) == 1:
            codes[mark - 1], ends[mark - 1] = ord(whole), ends[mark]
            taken.append(mark)
    return np.delete(codes, taken), np.delete(starts, taken), np.delete(ends, taken)


def _spaced(codes: Codes, starts: Codes, ends: Codes) -> tuple[Codes, Codes, Codes]:
    """Leave one space of each run, and none of a run that stands beside a wide character."""
    is_space = codes == _SPACE
    opens = is_space & ~np.concatenate([[False], is_space[:-1]])
    closes = is_space & ~np.concatenate([is_space[1:], [False]])
    first, last = np.flatnonzero(opens), np.flatnonzero(closes)
    ends[first] = ends[last]
    wide = np.concatenate([[False], _is_wide(codes), [False]])  # of code i - 1
    is_needless = wide[first] | wide[last + 2]
    kept = ~is_space
    kept[first[~is_needless]] = True
    return codes[kept], starts[kept], ends[kept]
