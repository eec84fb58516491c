"""How often each word stood under each label: naive Bayes, counted from the examples themselves.

    log p(label | text) = log p(label) + sum over words of log p(word | label) + const

Words and pairs of neighbouring words count, each once a text (Wang and Manning 2012), smoothed by
one. What is counted is what the documents hold now: an example that was erased is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from memlm.memory.nearest import index_words

_MOST_VALUES = 1 << 26
"""Of the table of words by labels, in float32: 256 MB. The rarest words make way."""


class LabelCounts:
    """Counts of words by labels, ready to be asked."""

    def __init__(self, examples: Iterable[tuple[str, str]], labels: Sequence[str]) -> None:
        place = {label: number for number, label in enumerate(labels)}
        self._words: dict[str, int] = {}
        of_words, of_labels, texts = [], [], np.zeros(len(labels))
        for text, label in examples:
            if label not in place:
                continue
            texts[place[label]] += 1
            for word in sorted(_features(text)):
                of_words.append(self._words.setdefault(word, len(self._words)))
                of_labels.append(place[label])
        words, columns = np.array(of_words, np.int64), np.array(of_labels, np.int64)
        if len(self._words) * len(labels) > _MOST_VALUES:
            words, columns = self._without_the_rare(words, columns, _MOST_VALUES // len(labels))
        size = len(self._words) * len(labels)
        counts = np.bincount(words * len(labels) + columns, minlength=size)
        table = counts.reshape(len(self._words), len(labels)).astype(np.float32) + 1
        totals = np.maximum(1, table.sum(axis=0, dtype=np.float64))
        self._log_shares = np.log(table, out=table)
        self._log_shares -= np.log(totals).astype(np.float32)
        self._prior = np.log((texts + 1) / (texts.sum() + len(labels)))

    def log_probabilities(self, text: str) -> npt.NDArray[np.float64]:
        """Return log p(label | text) of each label, (L,); words that never stood say nothing."""
        known = [self._words[word] for word in _features(text) if word in self._words]
        scores = self._prior + self._log_shares[known].sum(axis=0, dtype=np.float64)
        scores -= scores.max()
        return np.asarray(scores - np.log(np.exp(scores).sum()))

    def _without_the_rare(
        self, words: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], most: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return what is counted of up to `most` words: the commonest, none seen once."""
        texts = np.bincount(words, minlength=len(self._words))
        is_kept = np.zeros(len(texts), dtype=bool)
        is_kept[np.argsort(-texts, kind="stable")[:most]] = True
        is_kept &= texts > 1
        number = np.cumsum(is_kept) - 1
        self._words = {
            word: int(number[place]) for word, place in self._words.items() if is_kept[place]
        }
        chosen = is_kept[words]
        return number[words[chosen]], columns[chosen]


def _features(text: str) -> set[str]:
    return set(_words_and_pairs(index_words(text)))


def _words_and_pairs(words: Sequence[str]) -> Iterator[str]:
    yield from words
    for place in range(len(words) - 1):
        yield f"{words[place]} {words[place + 1]}"
