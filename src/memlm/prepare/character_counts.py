"""Which characters a text of any length is made of, counted by script.

One table of counts for all of Unicode is filled by numpy, a million characters at a time; names and
scripts are looked up at the end, once for each character that occurred.
"""

from __future__ import annotations

import sys
import unicodedata

import numpy as np

_AT_ONCE = 1 << 20
_ONE_BYTE_MORE = (0, 1 << 7, 1 << 11, 1 << 16)  # code points from which UTF-8 needs it
_BY_CATEGORY = {"N": "digits", "P": "signs", "S": "signs", "Z": "spaces", "C": "controls"}
_BY_NAME = {
    "CJK": "hanzi",
    "LATIN": "latin",
    "FULLWIDTH": "latin",
    "HIRAGANA": "kana",
    "KATAKANA": "kana",
    "HANGUL": "hangul",
    "CYRILLIC": "cyrillic",
    "GREEK": "greek",
    "ARABIC": "arabic",
}


class CharacterCounts:
    """Counts code points; see the module."""

    def __init__(self) -> None:
        self._counts = np.zeros(sys.maxunicode + 1, dtype=np.int64)
        self._waiting: list[str] = []
        self._num_waiting = 0

    def add(self, text: str) -> None:
        """Count the characters of one text."""
        for start in range(0, len(text), _AT_ONCE):
            part = text[start : start + _AT_ONCE]
            self._waiting.append(part)
            self._num_waiting += len(part)
            if self._num_waiting >= _AT_ONCE:
                self._count()

    @property
    def distinct(self) -> int:
        """How many different characters there are."""
        self._count()
        return int(np.count_nonzero(self._counts))

    @property
    def size_bytes(self) -> int:
        """How many bytes of UTF-8 all characters take."""
        self._count()
        return sum(int(self._counts[first:].sum()) for first in _ONE_BYTE_MORE)

    def by_script(self) -> dict[str, int]:
        """Return the characters of each script, the commonest first."""
        self._count()
        scripts: dict[str, int] = {}
        for code in np.flatnonzero(self._counts):
            script = _script(chr(code))
            scripts[script] = scripts.get(script, 0) + int(self._counts[code])
        return dict(sorted(scripts.items(), key=lambda pair: (-pair[1], pair[0])))

    def _count(self) -> None:
        if not self._waiting:
            return
        codes = np.frombuffer("".join(self._waiting).encode("utf-32-le"), dtype="<u4")
        found = np.bincount(codes)
        self._counts[: len(found)] += found
        self._waiting, self._num_waiting = [], 0


def _script(character: str) -> str:
    category = unicodedata.category(character)
    if character in "\n\t":
        return "spaces"
    if category[0] in _BY_CATEGORY:
        return _BY_CATEGORY[category[0]]
    return _BY_NAME.get(unicodedata.name(character, "").split(" ")[0].split("-")[0], "others")
