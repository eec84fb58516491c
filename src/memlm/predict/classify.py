"""Which label does a text carry? By Bayes' rule from what the model expects of each label's texts.

    p(label | text) ~ p(label) * p(text, end | label)

The prior is the share of the label among the training documents (Yogatama et al. 2017).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from memlm.language_model import LanguageModel, Tokenizer

_LARGEST_BLOCK_VALUES = 1 << 24
_SORTED_AT_ONCE = 1024
_LONGEST_BLOCK = 256


def label_probabilities(
    model: LanguageModel,
    tokenizer: Tokenizer,
    texts: Iterable[str],
    *,
    priors: Mapping[str, float],
) -> Iterator[dict[str, float]]:
    """Yield, for each text, the probability of every label; they sum to 1."""
    remaining = iter(texts)
    while group := list(islice(remaining, _SORTED_AT_ONCE)):
        yield from _group(model, tokenizer, group, priors)


def _group(
    model: LanguageModel, tokenizer: Tokenizer, texts: Sequence[str], priors: Mapping[str, float]
) -> list[dict[str, float]]:
    encoded = [tokenizer.encode(text).ids.astype(np.int64) for text in texts]
    order = sorted(range(len(texts)), key=lambda place: len(encoded[place]))  # little padding
    labels = list(priors)
    scores = np.empty((len(texts), len(labels)))
    start = 0
    while start < len(order):
        longest, rows = 0, 0
        while start + rows < len(order):
            longest = max(longest, len(encoded[order[start + rows]]) + 1)
            block = min(longest, _LONGEST_BLOCK)
            if rows and (rows + 1) * block * model.vocabulary_size > _LARGEST_BLOCK_VALUES:
                break
            rows += 1
        chosen = order[start : start + rows]
        for column, label in enumerate(labels):
            likelihood = _log_likelihoods(
                model, tokenizer, [encoded[place] for place in chosen], tokenizer.labels[label]
            )
            scores[chosen, column] = likelihood + np.log(priors[label])
        start += rows
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    return [dict(zip(labels, map(float, row), strict=True)) for row in scores]


def _log_likelihoods(
    model: LanguageModel,
    tokenizer: Tokenizer,
    texts: Sequence[npt.NDArray[np.int64]],
    label: int,
) -> npt.NDArray[np.float64]:
    """Return log p(text, end | label) of each text."""
    length = max(map(len, texts)) + 1
    inputs = np.full((len(texts), length), tokenizer.end)
    targets = np.full((len(texts), length), -1)
    for row, ids in enumerate(texts):
        inputs[row, 0], inputs[row, 1 : len(ids) + 1] = label, ids
        targets[row, : len(ids)], targets[row, len(ids)] = ids, tokenizer.end
    totals = np.zeros(len(texts))
    _, state = model.read(model.start(len(texts)), np.full((len(texts), 1), tokenizer.end))
    for start in range(0, length, _LONGEST_BLOCK):
        block = targets[:, start : start + _LONGEST_BLOCK]
        found, state = model.read(state, inputs[:, start : start + _LONGEST_BLOCK])
        picked = np.take_along_axis(found, np.maximum(block, 0)[..., None], axis=2)[..., 0]
        totals += np.where(block >= 0, picked, 0.0).sum(axis=1)
    return totals
