"""What does without a language model reach? Baselines that a task's answers are measured beside.

translate   copy (the source as it is), nearest (the target of the nearest training example)
summarise   lead (the first sentence of the source)
reply       unigram (how often each token stands in the training replies), true (the replies)
classify    majority, naive_bayes (multinomial, on words), logistic_regression (on tf-idf of
            words and pairs of them); all learn from the examples that the model learned from
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.memory.nearest import index_words
from memlm.runtime import require_package

Floats = npt.NDArray[np.float64]
Pair = tuple[str, str]
"""Source and target."""
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Of logistic regression: the inverse of how strongly its weights are held down."""
LOWER_IS_BETTER = frozenset({"perplexity", "nats_per_character", "calibration_error", "log_loss"})
_LEAST = 1e-9
_SENTENCE = re.compile(
    r".*?(?:[。！？…]+[”’」』）]*|[.!?]+[\"'”’)\]]*(?=\s|$)|(?=\n)|$)", re.DOTALL
)


def best_baseline(name: str, baselines: Mapping[str, Mapping[str, float]]) -> float:
    """Return the best value that any baseline reaches by this measure; NaN where none has it."""
    values = [found[name] for found in baselines.values() if name in found]
    if not values:
        return math.nan
    return min(values) if name in LOWER_IS_BETTER else max(values)


def lead_sentence(source: str) -> str:
    """Return the first sentence of a text, or its first line if that is shorter.

    A sentence ends at 。！？… or, where white space follows, at a full stop, ! or ?; so also at an
    abbreviation.
    """
    source = source.strip()
    match = _SENTENCE.match(source)
    return match.group().strip() if match else source


def unigram_nats(targets: Iterable[npt.NDArray[np.int64]], vocabulary_size: int) -> Floats:
    """Return what each token costs, (V,), by how often it stands in targets; each once more."""
    counts = np.ones(vocabulary_size)
    for ids in targets:
        counts += np.bincount(ids, minlength=vocabulary_size)
    return np.asarray(np.log(counts.sum()) - np.log(counts))


def label_baselines(
    learned: Sequence[Pair], held_out: Sequence[Pair], sources: Sequence[str], labels: Sequence[str]
) -> dict[str, Floats]:
    """Return the probabilities (N, L) that each baseline gives the labels of sources.

    The strength of logistic regression is the one that makes held-out labels likeliest. Where fewer
    than two labels, or no words, were learned there is the majority alone. Raises MissingExtraError
    without scikit-learn.
    """
    require_package("sklearn", extra="tasks")
    known = set(labels)
    learned = [pair for pair in learned if pair[1] in known]
    counts = Counter(label for _, label in learned)
    shares = np.array([counts[label] + 1 for label in labels], dtype=np.float64)
    found = {"majority": np.tile(shares / shares.sum(), (len(sources), 1))}
    if len(counts) < 2 or not any(index_words(source) for source, _ in learned):
        return found
    found["naive_bayes"] = _naive_bayes(learned, sources, labels)
    tuned = [pair for pair in held_out if pair[1] in counts]
    found["logistic_regression"] = _logistic_regression(learned, tuned, sources, labels)
    return found


def words_and_pairs(text: str) -> list[str]:
    """Return the words of a text, and each two that follow one another."""
    words = index_words(text)
    return words + [f"{one} {two}" for one, two in pairwise(words)]


def _naive_bayes(learned: Sequence[Pair], sources: Sequence[str], labels: Sequence[str]) -> Floats:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    counter = CountVectorizer(analyzer=index_words)
    rows = counter.fit_transform([source for source, _ in learned])
    model = MultinomialNB().fit(rows, [label for _, label in learned])
    return _in_order(model, counter.transform(sources), labels)


def _logistic_regression(
    learned: Sequence[Pair], tuned: Sequence[Pair], sources: Sequence[str], labels: Sequence[str]
) -> Floats:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    counter = TfidfVectorizer(analyzer=words_and_pairs, sublinear_tf=True)
    rows = counter.fit_transform([source for source, _ in learned])
    asked = counter.transform(sources)
    tried = counter.transform([source for source, _ in tuned]) if tuned else None
    place_of = {label: place for place, label in enumerate(labels)}
    right = [place_of[label] for _, label in tuned]
    best, found = math.inf, np.zeros(0)
    for strength in STRENGTHS if tuned else (1.0,):
        with warnings.catch_warnings():  # a baseline is as good as a thousand rounds make it
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(C=strength, max_iter=1000)
            model.fit(rows, [label for _, label in learned])
        loss = 0.0
        if tried is not None:
            said = _in_order(model, tried, labels)[np.arange(len(right)), right]
            loss = float(-np.log(np.maximum(_LEAST, said)).mean())
        if loss < best:
            best, found = loss, _in_order(model, asked, labels)
    return found


def _in_order(model: Any, rows: Any, labels: Sequence[str]) -> Floats:
    """Return what a model of scikit-learn (which has no types) says of rows, label by label."""
    said = model.predict_proba(rows)
    place_of = {label: place for place, label in enumerate(labels)}
    found = np.zeros((len(said), len(labels)))
    found[:, [place_of[label] for label in model.classes_.tolist()]] = said
    return found
