"""The card of an exported model says what is known, in both languages, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memlm.models import describe_network
from memlm.workflow.model_card import CardFacts, Recited, model_card

FACTS = CardFacts(
    name="letters",
    network=describe_network(
        "gru",
        vocabulary_size=1234,
        embedding_width=8,
        hidden_width=16,
        layers=2,
        label_tokens=(2, 3, 4),
    ),
    layout="memlm",
    tokenizer="char",
    results={
        "steps": 1500,
        "held_out_nats_per_character": 1.23456,
        "held_out_bits_per_byte": 1.7,
        "train_nats_per_character": None,
    },
    origin={"model": "gru-1", "documents": 1111},
    documents=4321,
    characters=98765,
    languages=("en", "zh"),
    recited=Recited(samples=8, characters=1600, recited=0.125, recombined=0.5, new=0.375),
)


def test_every_figure_stands_in_both_sections() -> None:
    head, english, chinese = model_card(FACTS).split("\n## ")
    for section in (english, chinese):
        for figure in (
            "1,234",
            "1,111",
            "gru-1",
            "4,321",
            "98,765",
            "1,500",
            "1.235",
            "1.700",
            "en, zh",
            "12.5%",
        ):
            assert figure in section
        assert "memlm.register_transformers()" in section
    assert english.startswith("English")
    assert chinese.startswith("中文")
    assert "language:\n- en\n- zh\n" in head
    assert "license:" not in head


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"origin": None}, "Began with"),
        ({"origin": {"model": "theirs"}}, "1,111"),
        ({"documents": None}, "Documents learned from"),
        ({"characters": None}, "Characters of all documents"),
        ({"languages": ()}, "language:"),
        ({"recited": None}, "12.5%"),
        ({"results": {}}, "Loss on held-out text"),
        ({"layout": "qwen3"}, "register_transformers"),
    ],
    ids=[
        "origin",
        "documents of it",
        "documents",
        "characters",
        "languages",
        "recited",
        "losses",
        "own layout",
    ],
)
def test_what_is_not_known_is_not_said(changes: dict[str, object], missing: str) -> None:
    assert missing in model_card(FACTS)
    assert missing not in model_card(replace(FACTS, **changes))  # type: ignore[arg-type]


def test_card_says_that_reciting_was_not_measured() -> None:
    assert "was not measured" in model_card(replace(FACTS, recited=None))
