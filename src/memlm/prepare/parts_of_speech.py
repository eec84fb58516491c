"""Nouns, verbs and the rest: which part of speech each word of an English or Chinese text is.

Chinese is cut and tagged by jieba's dictionary and hidden Markov model (`rjieba`), English by
HanTa, which finds the tag of a word it has never seen in its ending (Wartena, "The Hanover
Tagger", 2023), and the lemma with it. Each run of a script goes to its own library, and other
scripts to none: their words are X. The tags, of two different sets, become the 17 universal ones
(Nivre et al. 2020) by `parts_of_speech.toml` and by a few rules of this file, for what no table
can know: whether *have* helps another verb.

HanTa keeps its English model as a pickle in its own wheel, and reading it is running it. It is code
of a package that was installed, trusted as its `.py` files are, and found by name beside them; no
artefact of memlm, and no file of a user, is ever read that way.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Literal

from memlm.prepare.character_classes import HAN
from memlm.runtime import require_package

PARTS = (
    "NOUN", "PROPN", "PRON", "VERB", "AUX", "ADJ", "ADV", "ADP", "DET", "NUM", "CCONJ", "SCONJ",
    "PART", "INTJ", "PUNCT", "SYM", "X",
)  # fmt: skip
"""The universal parts of speech, as a reader would list them."""
WordLanguage = Literal["en", "zh", "other"]

_RUN = re.compile(rf"[{HAN}〇○]+|[，。、；：？！（）《》「」『』【】]+|[^{HAN}〇○\s][^{HAN}〇○]*")
_IS_HAN = re.compile(rf"[{HAN}〇○]")
_IS_LATIN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ]")
_ADDRESS = r"(?:https?://|www\.)\S+|[^\s@]{1,64}@[^\s@]{1,255}\.\w+"
_IS_ADDRESS = re.compile(_ADDRESS)
_ENGLISH = re.compile(
    _ADDRESS + r"|n['’]t\b|['’](?:s|re|ve|ll|d|m)\b"
    r"|(?:[^\W\d_]\.){2,}"  # U.S., e.g.
    r"|(?:Mr|Mrs|Ms|Dr|St|Prof)\."
    r"|[^\W\d_]+?(?=n['’]t\b)"
    r"|[^\W\d_]+(?:-[^\W\d_]+)*"
    r"|\d+(?:[.,:]\d+)*(?:st|nd|rd|th)?"
    r"|\.{2,}|-{2,}|[:;]-?[)(DP]"
    r"|\S",
    re.IGNORECASE,
)
_FACE = re.compile(r"[:;]-?[)(]+")
_ENDS_SENTENCE = frozenset(".!?…")
_NUMBER = re.compile(r"[\d.,:]*\d[\d.,:]*|[一二三四五六七八九十百千万亿零〇○两]+")
_LONGEST_SENTENCE = 100
# HanTa's time grows with the square of the length of a word it does not know.
_LONGEST_WORD = 30
_HAVE, _DO = frozenset(("VHB", "VHD", "VHI", "VHZ")), frozenset(("VDB", "VDD", "VDZ"))
_PARTICIPLES = frozenset(("VBN", "VDN", "VHN", "VVN", "VVD"))
_INFINITIVES = frozenset(("VBI", "VDI", "VHI", "VVI", "VVB"))
_BETWEEN_VERBS = frozenset(("XX0", "AV0", "PNP", "NP0", "DT0"))
_POINTING = frozenset(("this", "that", "these", "those", "all", "some", "any", "each", "both"))
_BEFORE_NOUN = frozenset(("ADJ", "NOUN", "PROPN", "NUM", "DET"))


@dataclass(frozen=True, slots=True)
class Word:
    """One word (or number, or sign) of a text and what it is."""

    text: str
    part: str
    """One of `PARTS`."""
    lemma: str
    """The form that stands in a dictionary, in small letters: *go* for *Went*; Chinese as it is."""
    language: WordLanguage
    """zh where it is of hanzi, en where of Latin letters; signs and numbers as what they follow."""


def tag_words(text: str) -> Iterator[Word]:
    """Yield the words of a text in order, each with its part of speech and lemma.

    Raises MissingExtraError where the text needs `rjieba` or `HanTa` and it is not installed.

    >>> [(word.lemma, word.part) for word in tag_words("The cats slept.")][1]
    ('cat', 'NOUN')
    """
    language: WordLanguage = "en"
    for match in _RUN.finditer(text):
        run = match.group()
        if _IS_HAN.match(run):
            language = "zh"
            yield from _tag_run_of_hanzi(run)
        elif _IS_LATIN.search(run):
            language = "en"
            for sentence in _sentences(run):
                yield from tag_english(sentence)
        else:  # signs and numbers belong to the words before them
            for token in cut_english(run):
                part = "NUM" if _NUMBER.fullmatch(token) else _sign(token)
                yield Word(token, part or "X", token.lower(), language if part else "other")


def tag_english(tokens: Sequence[str]) -> list[Word]:
    """Return the words of one English sentence that is cut already."""
    if not tokens:
        return []
    tags = _hanta_tags(tokens)
    parts = _english_parts(tokens, tags)
    return [
        Word(token, part, _lemma(token, tag, part), "en")
        for token, tag, part in zip(tokens, tags, parts, strict=True)
    ]


def tag_chinese(tokens: Sequence[str]) -> list[Word]:
    """Return the words of a Chinese sentence that is cut already."""
    return _chinese_words([(token, jieba_tag(token)) for token in tokens])


def jieba_tag(token: str) -> str:
    """Return jieba's tag of one word; of its last part where the dictionary lacks the whole."""
    require_package("rjieba", extra="words")
    import rjieba

    pieces = rjieba.tag(token)
    return str(pieces[-1][1]) if pieces else "x"


