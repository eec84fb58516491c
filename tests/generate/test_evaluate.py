"""Accuracy, its interval, and macro F1 against values worked out by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from memlm.generate import evaluate_labels
from memlm.generate.evaluate import majority_label, wilson_interval

TRUE = ["a", "a", "a", "b", "b", "c"]
GUESS = ["a", "a", "b", "b", "c", "c"]


@pytest.fixture
def findings():
    return evaluate_labels(TRUE, GUESS, majority="a")


def test_accuracy_is_the_share_of_right_labels(findings):
    assert findings["accuracy"].value == pytest.approx(4 / 6)
    assert findings["accuracy"].n == 6


def test_the_baseline_gives_every_text_the_commonest_label(findings):
    assert findings["accuracy"].baseline == pytest.approx(3 / 6)


def test_macro_f1_is_the_mean_over_labels(findings):
    # a: precision 2/2, recall 2/3; b: 1/2 and 1/2; c: 1/2 and 1/1.
    assert findings["macro_f1"].value == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)


def test_the_baseline_of_macro_f1_is_that_of_the_commonest_label(findings):
    assert findings["macro_f1"].baseline == pytest.approx((2 * 3 / (3 + 6)) / 3)


def test_a_label_that_only_the_model_names_is_no_class_of_its_own():
    found = evaluate_labels(["a", "b"], ["a", "zebra"], majority="a")["macro_f1"]
    assert found.value == pytest.approx((1.0 + 0.0) / 2)


def test_a_label_the_model_never_saw_counts_as_wrong():
    found = evaluate_labels(["a", "new"], ["a", "a"], majority="a")["accuracy"]
    assert found.value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe 1998, table I, method 3.
        pytest.param(81, 263, 0.2553, 0.3662, id="81 of 263"),
        pytest.param(15, 148, 0.0624, 0.1605, id="15 of 148"),
        pytest.param(0, 20, 0.0, 0.1611, id="none of 20"),
        pytest.param(1, 29, 0.0061, 0.1718, id="1 of 29"),
        pytest.param(20, 20, 1 - 0.1611, 1.0, id="all of 20"),
    ],
)
def test_the_interval_is_wilsons(successes, n, low, high):
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_of_accuracy_is_wilsons(findings):
    found = findings["accuracy"]
    assert (found.low, found.high) == wilson_interval(4, 6)


def test_the_interval_of_macro_f1_contains_it(findings):
    found = findings["macro_f1"]
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


def test_the_same_labels_give_the_same_intervals(findings):
    assert evaluate_labels(TRUE, GUESS, majority="a") == findings


def test_labels_that_are_all_right_have_an_interval_of_one_point():
    random = np.random.default_rng(0)
    true = random.choice(["a", "b"], size=3000).tolist()
    found = evaluate_labels(true, true, majority="a")
    assert (found["macro_f1"].low, found["macro_f1"].high) == (1.0, 1.0)


def test_the_commonest_label_is_the_first_by_name_among_equals():
    assert majority_label(Counter({"b": 2, "a": 2, "c": 1})) == "a"
