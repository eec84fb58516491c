"""Labels are asked how likely they are, a few at a time."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.generate import answer
from memlm.generate.answer import encode_question, label_scores
from memlm.models.config import describe_network
from memlm.models.network import build_network
from memlm.models.network_model import NetworkModel
from memlm.prepare.vocabulary import learn_tokenizer
from memlm.tasks import MARK

LABELS = ["a", "bad", "good one", "no", "dab"]


def test_a_label_costs_the_same_however_many_are_asked_at_once(monkeypatch):
    tokenizer = learn_tokenizer("char", ["abdegno ", MARK], size=None, labels=[])
    config = describe_network(
        "transformer",
        vocabulary_size=tokenizer.vocabulary_size,
        embedding_width=8,
        hidden_width=8,
        layers=2,
        heads=2,
        window=16,
    )
    model = NetworkModel(build_network(config, seed=1))
    ids = encode_question(tokenizer, "a good bag")
    read = np.concatenate([[tokenizer.end], ids])
    expected = []
    for label in LABELS:  # plainly, one after the other
        own = [*tokenizer.encode(label).ids.tolist(), tokenizer.end]
        found, _ = model.read(model.start(1), np.concatenate([read, own[:-1]])[None])
        rows = np.arange(len(read) - 1, len(read) - 1 + len(own))
        expected.append(found[0, rows, own].sum())
    for at_once in (2, 64):
        monkeypatch.setattr(answer, "_LABELS_AT_ONCE", at_once)
        scores = label_scores(model, tokenizer, ids, LABELS)
        assert scores == pytest.approx(expected, abs=1e-4)