def cut_english(text: str) -> list[str]:
    """Return the tokens of English text as taggers want them: *do n't*, *Alice 's*, *U.S.*."""
    return _ENGLISH.findall(text)


# -- Chinese --------------------------------------------------------------------------------------


def _tag_run_of_hanzi(run: str) -> Iterator[Word]:
    require_package("rjieba", extra="words")
    import rjieba

    yield from _chinese_words(rjieba.tag(run))


def _chinese_words(pairs: Sequence[tuple[str, str]]) -> list[Word]:
    parts = _chinese_parts(pairs)
    return [Word(word, part, word, "zh") for (word, _), part in zip(pairs, parts, strict=True)]


def _chinese_parts(pairs: Sequence[tuple[str, str]]) -> list[str]:
    parts = [_chinese_part(word, tag) for word, tag in pairs]
    for at, (word, _) in enumerate(pairs):
        before = parts[at - 1] if at else ""
        after = parts[at + 1] if at + 1 < len(parts) else ""
        parts[at] = _chinese_in_context(word, parts[at], before, after)
    return parts


@lru_cache(maxsize=1 << 16)
def _chinese_part(word: str, tag: str) -> str:
    if _NUMBER.fullmatch(word):
        return "NUM"
    known = _sign(word) or _table("chinese", "words").get(word)
    tags = _table("chinese", "tags")
    # A tag that the table lacks is a rare kind of its first letter: mg, a morpheme of number.
    return known or tags.get(tag) or tags.get(tag[:1], "X")


def _chinese_in_context(word: str, part: str, before: str, after: str) -> str:
    if word == "的" and before in ("VERB", "ADJ") and after not in ("", "PUNCT"):
        return "SCONJ"  # UD's tag for the mark of a relative clause
    if word in ("这", "那", "此") and after in ("", "AUX", "VERB", "ADV", "PUNCT", "PART"):
        return "PRON"
    return part


# -- English --------------------------------------------------------------------------------------


def _sentences(text: str) -> Iterator[list[str]]:
    """Cut text into sentences of tokens, none too long to be tagged at once."""
    for line in text.splitlines():
        sentence: list[str] = []
        for token in cut_english(line):
            sentence.append(token)
            if token[-1] in _ENDS_SENTENCE or len(sentence) == _LONGEST_SENTENCE:
                yield sentence
                sentence = []
        if sentence:
            yield sentence


def _hanta_tags(sentence: Sequence[str]) -> list[str]:
    asked = [token[:_LONGEST_WORD].replace("’", "'") for token in sentence]
    return [str(tag) for tag in _hanta().tag_sent(asked, taglevel=0)]


