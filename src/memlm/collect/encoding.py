"""In which encoding is this file? Found by evidence, never guessed silently.

A byte order mark decides. Else valid UTF-8 is UTF-8 (other encodings hardly ever are, by chance).
Else UTF-16, GB 18030, Big5 and Windows-1252 (Latin-1 with quotes) are tried, and the one whose text
looks most like text is taken. What looks like text: the commonest hanzi, simplified and traditional
(`common_hanzi.txt`, counted over novels, poems, reviews, news and abstracts), which are more than
half of any Chinese text and about 6 % of what a wrong guess gives; or Western letters inside words.
What is only just the best is said to be doubtful. Anything else is refused, with the most likely
name for the user to confirm; so is a file that is UTF-8 in one line and not in another.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from memlm.collect.page_encoding import OF_NO_FILE
from memlm.errors import ConfigError, InputError

_SAMPLE_BYTES = 1 << 18
_BLOCK_BYTES = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CANDIDATES = ("gb18030", "big5", "big5hkscs", "cp1252", "utf-16-le", "utf-16-be")
_LEAST_PLAUSIBLE = 0.3
_SURELY_PLAUSIBLE = 0.45
_SURELY_WESTERN, _LEAST_WESTERN = 0.95, 0.8
_LARGEST_RIVAL = 0.5
_LEAST_EVIDENCE, _MUCH_EVIDENCE = 8, 40
# Bytes beyond ASCII of a line that is UTF-8 by no accident: eight hanzi of two bytes each are so
# once in a million, and two Western letters that lie side by side hardly ever.
_LEAST_OF_UTF8 = {"gb18030": 24, "big5": 24, "big5hkscs": 24, "cp1252": 4}
_LATIN_OF_WINDOWS = ("cp1250", "cp1252", "cp1254")
_MOST_CONTROLS = 0.01
_MOST_REPLACED = 0.01
_JUDGED_CHARACTERS = 20_000
# Letters beyond ASCII of languages that Windows-1252 was made for: French, German, Spanish,
# Portuguese, Italian, Nordic, Icelandic, Dutch. Words of Czech or Turkish, misread, mix them.
_WESTERN = tuple(
    frozenset(letters + letters.upper())
    for letters in (
        "éèàçêâîôûùïëœæü", "äöüßé", "áéíóúñüç", "áàâãçéêíóôõúü", "àèéìíîòóù", "åäöæøéü",
        "áðéíóúýþæö", "éëïóöü",
    )
)  # fmt: skip
_COMMON_WESTERN = frozenset().union(*_WESTERN) - frozenset("ðýþÐÝÞ")
_SIGNS = frozenset("“”‘’„‚–—…•€£©®™°§«»¿¡·ªº\xa0½¼¾×")
_SIGN = re.compile(
    # Beside no other character beyond ASCII, and inside no word; but for the apostrophe of l’été.
    r"(?<=[A-Za-z])’(?=[^\W\d_])"
    f"|(?<![^\\x00-\\x7f\\xa0])(?:[{''.join(sorted(_SIGNS))}](?<![A-Za-z].)"
    f"|[{''.join(sorted(_SIGNS))}](?![A-Za-z]))(?![^\\x00-\\x7f\\xa0])"
)
_WORD = re.compile(r"[^\W\d_]+")
_WORDS_OF_ONE_LETTER = frozenset("àáéèóôöåæÀÁÉÈÓÔÖÅ")


@dataclass(frozen=True)
class FoundEncoding:
    """The encoding in which a whole file decodes."""

    name: str
    is_doubtful: bool = False
    """Another one is nearly as likely, or there is little to judge by."""
    is_cut: bool = False
    """The file ends in the middle of a character."""


@dataclass(frozen=True)
class _Fit:
    """The share of the letters beyond ASCII that belong together."""

    one_language: float
    """To the one Western language that has most of them."""
    any_language: float
    """To all the common ones, for a file of several."""


_FITS = _Fit(1.0, 1.0)


def find_encoding(path: Path, *, wish: str | None = None) -> FoundEncoding:
    """Return the encoding in which the whole of `path` decodes.

    Raises InputError where none does (naming the first byte that is wrong) or where the content is
    not text, ConfigError if the encoding wished for does not exist.
    """
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    if wish is not None:
        return _check(path, _known(wish))
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return _check(path, encoding)
    failure = _first_bad_byte(path, "utf-8")
    if failure is None:
        text = sample.decode("utf-8", "ignore")
        if not _is_binary(text):
            _refuse_replaced(path, text)
            return FoundEncoding("utf-8")
    elif _ends_within_a_character(path, failure):
        return FoundEncoding("utf-8", is_cut=True)
    elif sample.isascii() and b"\0" not in sample:
        with path.open("rb") as file:  # what is to be judged comes later
            file.seek(failure)
            sample = file.read(_SAMPLE_BYTES)
    return _most_plausible(path, sample, failure)


def _known(name: str) -> str:
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError) as error:  # a ValueError for a NUL in the name
        raise ConfigError("encoding_unknown", encoding=name) from error
    if not info._is_text_encoding or info.name in OF_NO_FILE:
        raise ConfigError("encoding_unknown", encoding=name)
    return info.name


def _check(path: Path, encoding: str) -> FoundEncoding:
    failure = _first_bad_byte(path, encoding)
    if failure is not None:
        raise InputError("not_in_encoding", path=path.name, offset=failure, encoding=encoding)
    return FoundEncoding(encoding)


def _first_bad_byte(path: Path, encoding: str) -> int | None:
    decoder = codecs.getincrementaldecoder(encoding)()
    position = 0
    with path.open("rb") as file:
        while True:
            block = file.read(_BLOCK_BYTES)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return max(0, position - pending + error.start)
            except UnicodeError:  # UTF-16 without the mark that says which
                return 0
            if not block:
                return None
            position += len(block)


def _ends_within_a_character(path: Path, failure: int) -> bool:
    """Say whether all is UTF-8, with letters beyond ASCII, but for a last one that was cut."""
    with path.open("rb") as file:
        file.seek(max(0, failure - _SAMPLE_BYTES))
        before = file.read(min(failure, _SAMPLE_BYTES))
        rest = file.read(4)
    if len(rest) > 3 or before.isascii():
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(rest)
    except UnicodeDecodeError:
        return False
    return True


def _most_plausible(path: Path, sample: bytes, failure: int | None) -> FoundEncoding:
    found = sorted(_scores(path, sample), reverse=True)
    score, encoding, evidence = found[0] if found else (0.0, "", 0)
    if failure is not None and not encoding.startswith("utf-16"):
        _refuse_mixed(path, failure, least=_LEAST_OF_UTF8.get(encoding, 8))
    fit = _western_fit(sample.decode(encoding, "replace")) if encoding == "cp1252" else _FITS
    is_another = (
        encoding == "cp1252"
        and evidence >= _MUCH_EVIDENCE
        and fit.any_language * score < _LEAST_WESTERN
    )
    if score < _LEAST_PLAUSIBLE or is_another:
        if failure is None or b"\0" in sample:
            raise InputError("not_text", path=path.name)
        raise InputError("undecodable", path=path.name, offset=failure, guess=_guess(sample))
    rival = found[1][0] if len(found) > 1 else 0.0
    is_doubtful = (
        score < _SURELY_PLAUSIBLE
        or rival > _LARGEST_RIVAL * score
        or 0 < evidence < _LEAST_EVIDENCE
        or fit.one_language < _SURELY_WESTERN
        or (encoding == "cp1252" and score < _SURELY_WESTERN)
    )
    return FoundEncoding(encoding, is_doubtful=is_doubtful)


def _scores(path: Path, sample: bytes) -> Iterator[tuple[float, str, int]]:
    """Yield (plausibility, encoding, characters judged) of each in which the file decodes."""
    is_big5 = False
    for encoding in _CANDIDATES:
        if is_big5 and encoding == "big5hkscs":  # the same, with more for Hong Kong
            continue
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            text = decoder.decode(sample)
        except UnicodeDecodeError:
            continue
        if not text or _is_binary(text):
            continue
        judged = [character for character in text if character > "\x7f"][:_JUDGED_CHARACTERS]
        has_words = 2 * len(judged) < len(text)
        score = _share_of_common(judged, has_words=has_words)
        if encoding == "cp1252":
            score = _share_of_words(text)
        if score >= _LEAST_PLAUSIBLE / 2 and _first_bad_byte(path, encoding) is None:
            is_big5 |= encoding == "big5"
            yield score, encoding, len(judged)


def _share_of_common(judged: list[str], *, has_words: bool) -> float:
    """Return how many of these characters any text has: common hanzi and punctuation.

    Latin letters count among words of ASCII.
    """
    if not judged:
        return 1.0
    common, latin = _common_hanzi(), 0x250 if has_words else 0
    found = sum(one in common or ord(one) < latin or _is_punctuation(ord(one)) for one in judged)
    return found / len(judged)


def is_common_hanzi(character: str) -> bool:
    """Say whether a character is one of the commonest hanzi, simplified or traditional."""
    return character in _common_hanzi()


@cache
def _common_hanzi() -> frozenset[str]:
    table = files(__package__).joinpath("common_hanzi.txt").read_text(encoding="utf-8")
    return frozenset(table.replace("\n", ""))


def _is_punctuation(code: int) -> bool:
    return 0x2010 <= code <= 0x2027 or 0x3000 <= code <= 0x303F or 0xFF00 <= code <= 0xFFEF


def _share_of_words(text: str) -> float:
    """Return how many of the characters beyond ASCII stand where Western letters and signs do."""
    judged = sum(character > "\x7f" for character in text)
    fitting = len(_SIGN.findall(text))
    for word in _WORD.findall(text):
        if not word.isascii() and _is_a_word(word):
            fitting += sum(letter > "\x7f" for letter in word)
    return min(1.0, fitting / judged) if judged else 0.0


def _is_a_word(word: str) -> bool:
    """Say whether letters beyond ASCII stand here as in a Western word: fewer, and in one case."""
    if len(word) == 1:
        return word in _WORDS_OF_ONE_LETTER
    if not word.isalpha():  # raised digits are no letters
        return False
    has_one_case = word.isupper() or word[1:].islower()
    return has_one_case and 3 * sum(letter > "\x7f" for letter in word) <= 2 * len(word)


def _western_fit(text: str) -> _Fit:
    """Return how many of the letters beyond ASCII are Western ones."""
    letters = [one for one in text if one > "\x7f" and one.isalpha() and one not in _SIGNS]
    if not letters:
        return _FITS
    best = max(sum(one in language for one in letters) for language in _WESTERN)
    common = sum(one in _COMMON_WESTERN for one in letters)
    return _Fit(best / len(letters), max(best, common) / len(letters))


def _refuse_mixed(path: Path, failure: int, *, least: int) -> None:
    """Raise InputError if a line of this file, which is not UTF-8, is UTF-8 and by no accident."""
    offset = 0
    with path.open("rb") as file:
        while line := file.readline(_BLOCK_BYTES):
            if not line.isascii() and sum(byte > 0x7F for byte in line) >= least:
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError:
                    pass
                else:
                    at = max(offset, failure)
                    raise InputError("encodings_mixed", path=path.name, offset=at)
            offset += len(line)


def _refuse_replaced(path: Path, text: str) -> None:
    """Raise InputError where an earlier program has lost letters: it read a wrong encoding."""
    count = text.count("\ufffd")
    if count > _MOST_REPLACED * len(text):
        raise InputError("letters_lost", path=path.name, share=count / len(text))


def _is_binary(text: str) -> bool:
    controls = sum(text.count(chr(code)) for code in range(32) if chr(code) not in "\t\n\r\f\x1a")
    return controls > _MOST_CONTROLS * len(text)


def _guess(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    if best is None:
        return "cp1252"
    # Those of Latin letters differ in few of them; the western one is by far the commonest.
    is_western = best.encoding in _LATIN_OF_WINDOWS and _decodes(sample, "cp1252")
    return "cp1252" if is_western else best.encoding


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
