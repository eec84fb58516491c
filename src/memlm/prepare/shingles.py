"""A text as a set of numbers: the hashes of its runs of three words.

Two texts are near copies if they share most of their *shingles*, the runs of three neighbouring
words (Broder 1997). A word is a run of letters and digits, in lower case, with the marks on them
(vowels of Hindi, points of Arabic); a hanzi, kana or hangul
is a word of its own, since Chinese has no spaces; everything else only separates. All texts of a
batch are hashed at once, by prefix sums of a polynomial modulo 2^64, so that no Python runs for
each word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from memlm.prepare.character_classes import mark_ranges, marks

Hashes = npt.NDArray[np.uint64]
WORDS = 3
"""Words in a shingle: a changed word spoils three, which leaves 3 of 4 at 5 % of words changed."""
_SHINGLES_OF_RUN = 7
_SEPARATOR, _LETTER, _WHOLE_WORD, _MARK = 0, 1, 2, 3
_NUM_CODES = 0x110000
_NUM_LETTERS = 0x33480  # no letter or digit has a code point beyond these
_WHOLE = (
    (0x1100, 0x11FF), (0x2E80, 0x2FDF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xA960, 0xA97F),
    (0xAC00, 0xD7FF), (0xF900, 0xFAFF), (0x20000, 0x323AF),
)  # fmt: skip
_WHOLE_CLASS = "".join(f"{chr(low)}-{chr(high)}" for low, high in _WHOLE)
_OF_SENTENCES = r".,;:!?…'\"‘’“”„«»‹›—–。，、；：！？「」『』《》〈〉·_\u00ad\u200b\ufe0e\ufe0f"
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_INVERSE = pow(_BASE, -1, 1 << 64)
_WEIGHTS = (0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB)


def shingle_hashes(texts: Sequence[str]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Return the shingles of texts, end to end, and where those of each text begin.

    The second array has one entry more than there are texts. A text of fewer than three words has
    one shingle, of the words that it has; one without any word has none.
    """
    words, counts = _word_hashes(texts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    # Words behind the end of a text count as 0, so that a short text still has its one shingle.
    num_shingles = np.where(counts > 0, np.maximum(counts - WORDS + 1, 1), 0)
    offsets = np.concatenate([[0], np.cumsum(num_shingles)])
    owner = np.repeat(np.arange(len(texts)), num_shingles)
    place = np.arange(offsets[-1]) - offsets[owner] + starts[owner]
    padded = np.concatenate([words, np.zeros(WORDS, dtype=np.uint64)])
    total = np.zeros(len(place), dtype=np.uint64)
    for shift, weight in enumerate(_WEIGHTS):
        inside = place + shift < starts[owner + 1]
        total += np.where(inside, padded[place + shift], np.uint64(0)) * np.uint64(weight)
    return mix(total), offsets


def written_form(text: str) -> str:
    """Return the words of a text in order, and the signs that mean something, without case.

    Only what ends or joins sentences is left out, and even that counts between two digits: `a + b`
    is not `a - b`, `C++` not `C#`, `10:30` not `10.30`, and a smile no frown.

    >>> written_form("Yes, he did: 1.5 + 2 :)")
    'yes he did 1 . 5 + 2 )'
    """
    return " ".join(_word_or_sign().findall(text.lower()))


@cache
def _word_or_sign() -> re.Pattern[str]:
    """Return the expression of what `written_form` keeps; compiled when it is first needed."""
    letter = rf"[^\W_{_WHOLE_CLASS}]"
    return re.compile(
        rf"(?<=\d)[.,:;'](?=\d)|[{_WHOLE_CLASS}]"
        rf"|{letter}{letter}*(?:[{marks()}]+{letter}*)*"
        rf"|[^\w\s{_OF_SENTENCES}]"
    )


def run_hashes(shingles: Hashes) -> Hashes:
    """Return the hashes of all runs of 21 words of one text, from its shingles in order."""
    total = np.zeros(max(0, len(shingles) - (_SHINGLES_OF_RUN - 1) * WORDS), dtype=np.uint64)
    for place in range(_SHINGLES_OF_RUN):
        start = place * WORDS
        total = total * np.uint64(_BASE) + shingles[start : start + len(total)]
    return mix(total)


def _word_hashes(texts: Sequence[str]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Return the hashes of all words of all texts, and the number of words of each text."""
    # A separator behind each text ends its last word.
    joined = "\n".join([*texts, ""])
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    kinds = _with_marks(_kinds()[codes])
    before = np.concatenate([np.zeros(1, kinds.dtype), kinds[:-1]])
    is_first = (kinds == _WHOLE_WORD) | ((kinds == _LETTER) & (before != _LETTER))
    firsts = np.flatnonzero(is_first)
    after = np.concatenate([kinds[1:], np.zeros(1, kinds.dtype)])
    is_last = (kinds == _WHOLE_WORD) | ((kinds == _LETTER) & (after != _LETTER))
    ends = np.flatnonzero(is_last) + 1
    hashes = _stretch_hashes(_lower()[codes], firsts, ends)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    text_ends = np.cumsum(lengths + 1)
    upto = np.searchsorted(firsts, text_ends)
    return hashes, np.diff(upto, prepend=0)


def _with_marks(kinds: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the kinds with each mark as a part of the word before it, or as what separates."""
    is_mark = kinds == _MARK
    if not is_mark.any():
        return kinds
    places = np.maximum.accumulate(np.where(is_mark, 0, np.arange(len(kinds))))
    carried = np.where(kinds[places] == _LETTER, _LETTER, _SEPARATOR).astype(kinds.dtype)
    return np.where(is_mark, carried, kinds)


def _stretch_hashes(
    codes: npt.NDArray[np.uint32], starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]
) -> Hashes:
    """Return the hash of each stretch: sum of c_i B^(i - start) modulo 2^64, then mixed."""
    weights = powers(_BASE, len(codes))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((codes + np.uint64(1)) * weights)])
    return mix((sums[ends] - sums[starts]) * powers(_INVERSE, len(codes))[starts])


