"""In which language is a text written? Its script says, or else the n-grams of its bytes.

Kana, Hangul, hanzi without kana, and the scripts of one living language decide at once. For the
others py3langid answers (Lui and Baldwin, 2012, langid.py, ACL P12-3005), a naive Bayes classifier.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from memlm.prepare.character_classes import HAN
from memlm.prepare.draft import Draft
from memlm.records import Dropped
from memlm.runtime import require_package

UNKNOWN = "unknown"

_SCRIPTS = {
    "kana": re.compile("[\u3041-\u30ff]"),
    "ko": re.compile("[\uac00-\ud7a3\u1100-\u11ff]"),
    "zh": re.compile(f"[{HAN}]"),
    "el": re.compile("[\u0370-\u03ff]"),
    "th": re.compile("[\u0e01-\u0e5b]"),
    "ka": re.compile("[\u10a0-\u10ff]"),
    "hy": re.compile("[\u0531-\u058f]"),
}
_SAMPLE = 4000
"""Code points at the start, and as many in the middle, that are looked at."""
_FEWEST_LETTERS = 20
"""Letters below which an alphabet does not tell its languages apart."""
_FEWEST_SIGNS = 4
"""Signs of a script of its own below which it decides nothing."""


def language_of(text: str) -> tuple[str, float]:
    """Return the ISO 639-1 code of the text's language and how probable it is.

    A text too short to tell is `("unknown", 0.0)`.
    """
    middle = max(len(text) // 2, _SAMPLE)
    sample = text[:_SAMPLE] + text[middle : middle + _SAMPLE]
    letters = sum(map(str.isalpha, sample))
    counts = {} if sample.isascii() else {s: len(p.findall(sample)) for s, p in _SCRIPTS.items()}
    east = {"ja": 0, **counts}
    kana = east.pop("kana", 0)
    if kana > 0.05 * (kana + east.get("zh", 0)):  # Chinese may quote a Japanese word
        east["ja"], east["zh"] = kana + east.get("zh", 0), 0
    code = max(east, key=lambda script: east[script])
    # A hanzi or a syllable says as much as several letters: 4 to 1, about the length of a word.
    weight = 4 if code in ("zh", "ja", "ko") else 1
    if east[code] >= _FEWEST_SIGNS and weight * east[code] > letters - east[code]:
        return code, weight * east[code] / (weight * east[code] + max(letters - east[code], 0))
    if letters < _FEWEST_LETTERS:
        return UNKNOWN, 0.0
    code, probability = _identifier().classify(sample)
    return str(code), float(probability)


@dataclass(frozen=True)
class KeepLanguages:
    """Only documents in some languages; a text too short to tell is never left out for it."""

    languages: tuple[str, ...]
    name = "language"

    def run(self, draft: Draft) -> Draft | Dropped:
        """Return the draft, or why it is left out."""
        code, probability = language_of(draft.text)
        if code == UNKNOWN or code in self.languages:
            return draft
        return Dropped(
            document_id=draft.document.id,
            step=self.name,
            reason="language",
            values={"language": code, "probability": round(probability, 3)},
        )


@cache
def _identifier() -> Any:  # Any: py3langid has no types
    require_package("py3langid", extra="words")
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
