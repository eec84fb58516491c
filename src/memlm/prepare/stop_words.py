"""Words that carry grammar rather than meaning, and a step that takes them out of a text.

The English list is our own (`stop_words.toml`): function words only, because longer lists in
circulation hold words like `computer` and `important`. Others come from `stopwordsiso`. Words that
deny stay in a text, though they carry grammar: without them it says the opposite.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

from memlm.prepare.draft import Draft, with_removals
from memlm.prepare.words import split_words
from memlm.records import Dropped
from memlm.runtime import require_package

_EVERY = ("en", "zh")
_DENIALS = frozenset({
    "no", "not", "nor", "never", "none", "nobody", "nothing", "nowhere", "neither", "without",
    "cannot", "hardly", "unless",
})  # fmt: skip
_DENYING = re.compile("n't$|[不没沒無无非别別未勿莫毋否休甭]")

_NONE: frozenset[str] = frozenset()


@cache
def stop_words(language: str) -> frozenset[str]:
    """Return the stop words of a language by its ISO 639-1 code, in small letters.

    Empty where no list is known; MissingExtraError where the list is in a package that is absent.
    """
    table = tomllib.loads(files(__package__).joinpath("stop_words.toml").read_text("utf-8"))
    if language in table:
        return frozenset(table[language]["words"].split())
    require_package("stopwordsiso", extra="words")
    import stopwordsiso

    return (
        frozenset(stopwordsiso.stopwords(language)) if language in stopwordsiso.langs() else _NONE
    )


@cache
def _removed_words() -> frozenset[str]:
    known = frozenset[str]().union(*map(stop_words, _EVERY)) - _DENIALS
    return frozenset(word for word in known if not _DENYING.search(word))


class RemoveStopWords:
    """English and Chinese stop words out, each English one with the space before it; not `not`."""

    name = "stop_words"

    def run(self, draft: Draft) -> Draft | Dropped:
        """Return the draft without stop words; a line never begins with a space left over."""
        known = _removed_words()
        removals: list[tuple[int, int, str]] = []
        place, opens_line = 0, False
        for piece in split_words(draft.text):
            end = place + len(piece)
            if piece.strip().replace("’", "'").lower() in known:
                removals.append((place, end, self.name))
                opens_line = opens_line or place == 0 or draft.text[place - 1] == "\n"
            else:
                if opens_line and piece.startswith(" "):
                    removals.append((place, place + 1, self.name))
                opens_line = False
            place = end
        return with_removals(draft, removals)
