"""Words of English and Chinese text, with nothing lost: the pieces put together are the text.

A word of letters, with the marks on them (vowels of Hindi, points of Arabic), takes the space
before it along; Chinese is segmented by jieba's dictionary (`rjieba`); line ends, other spaces and
punctuation are pieces of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from memlm.prepare.character_classes import HAN, marks
from memlm.runtime import require_package


def _letters(but: str) -> str:
    """Return the expression of a run of letters and the marks on them, without those of `but`."""
    letter = rf"[^\W\d_{but}]"
    return rf"{letter}+(?:[{marks()}]+{letter}*)*"


_LONGEST_WORD = 40
_IS_HAN = re.compile(rf"[{HAN}]")


@cache
def _piece() -> re.Pattern[str]:
    """Return the expression of one piece; it is long, and compiled when it is first needed."""
    letters = _letters(HAN)
    return re.compile(
        rf"[{HAN}]+"
        rf"| ?{letters}(?:['’]{letters})*"  # letters, with apostrophes inside
        r"| ?\d+"
        r"|\n"
        r"|[^\S\n]+(?=\S)(?<! )"  # tabs and wide spaces
        r"| ?[^\w\s]"
        r"| ?_+"
        r"|[^\S\n]+"
        r"|."
    )


@cache
def _word() -> re.Pattern[str]:
    """Return the expression of one word as it is counted, or of a run of hanzi."""
    letters = _letters(HAN + "〇")
    return re.compile(rf"[{HAN}〇]+|{letters}(?:['’]{letters})*")


def split_words(text: str) -> Iterator[str]:
    """Yield the pieces of a text; MissingExtraError where Chinese needs `rjieba` in vain."""
    for match in _piece().finditer(text):
        piece = match.group()
        if _IS_HAN.match(piece):
            yield from _segment(piece)
        else:
            yield piece


def words_of(text: str) -> Iterator[str]:
    """Yield the words of a text as they are counted: small letters, neither signs nor numbers.

    What is longer than any word (a key, a picture as text) is cut off after 40 letters.

    >>> list(words_of("It's 5 o’clock, Alice!"))
    ["it's", "o'clock", 'alice']
    """
    for piece in _word().findall(text):
        if _IS_HAN.match(piece):
            yield from _segment(piece)
        else:
            yield piece[:_LONGEST_WORD].lower().replace("’", "'")


def is_hanzi(word: str) -> bool:
    """Say whether a word begins with a hanzi."""
    return _IS_HAN.match(word) is not None


def han_share(text: str) -> float:
    """Return the share of hanzi among the characters that are not white space."""
    visible = len("".join(text.split()))
    return len(_IS_HAN.findall(text)) / visible if visible else 0.0


def _segment(run: str) -> list[str]:
    require_package("rjieba", extra="words")
    import rjieba

    return list(rjieba.cut(run))