def powers(base: int, count: int) -> Hashes:
    """Return base^0 ... base^(count - 1) modulo 2^64, by doubling."""
    powers = np.ones(max(1, count), dtype=np.uint64)
    filled = 1
    while filled < count:
        width = min(filled, count - filled)
        factor = np.uint64(pow(base, filled, 1 << 64))
        powers[filled : filled + width] = powers[:width] * factor
        filled += width
    return powers[:count]


def mix(values: Hashes) -> Hashes:
    """Spread the bits of each value over all 64 (the finaliser of MurmurHash3)."""
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xFF51AFD7ED558CCD)
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """Return the kind of every code point: separator, letter, a word of its own, or mark."""
    kinds = np.zeros(_NUM_CODES, dtype=np.uint8)
    kinds[:_NUM_LETTERS] = np.char.isalnum(_every_letter())
    for low, high in mark_ranges():
        kinds[low : high + 1] = _MARK
    for low, high in _WHOLE:
        block = kinds[low : high + 1]
        block[block == _LETTER] = _WHOLE_WORD
    return kinds


@cache
def _lower() -> Hashes:
    """Return the lower case of every code point that has one of a single code point."""
    lower = np.arange(_NUM_CODES, dtype=np.uint64)
    letters = _every_letter()
    has_lower = np.char.isupper(letters) | np.char.istitle(letters)
    for code in np.flatnonzero(has_lower).tolist():
        character = chr(code).lower()
        if len(character) == 1:
            lower[code] = ord(character)
    return lower


def _every_letter() -> npt.NDArray[np.str_]:
    """Return the characters below `_NUM_LETTERS`, one an entry."""
    return np.arange(_NUM_LETTERS, dtype=np.uint32).view("<U1")


@cache
def whole_words() -> npt.NDArray[np.bool_]:
    """Say of every code point whether it is a word of its own (a hanzi, kana or hangul)."""
    return np.asarray(_kinds() == _WHOLE_WORD)


def is_of_word(character: str) -> bool:
    """Say whether a word can go on with this character."""
    return bool(_kinds()[ord(character)] != _SEPARATOR)
