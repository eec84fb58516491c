"""Label probabilities against Bayes' rule, one text and one label at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from memlm.predict import classify, label_probabilities

TEXTS = ["abc", "", "明月 明月", "a bad cab", "xyz", "h", "abcdefgh" * 60]
PRIORS = {"bad": 0.5, "good": 0.3, "so-so": 0.2}


def _one_by_one(model, tokenizer, text: str) -> dict[str, float]:
    joint = {}
    for label, prior in PRIORS.items():
        ids = [int(token) for token in tokenizer.encode(text).ids]
        total, state = math.log(prior), model.start(1)
        found, state = model.advance(state, np.array([tokenizer.end]))
        found, state = model.advance(state, np.array([tokenizer.labels[label]]))
        for token in [*ids, tokenizer.end]:
            total += float(found[0, token])
            found, state = model.advance(state, np.array([token]))
        joint[label] = total
    top = max(joint.values())
    weights = {label: math.exp(value - top) for label, value in joint.items()}
    return {label: weight / sum(weights.values()) for label, weight in weights.items()}


@pytest.fixture
def found(network_model, letters):
    return list(label_probabilities(network_model, letters, TEXTS, priors=PRIORS))


@pytest.mark.parametrize("place", range(len(TEXTS)))
def test_probabilities_equal_bayes_rule_one_by_one(network_model, letters, found, place):
    expected = _one_by_one(network_model, letters, TEXTS[place])
    assert found[place] == pytest.approx(expected, rel=2e-3, abs=1e-5)


def test_probabilities_sum_to_one(found):
    assert [sum(shares.values()) for shares in found] == pytest.approx([1.0] * len(TEXTS))


def test_the_label_matters(found):
    assert max(found[0].values()) - min(found[0].values()) > 0.01


def test_the_prior_is_what_an_indifferent_model_says(letters, table_model):
    size = letters.vocabulary_size
    indifferent = type(table_model)(np.full((size, size), 1 / size))
    (shares,) = label_probabilities(indifferent, letters, ["abc"], priors=PRIORS)
    assert shares == pytest.approx(PRIORS)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_grouping_does_not_change_the_probabilities(
    network_model, letters, found, monkeypatch, at_once
):
    monkeypatch.setattr(classify, "_SORTED_AT_ONCE", at_once)
    again = list(label_probabilities(network_model, letters, TEXTS, priors=PRIORS))
    for one, other in zip(again, found, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("values", [1, 2_000])
def test_the_size_of_batches_does_not_change_the_probabilities(
    network_model, letters, found, monkeypatch, values
):
    monkeypatch.setattr(classify, "_LARGEST_BLOCK_VALUES", values)
    again = list(label_probabilities(network_model, letters, TEXTS, priors=PRIORS))
    for one, other in zip(again, found, strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-7)


def test_texts_are_taken_as_they_come_and_not_all_at_once(network_model, letters, monkeypatch):
    monkeypatch.setattr(classify, "_SORTED_AT_ONCE", 2)
    taken = []

    def texts():
        for text in TEXTS:
            taken.append(text)
            yield text

    next(label_probabilities(network_model, letters, texts(), priors=PRIORS))
    assert len(taken) == 2
