"""What `train` says before it starts: which network and why, and what to expect."""

from __future__ import annotations

import json
import random

import pytest

WORDS = ["the", "old", "cat", "sees", "a", "dog", "near", "some", "house", "and", "follows"]


def longer(fast):
    """Return the options with steps enough for a forecast."""
    return ["80" if word == "8" and before == "--steps" else word
            for before, word in zip(("", *fast), fast, strict=False)]  # fmt: skip


@pytest.fixture
def long_text(tmp_path):
    draw = random.Random(3)
    path = tmp_path / "long.txt"
    path.write_text(" ".join(draw.choices(WORDS, k=9_000)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("language", "network", "forecast"),
    [("en", "Network: ", "Expect about "), ("zh", "网络：", "预计本次训练")],
)
def test_a_training_says_why_this_network_and_what_to_expect(
    memlm, fast, tmp_path, long_text, language, network, forecast
):
    found = memlm(
        "train", tmp_path / "ws", long_text, *longer(fast), "--tokenizer", "char",
        "--language", language,
    )  # fmt: skip
    assert found.code == 0
    assert network in found.err
    assert forecast in found.err
    name = next((tmp_path / "ws" / "models").iterdir()).name
    run = json.loads((tmp_path / "ws" / "models" / name / "run.json").read_text("utf-8"))
    assert name.removesuffix("-1") == run["plan"]["network"]["kind"]


def test_what_was_chosen_by_a_person_is_not_explained_and_short_text_not_forecast(
    memlm, fast, trained
):
    found = memlm("train", trained, *fast, "--network", "gru", "--name", "mine", "--language", "en")
    assert found.code == 0
    assert "Network: " not in found.err
    assert "Expect about" not in found.err


def test_a_resumed_training_is_not_forecast_again(memlm, fast, tmp_path, long_text, monkeypatch):
    begin = (
        "train",
        tmp_path / "ws",
        long_text,
        *longer(fast),
        "--tokenizer",
        "char",
        "--name",
        "mine",
    )
    stop_after = iter([False, False, False, True])
    with monkeypatch.context() as patch:
        said = property(lambda watch: "SIGTERM" if next(stop_after, True) else None)
        patch.setattr("memlm.runtime.SignalWatch.name", said)
        assert memlm(*begin).code == 143
    found = memlm("train", tmp_path / "ws", "--resume", "--language", "en")
    assert found.code == 0
    assert "Going on from step" in found.err
    assert "Expect about" not in found.err
