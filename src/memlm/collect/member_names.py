"""In which encoding are the names in an archive that does not say so?

macOS writes UTF-8, Windows the code page of its country, and the format's own for zip is CP437. A
name alone is little to judge by, so all of an archive are judged together. The code pages of China,
Taiwan and Japan overlap nearly everywhere; but the characters that are written every day lie in
another part of each (its *first level*), so that what is common in one is rare in the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from memlm.collect.encoding import is_common_hanzi
from memlm.records import SourceNote

_MOST_NAMES = 500
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
# The bytes with which the first level of each begins.
_FIRST_LEVELS = {
    "gb18030": range(0xB0, 0xD8),
    "big5hkscs": range(0xA4, 0xC7),
    "cp932": range(0x88, 0x99),
}
_WORTH_COMMON, _WORTH_FIRST_LEVEL, _WORTH_RARE = 1.0, 0.5, 0.1


def encoding_of_names(names: Iterable[bytes]) -> str:
    """Return the encoding in which all these names most likely are; `utf-8` where they can be."""
    text = b"\n".join(sorted({name for name in names if not name.isascii()})[:_MOST_NAMES])
    if _decoded(text, "utf-8") is not None:
        return "utf-8"
    western = text.decode("cp437")
    is_latin = all(one.isalpha() and one < "\u0250" for one in western if one > "\x7f")
    found: list[tuple[float, str]] = []
    for encoding in _FIRST_LEVELS:
        eastern = _decoded(text, encoding)
        if eastern is not None and not (is_latin and _is_inside_words(eastern)):
            found.append((_plausibility(eastern, encoding), encoding))
    plausibility, encoding = max(found, key=lambda one: one[0], default=(0.0, ""))
    return encoding if plausibility > 0 else "cp437"


class NamesSoFar:
    """Decodes the names of an archive that is read from its beginning to its end."""

    def __init__(self) -> None:
        self.guess: str | None = None
        """The encoding that was guessed last; None where nothing had to be."""
        self._names: list[bytes] = []

    def decode(self, name: bytes) -> str:
        """Return a name, judged together with those before it."""
        text = _decoded(name, "utf-8")
        if text is not None:
            return text
        if len(self._names) < _MOST_NAMES:
            self._names.append(name)
        if len(self._names) < 2 * _MOST_NAMES:
            self.guess = encoding_of_names(self._names)
        return name.decode(self.guess or "cp437", "replace")


def guess_note(path: Path, encoding: str | None) -> SourceNote:
    """Return what to say where the names of an archive were decoded by a guess."""
    return SourceNote(code="names_guessed", values={"path": path.name, "encoding": encoding})


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_inside_words(text: str) -> bool:
    """Say whether most of what is beyond ASCII touches letters of ASCII, as in `gr佱e`."""
    runs = list(_FOREIGN.finditer(text))
    touching = sum(
        text[run.start() - 1 : run.start()].isalpha() or text[run.end() : run.end() + 1].isalpha()
        for run in runs
    )
    return 2 * touching > len(runs)


def _plausibility(text: str, encoding: str) -> float:
    """Return how common the characters are, from 0 to 1; 0 if one is of no eastern writing."""
    worths = [_worth(one, encoding) for one in text if one > "\x7f"]
    return 0.0 if min(worths) == 0 else sum(worths) / len(worths)


def _worth(character: str, encoding: str) -> float:
    code = ord(character)
    is_kana = 0x3041 <= code <= 0x30FF
    is_sign = code == 0xD7 or 0x2160 <= code <= 0x216B or 0x2460 <= code <= 0x249B  # × Ⅳ ①
    if is_sign or 0x25A0 <= code <= 0x2606 or (is_kana and encoding != "cp932"):  # ○ ■ ★
        return _WORTH_RARE
    if is_kana or is_common_hanzi(character) or _is_punctuation(code):
        return _WORTH_COMMON
    if not (0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or code >= 0x20000):
        return 0.0
    is_first = character.encode(encoding)[0] in _FIRST_LEVELS[encoding]
    return _WORTH_FIRST_LEVEL if is_first else _WORTH_RARE


def _is_punctuation(code: int) -> bool:
    return (
        code == 0xB7
        or 0x2010 <= code <= 0x2027
        or 0x3000 <= code <= 0x3020
        or 0xFF01 <= code <= 0xFF5E
    )
