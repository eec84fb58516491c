"""`memlm score --adapt`: learning while reading, from the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from memlm import load_model, score_text
from memlm.storage import hash_file, read_manifest
from memlm.train import adapt_fit
from memlm.train.adapt import AdaptConfig
from memlm.train.adaptation import load_adaptation, save_adaptation

ADAPTIVE = "adaptive, score first, then learn"


@pytest.fixture(autouse=True)
def little_is_enough(monkeypatch):
    monkeypatch.setattr(adapt_fit, "FEWEST_TOKENS", 50)
    monkeypatch.setattr(adapt_fit, "_TRIAL_TOKENS", (50, 200))


@pytest.fixture
def repeated(tmp_path):
    """Return a file that says the same over and over."""
    path = tmp_path / "repeated.txt"
    path.write_text("the cat sees the moon. 月亮看见小河。\n" * 150, encoding="utf-8")
    return path


def _kept(workspace):
    return workspace / "models" / "lstm-1" / "adapt"


def _choose(workspace, **config):
    """Say by hand how the model is to learn, as if it had been chosen so."""
    folder = workspace / "models" / "lstm-1"
    weights_hash = read_manifest(folder)["files"]["model.safetensors"]["sha256"]
    found = load_adaptation(folder, weights_hash=weights_hash)
    chosen = replace(found, config=AdaptConfig(**config))
    save_adaptation(folder, chosen, weights_hash=weights_hash)


def test_a_repeated_text_is_predicted_better_by_learning_from_it(memlm, trained, repeated):
    frozen = memlm("score", trained, repeated, "--json").json
    memlm("score", trained, repeated, "--adapt")
    _choose(trained, rule="sgd", learning_rate=0.5)
    adaptive = memlm("score", trained, repeated, "--adapt", "--json").json
    assert adaptive["nats_per_character"] < 0.8 * frozen["nats_per_character"]
    assert adaptive["tokens"] == frozen["tokens"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_protocol_is_the_same_key_in_every_language(memlm, trained, sample, language):
    found = memlm("score", trained, sample, "--adapt", "--json", "--language", language)
    assert found.json["protocol"] == ADAPTIVE


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--adapt"], "先评分，后学习"),
        ([], "冻结，长上下文"),
        (["--window", "8"], "冻结，窗口 8"),
    ],
    ids=["adaptive", "long", "window"],
)
def test_the_protocol_is_said_in_chinese_to_people(memlm, trained, sample, options, sentence):
    found = memlm("score", trained, sample, *options, "--language", "zh")
    assert sentence in found.out
    assert "frozen" not in found.out


def test_the_protocol_is_said_in_english_too(memlm, trained, sample):
    assert ADAPTIVE in memlm("score", trained, sample, "--adapt").out


def test_a_window_is_refused_before_anything_is_done(memlm, trained, sample):
    found = memlm("score", trained, sample, "--adapt", "--window", "8", "--json")
    assert (found.code, found.error["code"]) == (2, "options_exclude")
    assert not _kept(trained).exists()


def test_how_fast_is_chosen_once_and_kept(memlm, trained, sample):
    first = memlm("score", trained, sample, "--adapt", "--json")
    assert "this is done once" in first.err
    assert json.loads((_kept(trained) / "adapt.json").read_text("utf-8"))["trials"]
    second = memlm("score", trained, sample, "--adapt", "--json")
    assert "this is done once" not in second.err
    assert second.json == first.json


def test_the_text_that_is_scored_has_no_say_in_how_fast(memlm, trained, sample, repeated):
    memlm("score", trained, sample, "--adapt")
    chosen = hash_file(_kept(trained) / "adapt.json")
    memlm("score", trained, repeated, "--adapt")
    assert hash_file(_kept(trained) / "adapt.json") == chosen


def test_the_models_files_stay_as_they_are(memlm, trained, sample):
    folder = trained / "models" / "lstm-1"
    before = {path.name: hash_file(path) for path in folder.iterdir() if path.is_file()}
    frozen = memlm("score", trained, sample, "--json").json
    assert memlm("score", trained, sample, "--adapt").code == 0
    after = {path.name: hash_file(path) for path in folder.iterdir() if path.is_file()}
    assert after == before
    assert memlm("score", trained, sample, "--json").json == frozen


def test_in_python_the_model_stays_as_it_is(trained, sample):
    model, text = load_model(trained), sample.read_text("utf-8")
    frozen = score_text(model, text)
    adaptive = score_text(model, text, adapt=True)
    assert adaptive.protocol == ADAPTIVE
    assert score_text(model, text) == frozen
    assert score_text(model, text, adapt=True) == adaptive


def test_a_rate_of_nothing_scores_as_the_frozen_model_to_the_bit(memlm, trained, sample):
    frozen = memlm("score", trained, sample, "--json").json
    memlm("score", trained, sample, "--adapt")
    _choose(trained, learning_rate=0.0)
    found = memlm("score", trained, sample, "--adapt", "--json").json
    assert found | {"protocol": frozen["protocol"]} == frozen


def test_reading_that_goes_astray_ends_with_what_to_do(memlm, trained, repeated):
    memlm("score", trained, repeated, "--adapt")
    _choose(trained, rule="sgd", learning_rate=1e39)
    found = memlm("score", trained, repeated, "--adapt", "--json")
    assert (found.code, found.error["code"]) == (5, "adapting_diverged")
    assert "--adapt" in found.error["hint"]


def test_what_was_chosen_for_other_weights_is_chosen_anew(memlm, trained, sample, fast):
    memlm("score", trained, sample, "--adapt")
    memlm("train", trained, *fast, "--name", "other", "--seed", "5")
    _kept(trained).rename(trained / "models" / "other" / "adapt")
    found = memlm("score", trained, sample, "--adapt", "--model", "other")
    assert "this is done once" in found.err


def test_a_changed_byte_of_what_was_chosen_is_said(memlm, trained, sample):
    memlm("score", trained, sample, "--adapt")
    path = _kept(trained) / "squares.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    found = memlm("score", trained, sample, "--adapt", "--json")
    assert (found.code, found.error["code"]) == (3, "artefact_changed")
    assert memlm("score", trained, sample).code == 0


def test_too_little_held_out_text_is_said(memlm, trained, sample, monkeypatch):
    monkeypatch.setattr(adapt_fit, "FEWEST_TOKENS", 10**6)
    found = memlm("score", trained, sample, "--adapt")
    assert found.code == 0
    assert "too little held-out text" in found.err


def test_without_the_tokens_of_its_training_a_model_learns_in_plain_steps(
    memlm, trained, sample, tmp_path
):
    (tmp_path / "later.txt").write_text("a later text\n" * 9, "utf-8")
    memlm("collect", trained, tmp_path / "later.txt")
    memlm("prepare", trained)
    found = memlm("score", trained, sample, "--adapt", "--json")
    assert found.code == 0
    assert "plain steps" in found.err
    assert not _kept(trained).exists()
