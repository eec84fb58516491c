"""What tasks are measured beside: first sentences, unigrams, and classifiers that count words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from memlm.errors import MissingExtraError
from memlm.generate import task_baselines as baselines

LEARNED = [
    ("good bright film", "yes"), ("a good day", "yes"), ("bright and good", "yes"),
    ("bad dark film", "no"), ("a bad night", "no"),
    ("好电影，很好看", "yes"), ("坏电影，难看", "no"),
]  # fmt: skip
HELD_OUT = [("good film", "yes"), ("bad film", "no")]
LABELS = ["no", "yes"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("One. Two.", "One."),
        ("Is it? It is.", "Is it?"),
        ("It cost 3.50 yesterday. Cheap!", "It cost 3.50 yesterday."),
        ("He said “no.” Then he left.", "He said “no.”"),
        ("今天下雨。明天晴。", "今天下雨。"),
        ("“你好！”他说。", "“你好！”"),
        ("A title\nThe text. More.", "A title"),
        ("no end at all", "no end at all"),
        ("  spaced. out. ", "spaced."),
        ("", ""),
    ],
)
def test_the_lead_is_the_first_sentence(source, expected):
    assert baselines.lead_sentence(source) == expected


def test_unigrams_count_each_token_once_more():
    found = baselines.unigram_nats([np.array([0, 0, 1]), np.array([0])], 3)
    assert found == pytest.approx([-math.log(4 / 7), -math.log(2 / 7), -math.log(1 / 7)])


def test_unigrams_of_nothing_are_uniform():
    assert baselines.unigram_nats([], 4) == pytest.approx([math.log(4)] * 4)


@pytest.mark.parametrize("name", ["naive_bayes", "logistic_regression"])
@pytest.mark.parametrize(
    ("source", "place"), [("good bright", 1), ("bad", 0), ("好看", 1), ("难看", 0)]
)
def test_classifiers_tell_labels_by_words(name, source, place):
    pytest.importorskip("sklearn")
    found = baselines.label_baselines(LEARNED, HELD_OUT, [source], LABELS)[name]
    assert found.shape == (1, 2)
    assert found.argmax() == place


def test_all_baselines_give_probabilities():
    pytest.importorskip("sklearn")
    found = baselines.label_baselines(LEARNED, HELD_OUT, ["good", "unseen words", ""], LABELS)
    assert list(found) == ["majority", "naive_bayes", "logistic_regression"]
    for shares in found.values():
        assert shares.sum(axis=1) == pytest.approx(np.ones(3))


def test_majority_says_how_often_each_label_was_learned():
    pytest.importorskip("sklearn")
    found = baselines.label_baselines(LEARNED, [], ["bad", "good"], LABELS)["majority"]
    assert found.tolist() == pytest.approx(np.array([[4 / 9, 5 / 9]] * 2))


@pytest.mark.parametrize(
    "learned",
    [[("a b", "yes"), ("c", "yes")], [("...", "yes"), ("!", "no")], []],
    ids=["one label", "no words", "nothing"],
)
def test_where_nothing_can_be_learned_there_is_the_majority(learned):
    pytest.importorskip("sklearn")
    assert list(baselines.label_baselines(learned, [], ["a"], LABELS)) == ["majority"]


def test_a_label_that_was_not_learned_has_no_probability():
    pytest.importorskip("sklearn")
    found = baselines.label_baselines(LEARNED, HELD_OUT, ["good"], ["no", "other", "yes"])
    assert found["naive_bayes"][0, 1] == 0.0
    assert found["logistic_regression"][0].argmax() == 2


def test_held_out_examples_choose_the_strength(monkeypatch):
    pytest.importorskip("sklearn")

    def found(strengths, held_out):
        monkeypatch.setattr(baselines, "STRENGTHS", strengths)
        said = baselines.label_baselines(LEARNED, held_out, ["good"], LABELS)
        return said["logistic_regression"][0, 1]

    weak, strong = (found((one,), HELD_OUT) for one in (0.01, 100.0))
    assert found((0.01, 100.0), HELD_OUT) == strong
    wrong = [(source, "no" if label == "yes" else "yes") for source, label in HELD_OUT]
    assert found((0.01, 100.0), wrong) == weak


def test_pairs_are_of_words_that_follow_one_another():
    assert baselines.words_and_pairs("A good day") == ["a", "good", "day", "a good", "good day"]


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("memlm.runtime.is_installed", lambda package: False)
    with pytest.raises(MissingExtraError) as caught:
        baselines.label_baselines(LEARNED, [], ["good"], LABELS)
    assert caught.value.values["extra"] == "tasks"


@pytest.mark.parametrize(("name", "expected"), [("accuracy", 0.9), ("log_loss", 0.2)])
def test_the_best_baseline_is_the_highest_or_of_losses_the_lowest(name, expected):
    values = {"one": {"accuracy": 0.9, "log_loss": 0.5}, "two": {"accuracy": 0.7, "log_loss": 0.2}}
    assert baselines.best_baseline(name, values) == expected


def test_a_measure_without_baseline_has_none():
    assert math.isnan(baselines.best_baseline("bleu", {"one": {"accuracy": 0.9}}))
