"""The measures of tasks, against sacrebleu, plain twins, and values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from memlm.errors import MissingExtraError
from memlm.generate import task_metrics as metrics

ENGLISH = (
    ["the cat is on the mat", "a dog", "nobody came home last night .", "x"],
    ["the cat sat on the mat", "a dog barks loudly", "nobody came home yesterday .", "one, two."],
)
CHINESE = (["今天天气很好。", "他去了北京"], ["今天的天气好。", "他昨天去了上海。"])
BOTH = [pytest.param(ENGLISH, "13a", id="english"), pytest.param(CHINESE, "zh", id="chinese")]


# -- translate ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("pair", "cut"), BOTH)
def test_bleu_and_chrf_are_those_of_sacrebleu(pair, cut):
    sacrebleu = pytest.importorskip("sacrebleu")
    found = metrics.translation_findings(*pair)
    answers, targets = pair
    assert found["bleu"].value == sacrebleu.corpus_bleu(answers, [targets], tokenize=cut).score
    assert found["chrf"].value == sacrebleu.corpus_chrf(answers, [targets]).score
    assert found["bleu"].low <= found["bleu"].high
    assert found["chrf"].n == len(answers)


@pytest.mark.parametrize(("pair", "cut"), BOTH)
def test_signature_names_the_tokenizer(pair, cut):
    pytest.importorskip("sacrebleu")
    found = metrics.signatures(pair[1])
    assert f"tok:{cut}" in found["bleu"]
    assert "nc:6" in found["chrf"]


@pytest.mark.parametrize(("pair", "cut"), BOTH)
def test_resampled_chrf_counts_as_sacrebleu_does(pair, cut):
    sacrebleu = pytest.importorskip("sacrebleu")
    counts = np.array([metrics._chrf_counts(*both) for both in zip(*pair, strict=True)])
    expected = sacrebleu.corpus_chrf(pair[0], [pair[1]]).score
    assert metrics.chrf_of_counts(counts.sum(axis=0)) == pytest.approx(expected)


def test_a_perfect_translation_has_no_other_resample():
    pytest.importorskip("sacrebleu")
    targets = ["the cat sat on the mat", "nobody came home last night"]
    found = metrics.translation_findings(targets, targets)
    for one in found.values():
        assert (one.value, one.low, one.high) == pytest.approx((100, 100, 100))


def test_empty_answers_score_nothing():
    pytest.importorskip("sacrebleu")
    found = metrics.translation_findings(["", ""], ["the cat sat here", "a dog"])
    assert {one.value for one in found.values()} == {0.0}


def test_without_sacrebleu_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("memlm.runtime.is_installed", lambda package: False)
    with pytest.raises(MissingExtraError) as caught:
        metrics.bleu_finding(["a"], ["a"])
    assert caught.value.values["extra"] == "tasks"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [(["他说 OK"], False), (["他说了好 OK"], True), (["Good."], False), ([""], False)],
    ids=["half", "mostly", "english", "empty"],
)
def test_mostly_chinese_is_more_than_half_of_the_letters(texts, expected):
    assert metrics.is_mostly_chinese(texts) is expected


# -- summarise ----------------------------------------------------------------------------------


def test_rouge_worked_out_by_hand():
    # 5 of 6 words on both sides, 3 of 5 pairs (the cat, on the, the mat), 5 in order.
    found = metrics.rouge_scores("The cat is on the mat.", "the cat sat on the mat")
    assert found == pytest.approx((5 / 6, 3 / 5, 5 / 6))


def test_rouge_counts_chinese_characters():
    # 天气很好 beside 天气好: 3 of 4 and of 3; one pair of 3 and of 2; 天 气 好 in order.
    found = metrics.rouge_scores("天气很好", "天气好")
    assert found == pytest.approx((6 / 7, 2 / 5, 6 / 7))


def test_rouge_counts_a_word_as_often_as_both_have_it():
    assert metrics.rouge_scores("a a a", "a b")[0] == pytest.approx(2 * 1 / (3 + 2))


@pytest.mark.parametrize(("answer", "target"), [("", "a"), ("a", ""), ("...", "!"), ("a", "b")])
def test_rouge_of_nothing_in_common_is_nothing(answer, target):
    assert metrics.rouge_scores(answer, target) == (0.0, 0.0, 0.0)


def plain_common_length(one, two):
    table = [[0] * (len(two) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(two):
            longest = max(table[i][j + 1], table[i + 1][j])
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else longest
    return table[-1][-1]


@pytest.mark.parametrize("seed", range(20))
def test_common_length_agrees_with_the_plain_table(seed):
    random = np.random.default_rng(seed)
    one, two = (list(map(str, random.integers(4, size=random.integers(80)))) for _ in range(2))
    assert metrics.common_length(one, two) == plain_common_length(one, two)


def test_summary_findings_are_means_with_intervals():
    pytest.importorskip("sacrebleu")
    found = metrics.summary_findings(["a b", "c"], ["a b", "d"])
    assert list(found) == ["rouge_1", "rouge_2", "rouge_l", "chrf"]
    assert found["rouge_1"].value == 0.5
    assert (found["rouge_1"].low, found["rouge_1"].high) == (0.0, 1.0)
    assert math.isnan(found["rouge_1"].baseline)


# -- reply --------------------------------------------------------------------------------------


def test_perplexity_is_per_token_and_nats_per_character():
    nats = np.array([math.log(2) * 3, math.log(2) * 5])
    found = metrics.loss_findings(nats, np.array([3, 5]), np.array([6, 10]))
    assert found["perplexity"].value == pytest.approx(2.0)
    assert (found["perplexity"].low, found["perplexity"].high) == pytest.approx((2.0, 2.0))
    assert found["nats_per_character"].value == pytest.approx(math.log(2) / 2)


@pytest.mark.parametrize(("order", "expected"), [(1, 3 / 5), (2, 2 / 3)])
def test_distinct_counts_different_ones_of_all(order, expected):
    assert metrics.distinct_finding(["a b c", "a b"], order).value == pytest.approx(expected)


def test_the_interval_of_distinct_holds_its_value():
    texts = [f"word {number} and {number * 7 % 13} more" for number in range(50)]
    found = metrics.distinct_finding(texts, 1)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("texts", [["", ""], ["a"]], ids=["nothing", "one text"])
def test_distinct_of_hardly_anything_is_a_number(texts):
    found = metrics.distinct_finding(texts, 1)
    assert found.low <= found.value <= found.high


# -- classify -----------------------------------------------------------------------------------


def test_a_perfectly_calibrated_sample_has_no_error():
    sure = np.repeat([0.5, 0.6, 0.7, 0.8, 0.9], 10)
    is_right = np.concatenate([np.arange(10) < right for right in (5, 6, 7, 8, 9)])
    assert metrics.calibration_error(sure, is_right) == pytest.approx(0.0)


def test_the_error_of_one_who_is_always_too_sure_is_the_gap():
    is_right = np.arange(100) % 2 == 0
    assert metrics.calibration_error(np.full(100, 0.9), is_right) == pytest.approx(0.4)


def test_gaps_of_different_groups_do_not_cancel():
    sure = np.repeat([0.6, 0.9], [32, 28])  # 8 groups of 4 and 7
    is_right = np.concatenate([np.ones(32, dtype=bool), np.arange(28) < 14])
    assert metrics.calibration_error(sure, is_right) == pytest.approx(0.4)


def test_the_order_of_equally_sure_texts_makes_no_difference():
    random = np.random.default_rng(0)
    sure, is_right = random.choice([0.6, 0.9], size=100), random.random(100) < 0.7
    mixed = random.permutation(100)
    assert metrics.calibration_error(sure, is_right) == pytest.approx(
        metrics.calibration_error(sure[mixed], is_right[mixed])
    )


def test_fewer_texts_than_groups_have_an_error_too():
    assert metrics.calibration_error(np.array([0.9]), np.array([False])) == pytest.approx(0.9)


def test_label_findings_worked_out_by_hand():
    shares = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    found = metrics.label_findings(["a", "b", "b"], shares, ["a", "b"])
    assert found["accuracy"].value == pytest.approx(2 / 3)
    expected = -(math.log(0.8) + math.log(0.7) + math.log(0.4)) / 3
    assert found["log_loss"].value == pytest.approx(expected)
    assert found["calibration_error"].value == pytest.approx((0.2 + 0.3 + 0.6) / 3)


def test_a_label_that_nobody_learned_is_wrong():
    found = metrics.label_findings(["new"], np.array([[1.0, 0.0]]), ["a", "b"])
    assert found["accuracy"].value == 0.0
    assert found["log_loss"].value == pytest.approx(-math.log(1e-9))
    assert found["calibration_error"].value == pytest.approx(1.0)


# -- intervals ----------------------------------------------------------------------------------


def test_the_interval_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(0).normal(size=400)
    found = metrics.mean_finding(values, unit="")
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).normal(size=30)
    one, two, other = (metrics.mean_finding(values, unit="", seed=seed) for seed in (0, 0, 1))
    assert (one.low, one.high) == (two.low, two.high) != (other.low, other.high)


def test_a_share_of_nothing_is_nothing():
    found = metrics.ratio_finding(np.zeros(2), np.zeros(2, dtype=np.int64), unit="")
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)
