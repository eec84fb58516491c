"""What is left of a training that diverged, and what can be done with it."""

from __future__ import annotations

import pytest

import memlm.train.training as training_module


@pytest.fixture
def diverge_at(monkeypatch):
    """Return what spoils the loss of the step with this number."""

    def spoil(number: int) -> None:
        plain, calls = training_module.mean_loss, iter(range(1, 1000))

        def mean_loss(*given):
            loss, state = plain(*given)
            return loss * (float("nan") if next(calls) == number else 1.0), state

        monkeypatch.setattr(training_module, "mean_loss", mean_loss)

    return spoil


WORDS = [("en", ("kept as the model odd", "lower --learning-rate")), ("zh", ("已保留为模型 odd",))]


@pytest.mark.parametrize(("language", "words"), WORDS, ids=["en", "zh"])
def test_the_best_weights_are_a_model_that_can_be_asked(
    memlm, trained, fast, sample, diverge_at, language, words
):
    diverge_at(7)
    found = memlm("train", trained, *fast, "--name", "odd", "--language", language)
    assert found.code == 5
    assert all(word in found.err for word in words)
    (model,) = memlm("models", trained, "odd", "--json").json["models"]
    assert model["status"] == "diverged"
    assert model["results"]["best_step"] <= 6
    for command in ("models", "info"):
        assert "diverged" in memlm(command, trained, "--language", "en").out
    assert memlm("generate", trained, "the", "--model", "odd", "--tokens", "4").code == 0
    assert memlm("score", trained, sample, "--model", "odd").code == 0


def test_where_nothing_was_learned_that_is_said_and_there_is_no_model(
    memlm, trained, fast, diverge_at
):
    diverge_at(1)
    found = memlm("train", trained, *fast, "--name", "odd", "--json")
    assert (found.code, found.error["code"]) == (5, "diverged")
    assert "Nothing of it" in found.error["hint"]
    found = memlm("generate", trained, "the", "--model", "odd", "--json")
    assert found.error["code"] == "model_missing"


def test_a_loss_that_stays_absurd_ends_the_training(memlm, trained, fast):
    longer = ("--steps", "200", *fast[2:], "--learning-rate", "1e3", "--weight-decay", "0")
    found = memlm("train", trained, *longer, "--json")
    assert (found.code, found.error["code"]) == (5, "loss_absurd")
