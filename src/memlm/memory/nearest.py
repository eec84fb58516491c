"""Which documents are nearest to a text: those that share its rare words (BM25).

    score(d) = sum over words w of idf(w) * tf (k + 1) / (tf + k (1 - b + b |d| / mean |d|))

(Robertson and Zaragoza 2009). Candidates come from the suffix index, which says where the rarest
words of the text stand; nothing but the index is kept. Words are runs of letters and digits, small,
with a capital or in capitals, and pairs of characters where a script writes no spaces.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from memlm.index import SuffixIndex

_TF, _LENGTH = 1.2, 0.75  # k and b
_MOST_PLACES = 4000
"""So many places of the rarest words lead to candidates; the others are weighed only."""
_MOST_CANDIDATES = 200
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUN = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")


@dataclass(frozen=True)
class Near:
    """A document that shares words with a text."""

    document_id: str
    score: float


def index_words(text: str) -> list[str]:
    """Return the words of a text, small letters, in order.

    >>> index_words("Two dogs, 两只狗")
    ['two', 'dogs', '两只', '只狗']
    """
    found = []
    for match in _RUN.finditer(text):
        run = match.group()
        if not _IS_UNSPACED.match(run):
            found.append(run.lower())
        elif len(run) == 1:
            found.append(run)
        else:
            found += [run[place : place + 2] for place in range(len(run) - 1)]
    return found


def nearest_documents(
    index: SuffixIndex,
    text: str,
    *,
    texts_of: Callable[[Sequence[str]], Mapping[str, str]],
    documents: int,
    limit: int,
) -> list[Near]:
    """Return up to `limit` documents nearest to a text, the nearest first.

    `texts_of` gives the texts by which documents (named by their ids) are compared, and leaves out
    those that are not to be found; `documents` is how many there are in all.
    """
    asked = list(dict.fromkeys(index_words(text)))
    spelt = list(dict.fromkeys(one for word in asked for one in _spellings(word)))
    counts = dict(zip(spelt, index.counts(spelt).tolist(), strict=True))
    totals = {word: sum(counts[one] for one in _spellings(word)) for word in asked}
    weights = {
        word: math.log1p((documents + 0.5) / (min(count, documents) + 0.5))
        for word, count in totals.items()
    }
    votes: dict[str, float] = defaultdict(float)
    left = _MOST_PLACES
    for word in sorted(asked, key=lambda word: totals[word]):
        if totals[word] > left:
            break
        left -= totals[word]
        there = [one for one in _spellings(word) if counts[one]]
        for document in set(_documents_with(index, there)):
            votes[document] += weights[word]
    candidates = sorted(votes, key=lambda one: -votes[one])[:_MOST_CANDIDATES]
    words = {name: index_words(one) for name, one in texts_of(candidates).items()}
    mean = sum(map(len, words.values())) / max(1, len(words))
    found = [
        Near(document, _bm25(asked, weights, Counter(own), len(own) / max(1.0, mean)))
        for document, own in words.items()
    ]
    found = [one for one in found if one.score > 0]
    return sorted(found, key=lambda one: (-one.score, one.document_id))[:limit]


def _spellings(word: str) -> list[str]:
    """Return how a word may stand in a text: small, with a capital letter, in capitals."""
    return list(dict.fromkeys((word, word.capitalize(), word.upper())))


def _documents_with(index: SuffixIndex, spellings: Sequence[str]) -> Iterator[str]:
    """Yield the documents of every place of a word that stands there as it may be spelt."""
    for spelt in spellings:
        for document, _ in index.places(spelt, limit=_MOST_PLACES)[1]:
            yield document


def _bm25(
    asked: Sequence[str], weights: Mapping[str, float], own: Mapping[str, int], length: float
) -> float:
    damping = _TF * (1 - _LENGTH + _LENGTH * length)
    return sum(
        weights[word] * own[word] * (_TF + 1) / (own[word] + damping)
        for word in asked
        if own.get(word)
    )
