"""Naive Bayes over words and pairs of words, from the examples as they are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from memlm.memory import label_counts
from memlm.memory.label_counts import LabelCounts

EXAMPLES = [
    ("a good film", "yes"),
    ("good good music", "yes"),
    ("a bad film", "no"),
    ("不好看的电影", "no"),
    ("ignored", "unknown label"),
]


def test_probabilities_are_those_of_the_formula():
    found = LabelCounts(EXAMPLES, ["yes", "no"]).log_probabilities("a good thing")
    # Of yes: a, good, film, "a good", "good film", music, "good good", "good music".
    features = {"yes": 9, "no": 5 + 9}  # a text's words and pairs, each once
    vocabulary = len(
        {"a", "good", "film", "a good", "good film", "music", "good good", "good music"}
        | {"bad", "a bad", "bad film"}
        | {
            "不好",
            "好看",
            "看的",
            "的电",
            "电影",
            "不好 好看",
            "好看 看的",
            "看的 的电",
            "的电 电影",
        }
    )
    times = {"yes": {"a": 1, "good": 2, "a good": 1}, "no": {"a": 1}}
    scores = {
        label: math.log(3 / 6)
        + sum(
            math.log((times[label].get(word, 0) + 1) / (features[label] + vocabulary))
            for word in ("a", "good", "a good")
        )
        for label in ("yes", "no")
    }
    total = math.log(sum(map(math.exp, scores.values())))
    assert found == pytest.approx([scores["yes"] - total, scores["no"] - total], abs=1e-5)


@pytest.mark.parametrize("text", ["", "...", "never seen"])
def test_words_that_never_stood_leave_the_prior(text):
    found = LabelCounts([("x", "a")] * 3 + [("y", "b")], ["a", "b"]).log_probabilities(text)
    assert np.exp(found) == pytest.approx([4 / 6, 2 / 6])


def test_words_seen_once_make_way_where_the_table_would_be_too_large(monkeypatch):
    monkeypatch.setattr(label_counts, "_MOST_VALUES", 4)
    counts = LabelCounts([("common rare", "a"), ("common odd", "b"), ("common", "b")], ["a", "b"])
    assert list(counts._words) == ["common"]
    assert np.exp(counts.log_probabilities("common rare")).sum() == pytest.approx(1)


def test_without_examples_all_labels_are_alike():
    found = LabelCounts([], ["a", "b", "c"]).log_probabilities("anything")
    assert np.exp(found) == pytest.approx([1 / 3] * 3)


def test_the_table_is_never_larger_than_it_may_be(monkeypatch):
    monkeypatch.setattr(label_counts, "_MOST_VALUES", 5)
    examples = [("one two three", "a")] * 2 + [("one three four", "b")] * 2 + [("one", "b")]
    counts = LabelCounts(examples, ["a", "b"])
    assert list(counts._words) == ["one", "three"]
    assert counts._log_shares.shape == (2, 2)
    assert np.exp(counts.log_probabilities("one two")).sum() == pytest.approx(1)
