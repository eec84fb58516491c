"""Is a text prose worth learning? The rules of Gopher, which measure words, lines and repetition.

The rules and thresholds are those of Rae et al. (2021, arXiv 2112.11446, appendix A.1.1) and stand
in `quality.toml`. In a text that is mostly hanzi each hanzi counts as a word, and the rules that
need spaces give way to the share of hanzi. The rules are made for web pages: they leave out poems,
short reviews and code, which is why they are not for every collection.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from memlm.prepare.character_classes import HAN
from memlm.prepare.draft import Draft
from memlm.prepare.words import han_share
from memlm.records import Dropped

_HANZI = re.compile(f"[{HAN}]")
_HANZI_OR_WORD = re.compile(rf"{_HANZI.pattern}|[^\W_]+")
_MOSTLY_HANZI = 0.3
_PARAGRAPH = re.compile(r"\n\s*\n")

Failure = tuple[str, float, float]
"""The reason, what was measured, and the threshold that it broke."""


class Quality:
    """Only documents that the rules of Gopher take for prose."""

    name = "quality"

    def run(self, draft: Draft) -> Draft | Dropped:
        """Return the draft, or the first rule that it breaks."""
        failure = next(failures(draft.text), None)
        if failure is None:
            return draft
        reason, value, limit = failure
        return Dropped(
            document_id=draft.document.id,
            step=self.name,
            reason=reason,
            values={"value": round(value, 4), "limit": limit},
        )


def failures(text: str) -> Iterator[Failure]:
    """Yield every rule that a text breaks, cheap ones first."""
    if han_share(text) > _MOSTLY_HANZI:
        words = _HANZI_OR_WORD.findall(text)
        yield from _hanzi_rules(text, words)
    else:
        words = text.split()
        yield from _word_rules(text, words)
    if words:
        yield from _line_rules(text, len(words))
        yield from _repetition_rules(text, words)


def _word_rules(text: str, words: Sequence[str]) -> Iterator[Failure]:
    rules = _rules()["words"]
    yield from _count_rules(len(words), rules)
    if not words:
        return
    mean = sum(map(len, words)) / len(words)
    yield from _at_least("short_words", mean, rules["shortest_mean"])
    yield from _at_most("long_words", mean, rules["longest_mean"])
    alphabetic = sum(any(map(str.isalpha, word)) for word in words) / len(words)
    yield from _at_least("few_letters", alphabetic, rules["smallest_alphabetic_share"])
    found = {word.strip(".,;:!?\"'()“”‘’").lower() for word in words}
    stops = len(found & set(rules["stop_words"].split()))
    yield from _at_least("few_stop_words", stops, rules["fewest_stop_words"])


def _hanzi_rules(text: str, words: Sequence[str]) -> Iterator[Failure]:
    rules = _rules()["hanzi"]
    yield from _count_rules(len(words), rules)
    yield from _at_least("few_hanzi", han_share(text), rules["smallest_share"])
    stops = len(set(words) & set(rules["stop_words"].split()))
    yield from _at_least("few_stop_words", stops, rules["fewest_stop_words"])


def _count_rules(count: int, rules: dict[str, Any]) -> Iterator[Failure]:  # Any: TOML
    yield from _at_least("few_words", count, rules["fewest"])
    yield from _at_most("many_words", count, rules["most"])


def _line_rules(text: str, words: int) -> Iterator[Failure]:
    rules = _rules()["words"]
    symbols = max(text.count("#"), text.count("…") + text.count("...")) / words
    yield from _at_most("symbols", symbols, rules["largest_symbol_share"])
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    bullets = sum(line.startswith(("•", "-", "*", "·", "●", "‣")) for line in lines) / len(lines)
    yield from _at_most("bullets", bullets, rules["largest_bullet_share"])
    ellipses = sum(line.endswith(("…", "...")) for line in lines) / len(lines)
    yield from _at_most("ellipses", ellipses, rules["largest_ellipsis_share"])


def _repetition_rules(text: str, words: Sequence[str]) -> Iterator[Failure]:
    rules = _rules()["repetition"]
    parts = {"line": text.split("\n"), "paragraph": _PARAGRAPH.split(text)}
    for kind, pieces in parts.items():
        kept = [piece.strip() for piece in pieces if piece.strip()]
        again = [piece for piece, n in Counter(kept).items() for _ in range(n - 1)]
        share = len(again) / len(kept)
        characters = sum(map(len, again)) / sum(map(len, kept))
        yield from _at_most(f"repeated_{kind}s", share, rules[f"duplicate_{kind}_share"])
        yield from _at_most(
            f"repeated_{kind}_characters", characters, rules[f"duplicate_{kind}_characters"]
        )
    for size, limit in rules["top_n_grams"].items():
        yield from _at_most("frequent_words", _top_share(words, int(size)), limit)
    for size, limit in rules["duplicate_n_grams"].items():
        yield from _at_most("repeated_words", _repeated_share(words, int(size)), limit)


def _top_share(words: Sequence[str], size: int) -> float:
    """Return the share of the characters that lie in the most frequent run of `size` words."""
    runs = Counter(zip(*(words[start:] for start in range(size)), strict=False))
    if not runs:
        return 0.0
    run, count = runs.most_common(1)[0]
    return count * sum(map(len, run)) / sum(map(len, words)) if count > 1 else 0.0


def _repeated_share(words: Sequence[str], size: int) -> float:
    """Return the share of the characters in runs that came before, each counted once."""
    seen: set[int] = set()
    characters, covered = 0, 0
    for start, run in enumerate(zip(*(words[n:] for n in range(size)), strict=False)):
        key = hash(run)
        if key in seen:
            characters += sum(map(len, words[max(start, covered) : start + size]))
            covered = start + size
        seen.add(key)
    return characters / sum(map(len, words))


def _at_least(reason: str, value: float, limit: float) -> Iterator[Failure]:
    if value < limit:
        yield reason, value, limit


def _at_most(reason: str, value: float, limit: float) -> Iterator[Failure]:
    if value > limit:
        yield reason, value, limit


@cache
def _rules() -> dict[str, Any]:  # Any: TOML
    return tomllib.loads(files(__package__).joinpath("quality.toml").read_text("utf-8"))
