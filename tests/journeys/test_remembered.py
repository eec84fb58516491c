"""A memory writes before any training, grows without it, and joins what was trained."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

import memlm
from memlm.errors import ConfigError
from memlm.storage import read_json
from memlm.workflow import blended_predictor
from memlm.workflow.remembering import memory_model

WORDS = ["the", "old", "cat", "sees", "a", "grey", "dog", "near", "some", "house", "and", "runs"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Return a file with enough words that a blend can be fitted on its held-out part."""
    draw = random.Random(3)
    lines = [" ".join(draw.choices(WORDS, k=8)) + "." for _ in range(2500)]
    (tmp_path / "long.txt").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "long.txt"


@pytest.fixture
def trained(memlm_command, tmp_path: Path, text: Path) -> Path:
    memlm_command(
        "train", tmp_path / "ws", text, "--steps", "40", "--hidden-width", "16", "--threads", "1",
        "--device", "cpu", "--embedding-width", "8", "--tokenizer", "char",
    )  # fmt: skip
    return tmp_path / "ws"


@pytest.fixture
def memlm_command(capfd):
    from memlm.cli.app import run

    def call(*words: object) -> dict:
        capfd.readouterr()
        assert run([*map(str, words), "--json"]) == 0
        return json.loads(capfd.readouterr().out)

    return call


def test_a_memory_writes_and_predicts_before_any_training(memlm_command, tmp_path, text):
    memlm_command("collect", tmp_path / "ws", text)
    written = memlm_command(
        "generate", tmp_path / "ws", "the old ", "--model", "memory", "--tokens", 40, "--seed", 1
    )
    assert written["model"] == "memory"
    assert written["tokens"] == 40
    assert any(word in written["text"] for word in WORDS)
    scored = memlm_command("score", tmp_path / "ws", text, "--model", "memory")
    assert scored["nats_per_character"] < 0.5 * scored["baseline_nats_per_character"]
    assert not (tmp_path / "ws" / "models").exists()


def test_training_fits_a_blend_that_scoring_and_info_use(memlm_command, tmp_path, trained):
    assert (trained / "models" / "lstm-1" / "blend.json").exists()
    (tmp_path / "new.txt").write_text("the grey cat runs near the old house. " * 5)
    scores = {
        options: memlm_command("score", trained, tmp_path / "new.txt", *options)
        for options in ((), ("--no-memory",), ("--memory", "counts"), ("--memory", "counts,cache"))
    }
    values = {key: one["nats_per_character"] for key, one in scores.items()}
    assert values[()] == values["--memory", "counts"]
    assert values[()] < values[("--no-memory",)] - 0.3
    assert values["--memory", "counts,cache"] < values[("--no-memory",)] - 0.3
    blend = memlm_command("info", trained)["models"][0]["blend"]
    assert blend["memories"] == ["counts"]
    assert blend["nats_per_token"] < blend["nats_per_token_alone"]


def test_without_memory_the_weights_answer_alone_to_the_bit(trained):
    model = memlm.load_model(trained)
    assert blended_predictor(model, memories=()) is model.predictor


def test_new_documents_are_remembered_without_training(memlm_command, tmp_path, trained):
    secret = "zebra quilts vex my jolly wizard"
    model = memlm.load_model(trained)
    before = memlm.score_text(model, secret, memories=("counts",))
    (tmp_path / "later.txt").write_text((secret + ". ") * 3, encoding="utf-8")
    memlm_command("collect", trained, tmp_path / "later.txt")
    after = memlm.score_text(model, secret, memories=("counts",))
    assert after.unknown == before.unknown > 0  # the model keeps its own vocabulary
    assert after.nats_per_character < before.nats_per_character - 0.5
    assert memlm.score_text(model, secret, memories=()) == memlm.score_text(
        memlm.load_model(trained), secret, memories=()
    )


def test_a_memory_forgets_what_is_erased(memlm_command, tmp_path, trained):
    (tmp_path / "later.txt").write_text("cats and dogs and cats and dogs again. " * 3)
    memlm_command("collect", trained, tmp_path / "later.txt")
    model = memlm.load_model(trained)
    asked = "cats and dogs and cats"
    known = memlm.score_text(model, asked, memories=("counts",)).nats_per_character
    with memlm.DocumentStore(trained / "documents.sqlite") as store:
        (erased,) = [one.id for one in store if one.source.endswith("later.txt")]
    memlm.erase_documents(trained, erased)
    model = memlm.load_model(trained)
    forgotten = memlm.score_text(model, asked, memories=("counts",)).nats_per_character
    assert forgotten > known + 0.2


