"""A model that reads ahead writes what it writes alone, and only one that gains by it does."""

from __future__ import annotations

import random

import pytest

import memlm
from memlm import GenerateConfig, TrainConfig
from memlm.generate.dice import Dice
from memlm.generate.reading_ahead import ReadingAhead
from memlm.predict.blend import BlendedModel
from memlm.workflow.blending import blended_predictor
from memlm.workflow.listener import Listener
from memlm.workflow.models import writing_model
from memlm.workflow.reading_ahead import reading_ahead


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Return a workspace with a transformer, a recurrent network and their memory."""
    folder, draw = tmp_path_factory.mktemp("ahead"), random.Random(3)
    words = ["the cat", "a dog", "the moon", "sees", "follows", "and", "tonight.\n"]
    text = " ".join(draw.choice(words) for _ in range(4000))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    for kind in ("transformer", "lstm"):
        config = TrainConfig(
            network=kind, steps=60, embedding_width=32, hidden_width=32, layers=1, name=kind
        )
        sources = [folder / "text.txt"] if kind == "transformer" else []
        memlm.train_model(folder / "ws", *sources, config=config)
    return folder / "ws"


def asked(workspace, name, config, memories=()):
    model = writing_model(memlm.load_model(workspace, name))
    predictor = blended_predictor(model, memories=memories)
    return reading_ahead(predictor, model, config, Dice(1), Listener())


@pytest.mark.parametrize("memories", [(), ("counts",), ("counts", "cache")])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_the_text_stays_the_same(workspace, memories, temperature):
    model = memlm.load_model(workspace, "transformer")
    written = [
        memlm.generate_text(
            model,
            "the cat ",
            config=GenerateConfig(
                seed=4, tokens=150, temperature=temperature, read_ahead=choice, ignore_end=True
            ),
            memories=memories,
        )[0]
        for choice in ("on", "off")
    ]
    assert written[0].text == written[1].text
    assert len(written[0].text) == 150


def test_who_gains_by_it_reads_ahead(workspace, monkeypatch):
    wished = GenerateConfig(read_ahead="on")
    assert isinstance(asked(workspace, "transformer", wished), ReadingAhead)
    blended = asked(workspace, "transformer", wished, ("counts",))
    assert isinstance(blended, BlendedModel)
    assert any(isinstance(part, ReadingAhead) for part in blended._parts)


@pytest.mark.parametrize("has_loops", [True, False])
def test_by_default_who_has_compiled_loops_reads_ahead(workspace, monkeypatch, has_loops):
    asked(workspace, "transformer", GenerateConfig(read_ahead="on"))  # makes the memory
    monkeypatch.setattr("memlm.workflow.reading_ahead._FEWEST_PARAMETERS", 1)
    monkeypatch.setattr(
        "memlm.models.stepping.SteppingModel.will_have_loops", lambda model, steps: has_loops
    )
    found = asked(workspace, "transformer", GenerateConfig())
    assert isinstance(found, ReadingAhead) == has_loops


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("lstm", GenerateConfig(read_ahead="on")),
        ("transformer", GenerateConfig(read_ahead="off")),
        ("transformer", GenerateConfig()),  # small as it is
        ("transformer", GenerateConfig(tokens=10)),
        ("transformer", GenerateConfig(samples=2)),
        ("transformer", GenerateConfig(beams=2)),
    ],
)
def test_who_would_not_gain_by_it_does_not(workspace, name, config):
    assert not isinstance(asked(workspace, name, config), ReadingAhead)


def test_another_choice_is_no_choice():
    with pytest.raises(memlm.MemlmError, match="--read-ahead"):
        GenerateConfig(read_ahead="perhaps").check()