@cache
def _hanta() -> Any:  # Any: an untyped library
    require_package("HanTa", extra="words")
    from HanTa.HanoverTagger import HanoverTagger

    return HanoverTagger("morphmodel_en.pgz")


def _lemma(token: str, tag: str, part: str) -> str:
    if part in ("PUNCT", "SYM") or len(token) > _LONGEST_WORD:
        return token.lower()
    return _common_lemma(token.lower().replace("’", "'"), tag)


@lru_cache(maxsize=1 << 16)
def _common_lemma(word: str, tag: str) -> str:
    return str(_hanta().analyze(word, pos=tag)[0]).lower()


def _english_parts(tokens: Sequence[str], tags: Sequence[str]) -> list[str]:
    capitals = sum(token[0].isupper() for token in tokens)
    is_heading = 2 * capitals > sum(token[0].isalpha() for token in tokens)
    parts = [
        _english_part(token, tag, may_be_name=at > 0 and not is_heading)
        for at, (token, tag) in enumerate(zip(tokens, tags, strict=True))
    ]
    words = [token.lower() for token in tokens]
    return [
        _verb_in_context(at, words, tags)
        or _pointing_in_context(at, words, tags, parts)
        or parts[at]
        for at in range(len(parts))
    ]


def _english_part(token: str, tag: str, *, may_be_name: bool) -> str:
    word = token.lower()
    if _NUMBER.fullmatch(word):
        return "NUM"
    known = _table("english", "words").get(word) or _sign(token)
    if known or _IS_ADDRESS.fullmatch(token):
        return known or "X"
    if tag.startswith("NN") and token[0].isupper() and may_be_name:
        return "PROPN"
    return _table("english", "tags").get(tag, "X")


def _verb_in_context(at: int, words: Sequence[str], tags: Sequence[str]) -> str | None:
    """Say whether *have*, *do*, *be* and *to* help the verb that follows."""
    tag = tags[at]
    if tag in _HAVE:
        return "AUX" if _next_verb(at, tags) in _PARTICIPLES else "VERB"
    if tag in _DO:
        helps = _next_verb(at, tags) in _INFINITIVES or tags[at + 1 : at + 2] == ["XX0"]
        return "AUX" if helps else "VERB"
    if tag in ("VBB", "VBD", "VBZ") and "EX0" in tags[max(0, at - 1) : at + 2]:
        return "VERB"  # there is: nothing is helped
    if words[at] == "to" and _next_verb(at, tags) in _INFINITIVES:
        return "PART"
    return None


def _next_verb(at: int, tags: Sequence[str]) -> str:
    for tag in tags[at + 1 : at + 5]:
        if tag not in _BETWEEN_VERBS:
            return tag
    return ""


def _pointing_in_context(
    at: int, words: Sequence[str], tags: Sequence[str], parts: Sequence[str]
) -> str | None:
    """Say whether *this* stands before a noun or for one, and what *that* is."""
    after = parts[at + 1] if at + 1 < len(parts) else ""
    if tags[at] == "CJT":
        is_relative = at > 0 and parts[at - 1] in ("NOUN", "PROPN") and after in ("VERB", "AUX")
        return "PRON" if is_relative else "SCONJ"
    if words[at] in _POINTING and tags[at] in ("DT0", "AV0"):
        is_before_noun = after in _BEFORE_NOUN or (words[at] == "all" and after == "PRON")
        return "DET" if is_before_noun else "PRON"
    if words[at] in ("what", "which") and tags[at] == "DTQ":
        return "DET" if after in ("NOUN", "PROPN", "ADJ") else "PRON"
    if words[at] in ("more", "most", "much", "few", "less") and after in ("NOUN", "ADP", "PUNCT"):
        return "ADJ"
    return None


# -- both -----------------------------------------------------------------------------------------


def _sign(token: str) -> str | None:
    """Return what a token is that has neither letter nor digit, None where it has one."""
    kinds = {unicodedata.category(character)[0] for character in token}
    if kinds <= {"P"}:
        return "SYM" if _FACE.fullmatch(token) else "PUNCT"
    return "SYM" if kinds <= {"P", "S", "Z", "C"} else None


@cache
def _table(language: str, kind: str) -> dict[str, str]:
    text = files(__package__).joinpath("parts_of_speech.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)[language][kind]
    return {name: part for part, names in found.items() for name in names}
