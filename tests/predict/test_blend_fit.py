"""The fit of a blend: exact gradients, and the way that predicts best is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.predict import fit as fit_room
from memlm.predict.blend import COUNTS, WEIGHTS, BlendedModel, gate_features
from memlm.predict.fit import fit_blend

pytest.importorskip("scipy")
V = 6


class Knows:
    """Predicts well after some tokens, and knows when: else it says that all are alike."""

    vocabulary_size = V

    def __init__(self, after: tuple[int, ...]) -> None:
        self._rows = np.full((V, V), 1 / V)
        for token in after:
            self._rows[token] = 0.02
            self._rows[token, (token + 1) % V] = 1 - 0.02 * (V - 1)

    def start(self, batch):
        return None

    def read(self, state, tokens):
        return np.log(self._rows[np.asarray(tokens)]).astype(np.float32), None

    def select(self, state, rows):
        return None


def text(size: int, seed: int) -> np.ndarray:
    """Return a text in which the next token is mostly the next number."""
    draw = np.random.default_rng(seed)
    found = [0]
    while len(found) < size:
        found.append((found[-1] + 1) % V if draw.random() < 0.85 else int(draw.integers(V)))
    return np.array(found)


def loss(model, stream) -> float:
    found, _ = model.read(model.start(1), stream[None, :-1])
    return float(-found[0, np.arange(len(stream) - 1), stream[1:]].mean())


def test_a_gate_learns_whom_to_believe_when():
    experts = {WEIGHTS: Knows((0, 1, 2)), COUNTS: Knows((3, 4, 5))}
    fitted = fit_blend(experts, [text(900, 1), text(900, 2)])
    stream = text(2000, 3)
    blended = loss(BlendedModel(fitted.blend, experts), stream)
    alone = [loss(expert, stream) for expert in experts.values()]
    assert blended < min(alone) - 0.3
    assert fitted.nats == min(fitted.nats_by_way.values())
    assert fitted.nats_by_way["gated"] < fitted.nats_by_way["linear"] - 0.1
    assert fitted.tokens == 1798


def test_an_expert_that_only_harms_gets_next_to_no_weight():
    wrong = Knows(())
    wrong._rows = np.roll(Knows(tuple(range(V)))._rows, 1, axis=1)
    experts = {WEIGHTS: Knows(tuple(range(V))), COUNTS: wrong}
    fitted = fit_blend(experts, [text(1500, 1)])
    stream = text(2000, 3)
    assert loss(BlendedModel(fitted.blend, experts), stream) < loss(experts[WEIGHTS], stream) + 0.01


def test_without_room_for_whole_vocabularies_the_other_ways_do(monkeypatch):
    monkeypatch.setattr(fit_room, "_MOST_VALUES", 10)
    experts = {WEIGHTS: Knows((0, 1, 2)), COUNTS: Knows((3, 4, 5))}
    assert "geometric" not in fit_blend(experts, [text(500, 1)]).nats_by_way


@pytest.mark.parametrize("name", ["_linear_loss", "_geometric_loss"])
def test_gradients_are_those_of_the_loss(name):
    draw = np.random.default_rng(0)
    num, width = 40, 9
    rows = [draw.normal(0, 1, (num, V)) for _ in range(2)]
    rows = [one - np.log(np.exp(one).sum(1, keepdims=True)) for one in rows]
    targets = draw.integers(0, V, num)
    told = fit_room._Told(
        draw.normal(0, 1, (num, width)),
        np.stack([one[np.arange(num), targets] for one in rows], axis=1),
        targets,
        rows,
    )
    gate = draw.normal(0, 0.5, (2, width))
    function = getattr(fit_room, name)
    _, slope = function(gate, told)
    for place in np.ndindex(gate.shape):
        step = np.zeros_like(gate)
        step[place] = 1e-6
        expected = (function(gate + step, told)[0] - function(gate - step, told)[0]) / 2e-6
        assert slope[place] == pytest.approx(expected, abs=1e-6)


def test_a_companion_joins_only_where_it_helps():
    class Beside:
        vocabulary_size = V

        def __init__(self, shift: int) -> None:
            self._shift = shift

        def start(self, batch):
            return None

        def read(self, state, tokens, hidden):
            return np.eye(V, dtype=np.float32)[(np.asarray(tokens) + self._shift) % V], None

        def select(self, state, rows):
            return None

    class Network(Knows):
        hidden_size = 1

        def read_hidden(self, state, tokens):
            found, after = self.read(state, tokens)
            return found, np.zeros((*np.asarray(tokens).shape, 1), np.float32), after

    experts = {WEIGHTS: Network((0, 1)), COUNTS: Knows((2,))}
    beside = {"right": Beside(1), "wrong": Beside(3)}
    fitted = fit_blend(experts, [text(6000, 1)], beside)
    assert fitted.blend.companions == ("right",)
    stream = text(2000, 3)
    with_one = loss(BlendedModel(fitted.blend, experts, beside), stream)
    assert len(fitted.blend.gate) == 3
    without = loss(BlendedModel(fit_blend(experts, [text(6000, 1)]).blend, experts), stream)
    assert with_one < without - 0.1


def test_a_part_of_what_was_told_is_what_a_gate_sees_that_knows_no_others():
    draw = np.random.default_rng(0)
    said = [np.log(draw.dirichlet(np.ones(V), 30)) for _ in range(3)]
    lately = draw.normal(0, 1, (30, 6))
    features = gate_features(said, lately)
    of_target = draw.normal(0, 1, (30, 3))
    told = fit_room._Told(features, of_target, np.zeros(30, int), said).of([0, 2])
    expected = gate_features([said[0], said[2]], lately[:, [0, 2, 3, 5]])
    assert np.array_equal(told.features, expected)
    assert np.array_equal(told.of_target, of_target[:, [0, 2]])
    assert told.rows[1] is said[2]