def test_a_fit_never_asks_a_memory_that_has_read_the_held_out_text(trained, monkeypatch):
    asked = []
    from memlm.workflow import blending
    from memlm.workflow.remembering import CountsMemory

    plain = CountsMemory.model

    def model(self, **how):
        asked.append(how.get("splits"))
        return plain(self, **how)

    monkeypatch.setattr(CountsMemory, "model", model)
    (trained / "models" / "lstm-1" / "blend.json").unlink()
    loaded = memlm.load_model(trained)
    blending.ready_blend(loaded)
    assert asked
    assert set(asked) == {("train",)}
    kept = read_json(trained / "models" / "lstm-1" / "blend.json")
    assert np.isfinite(kept["blends"]["counts"]["nats"])


def test_whose_each_token_is_is_told_of_what_is_written(memlm_command, trained):
    written = memlm_command("generate", trained, "the ", "--tokens", 30, "--seed", 2, "--trace")
    assert written["shares"][0]["start"] == 0
    assert (
        "".join(written["text"][one["start"] : one["end"]] for one in written["shares"])
        == written["text"]
    )
    for one in written["shares"]:
        assert sum(one["shares"].values()) == pytest.approx(1, abs=1e-3)
        assert set(one["shares"]) == {"weights", "counts"}


def test_documents_that_came_and_went_leave_a_blend_as_it_was(memlm_command, tmp_path, trained):
    def score(*options: str) -> float:
        return memlm_command("score", trained, asked, *options)["nats_per_character"]

    asked, later = tmp_path / "asked.txt", tmp_path / "later.txt"
    asked.write_text("the old dog sees a cat near the house. " * 8, encoding="utf-8")
    before = score()
    later.write_text("Quite another thing, ñandú & zebra: 1234567890! " * 40, encoding="utf-8")
    memlm_command("collect", trained, later)
    score()
    with memlm.DocumentStore(trained / "documents.sqlite") as store:
        (gone,) = [one.id for one in store if one.source.endswith("later.txt")]
    memlm.erase_documents(trained, gone)
    assert score() == pytest.approx(before, abs=1e-6)
    # What was held out is still known, though the tokens are not those of the training.
    memlm_command("score", trained, asked, "--memory", "cache")
    kept = read_json(trained / "models" / "lstm-1" / "blend.json")["blends"]
    assert kept["cache"]["tokens"] > 1000


def test_a_score_names_what_predicted(memlm_command, trained, text):
    assert memlm_command("score", trained, text)["memories"] == ["counts"]
    assert memlm_command("score", trained, text, "--no-memory")["memories"] == []


def test_a_memory_has_no_hidden_states_beside_it(trained):
    model = memory_model(trained)
    with pytest.raises(ConfigError) as refused:
        memlm.score_text(model, "the cat", memories=["cache"])
    assert refused.value.code == "memory_beside_memory"
    memlm.score_text(model, "the cat", memories=["counts"])


def test_vectors_are_fitted_anew_where_states_are_compared_in_other_units(trained, text):
    from memlm.workflow import blending

    model, asked = memlm.load_model(trained), text.read_text("utf-8")[:500]
    path = trained / "models" / "lstm-1" / "blend.json"
    config = {"neighbours": 8, "temperature": 900.0, "enough": 4, "gate": [], "lists": 8}
    memlm.score_text(model, asked, memories=["counts", "vectors"])
    kept = read_json(path)
    codec = kept["blends"]["counts+vectors"]["codec"]
    assert codec
    kept["blends"]["counts+vectors"] |= {"vectors": config, "codec": "another", "tokens": -1}
    blending.write_json(path, kept)
    memlm.score_text(model, asked, memories=["counts", "vectors"])
    again = read_json(path)["blends"]["counts+vectors"]
    assert again["codec"] == codec
    assert again["tokens"] > 1000


def test_a_blend_that_was_fitted_is_used_where_nothing_could_be_fitted_now(trained, monkeypatch):
    from memlm.workflow import blending

    monkeypatch.setattr(blending, "find_spec", lambda name: None)  # no scipy
    assert memlm.score_text(memlm.load_model(trained), "the cat").memories == ("counts",)
