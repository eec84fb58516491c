"""Blends: normalised, never ahead of the text; with weight 0 the others might not be there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from memlm.predict.blend import (
    COUNTS,
    WEIGHTS,
    Blend,
    BlendedModel,
    combine,
    fixed_blend,
    num_features,
)
from memlm.runtime import KeptLoops

V, D = 7, 3


@dataclass(frozen=True)
class Made:
    """Says something of each token that depends on the two before it, like a small network."""

    seed: int

    @property
    def vocabulary_size(self) -> int:
        return V

    @property
    def hidden_size(self) -> int:
        return D

    def start(self, batch: int) -> tuple[tuple[int, int], ...]:
        return ((0, 0),) * batch

    def read_hidden(self, state, tokens):
        told, hidden, after = [], [], []
        for (one, other), line in zip(state, np.asarray(tokens).tolist(), strict=True):
            rows = []
            for token in line:
                one, other = other, token
                draw = np.random.default_rng([self.seed, one, other])
                scores = draw.normal(0, 2, V + D)
                rows.append(scores)
            found = np.array(rows, dtype=np.float32)
            told.append(found[:, :V] - np.log(np.exp(found[:, :V]).sum(-1, keepdims=True)))
            hidden.append(found[:, V:])
            after.append((one, other))
        return np.stack(told), np.stack(hidden), tuple(after)

    def read(self, state, tokens):
        told, _, after = self.read_hidden(state, tokens)
        return told, after

    def advance(self, state, tokens):
        told, after = self.read(state, np.asarray(tokens)[:, None])
        return told[:, 0], after

    def advance_hidden(self, state, tokens):
        told, hidden, after = self.read_hidden(state, np.asarray(tokens)[:, None])
        return told[:, 0], hidden[:, 0], after

    def select(self, state, rows):
        return tuple(state[int(row)] for row in rows)


class Beside:
    """A companion that knows the token that was read last, from the second on."""

    vocabulary_size = V

    def start(self, batch):
        return (0,) * batch

    def read(self, state, tokens, hidden):
        assert hidden.shape == (*tokens.shape, D)
        found = np.eye(V, dtype=np.float32)[tokens]
        for row, read in enumerate(state):
            found[row, : max(0, 2 - read)] = 0
        return found, tuple(read + tokens.shape[1] for read in state)

    def select(self, state, rows):
        return tuple(state[int(row)] for row in rows)


EXPERTS = {WEIGHTS: Made(1), COUNTS: Made(2)}


def wild(method: str, *, companions: bool = False, seed: int = 0) -> BlendedModel:
    draw = np.random.default_rng(seed)
    count = 3 if companions else 2
    blend = Blend(
        experts=(WEIGHTS, COUNTS),
        method=method,
        gate=tuple(map(tuple, draw.normal(0, 1, (count, num_features(count))))),
        companions=("cache",) if companions else (),
    )
    assert Blend.from_json(blend.to_json()) == blend
    return BlendedModel(blend, EXPERTS, {"cache": Beside()})


KINDS = [
    pytest.param("linear", False, id="linear"),
    pytest.param("geometric", False, id="geometric"),
    pytest.param("linear", True, id="linear and a companion"),
    pytest.param("geometric", True, id="geometric and a companion"),
]


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def tokens() -> np.ndarray:
    return np.random.default_rng(4).integers(0, V, (2, 40))


@pytest.mark.parametrize(("method", "companions"), KINDS)
def test_every_distribution_sums_to_one(draw, method, companions):
    for seed in range(20):
        model = wild(method, companions=companions, seed=seed)
        found, _ = model.read(model.start(50), draw.integers(0, V, (50, 100)))
        assert found.dtype == np.float32
        assert np.abs(np.exp(found.astype(float)).sum(-1) - 1).max() < 1e-5


@pytest.mark.parametrize(("method", "companions"), KINDS)
def test_reading_at_once_in_blocks_and_step_by_step_say_the_same(
    tokens, monkeypatch, method, companions
):
    model = wild(method, companions=companions)
    whole, _ = model.read(model.start(2), tokens)
    monkeypatch.setattr("memlm.predict.blend._MOST_VALUES", 2 * V * 7)
    blocks, _ = model.read(model.start(2), tokens)
    assert np.allclose(whole, blocks, atol=1e-6)
    state = model.start(2)
    for place in range(tokens.shape[1]):
        found, state = model.advance(state, tokens[:, place])
        assert np.allclose(found, whole[:, place], atol=1e-6)


@pytest.mark.parametrize(("method", "companions"), KINDS)
def test_no_prediction_knows_what_comes_after_it(tokens, method, companions):
    model = wild(method, companions=companions)
    other = np.concatenate([tokens[:, :20], (tokens[:, 20:] + 1) % V], axis=1)
    one, two = (model.read(model.start(2), text)[0] for text in (tokens, other))
    assert np.array_equal(one[:, :20], two[:, :20])
    assert not np.array_equal(one[:, 20:], two[:, 20:])


def test_no_weight_leaves_the_network_as_it_is_to_the_bit(tokens):
    model = BlendedModel(fixed_blend({WEIGHTS: 1.0, COUNTS: 0.0}), EXPERTS)
    expected, state = EXPERTS[WEIGHTS].read(EXPERTS[WEIGHTS].start(2), tokens)
    found, after = model.read(model.start(2), tokens)
    assert np.array_equal(found, expected)
    step, _ = model.advance(after, tokens[:, 0])
    assert np.array_equal(step, EXPERTS[WEIGHTS].advance(state, tokens[:, 0])[0])


def test_a_plain_mixture_is_the_mean_of_probabilities(tokens):
    model = BlendedModel(fixed_blend({WEIGHTS: 0.25, COUNTS: 0.75}), EXPERTS)
    found, _ = model.read(model.start(2), tokens)
    one, two = (np.exp(part.read(part.start(2), tokens)[0]) for part in EXPERTS.values())
    assert np.allclose(np.exp(found), 0.25 * one + 0.75 * two, atol=1e-6)


def probabilities(expert, tokens) -> np.ndarray:
    return np.exp(expert.read(expert.start(2), tokens)[0].astype(float))


@pytest.mark.parametrize("method", ["linear", "geometric"])
def test_a_companion_that_knows_nothing_says_what_the_network_says(tokens, method):
    model = wild(method, companions=True)
    twice = Blend(experts=(WEIGHTS, COUNTS, "again"), method=method, gate=model.blend.gate)
    same = BlendedModel(twice, EXPERTS | {"again": EXPERTS[WEIGHTS]})
    first = [one.read(one.start(2), tokens[:, :2])[0] for one in (model, same)]
    assert np.allclose(first[0], first[1], atol=1e-6)


def test_a_companion_is_heard_together_with_the_network(tokens):
    gate = np.zeros((3, num_features(3)))
    gate[:, 0] = np.log([0.5, 0.2, 0.3])
    blend = Blend(
        experts=(WEIGHTS, COUNTS), method="linear", gate=tuple(map(tuple, gate)),
        companions=("cache",),
    )  # fmt: skip
    model = BlendedModel(blend, EXPERTS, {"cache": Beside()})
    network, counts = (probabilities(one, tokens) for one in EXPERTS.values())
    cache = 0.95 * np.eye(V)[tokens] + 0.05 * network
    cache[:, :2] = network[:, :2]  # it knows nothing yet
    assert np.allclose(
        probabilities(model, tokens), 0.5 * network + 0.2 * counts + 0.3 * cache, atol=1e-6
    )
    shares = model.shares(tokens[0])
    assert np.all(shares["cache"][:2] == 0)
    at, wanted = np.arange(2, tokens.shape[1] - 1), tokens[0, 3:]
    own = 0.3 * 0.95 * (tokens[0, 2:-1] == wanted)
    whole = (0.5 * network + 0.2 * counts + 0.3 * cache)[0, at, wanted]
    assert np.allclose(shares["cache"][2:], own / whole, atol=1e-6)


@pytest.mark.parametrize(("method", "companions"), KINDS)
def test_shares_of_each_token_sum_to_one(tokens, method, companions):
    model = wild(method, companions=companions)
    shares = model.shares(tokens[0])
    assert list(shares) == [WEIGHTS, COUNTS, *(["cache"] if companions else [])]
    assert np.allclose(sum(shares.values()), 1)
    assert all(len(part) == tokens.shape[1] - 1 for part in shares.values())


def test_shares_from_a_state_on_are_those_of_the_whole_text(tokens):
    model = wild("linear", companions=True)
    whole, place = model.shares(tokens[0]), 7
    _, state = model.read(model.start(1), tokens[:1, :place])
    rest = model.shares(tokens[0][place:], state)
    for name, part in rest.items():
        assert np.allclose(part, whole[name][place:], atol=1e-6)


def test_shares_of_a_plain_mixture_are_parts_of_the_probability(tokens):
    model = BlendedModel(fixed_blend({WEIGHTS: 0.5, COUNTS: 0.5}), EXPERTS)
    shares = model.shares(tokens[0])
    one, two = (np.exp(part.read(part.start(1), tokens[:1])[0])[0] for part in EXPERTS.values())
    rows, wanted = np.arange(tokens.shape[1] - 1), tokens[0, 1:]
    expected = one[rows, wanted] / (one[rows, wanted] + two[rows, wanted])
    assert np.allclose(shares[WEIGHTS], expected, atol=1e-6)


def test_rows_are_selected_with_all_that_belongs_to_them(tokens):
    model = wild("geometric", companions=True)
    _, state = model.read(model.start(2), tokens)
    swapped, _ = model.advance(model.select(state, np.array([1, 0, 1])), np.array([3, 3, 3]))
    straight, _ = model.advance(state, np.array([3, 3]))
    assert np.allclose(swapped, straight[[1, 0, 1]], atol=1e-6)


@pytest.mark.parametrize("rows", [1, 3], ids=["one text", "three texts"])
@pytest.mark.parametrize(("method", "companions"), KINDS)
def test_compiled_steps_say_what_steps_in_numpy_say(draw, monkeypatch, method, companions, rows):
    loops = pytest.importorskip("memlm.predict.kernels")
    tokens = draw.integers(0, V, (rows, 40))
    told = []
    for here in (None, loops):
        monkeypatch.setattr(KeptLoops, "take", lambda self, here=here: here)
        model = wild(method, companions=companions)
        state, steps = model.start(rows), []
        for place in range(tokens.shape[1]):
            found, state = model.advance(state, tokens[:, place])
            assert found.dtype == np.float32
            steps.append(found)
        told.append(np.stack(steps))
    assert np.allclose(*told, atol=1e-6)


def test_no_weight_leaves_the_network_as_it_is_in_a_compiled_step(monkeypatch, tokens):
    loops = pytest.importorskip("memlm.predict.kernels")
    monkeypatch.setattr(KeptLoops, "take", lambda self: loops)
    model = BlendedModel(fixed_blend({WEIGHTS: 1.0, COUNTS: 0.0}), EXPERTS)
    _, state = model.advance(model.start(2), tokens[:, 0])
    step, _ = model.advance(state, tokens[:, 1])
    expected, _ = EXPERTS[WEIGHTS].read(EXPERTS[WEIGHTS].start(2), tokens[:, :2])
    assert np.array_equal(step, expected[:, 1])


@pytest.mark.parametrize("is_compiled", [False, True], ids=["numpy", "compiled"])
def test_what_nobody_thinks_possible_stays_impossible(is_compiled):
    said = np.full((1, V), -np.inf, dtype=np.float32)
    said[0, 2] = 0.0
    weights = np.array([[0.4, 0.6]])
    found = np.empty((1, V), dtype=np.float32)
    if is_compiled:
        pytest.importorskip("memlm.predict.kernels").add((said, said), 0, weights[0], found[0])
    else:
        found[:] = combine([said, said], weights, "linear")
    assert np.isneginf(np.delete(found[0], 2)).all()
    assert found[0, 2] == pytest.approx(0.0, abs=1e-6)


def test_the_loop_is_compiled_once_that_has_become_worth_it(monkeypatch, tokens):
    asked = []
    monkeypatch.setattr("memlm.predict.blend._WORTH_LOADING", 3)
    monkeypatch.setattr("memlm.predict.blend._WORTH_COMPILING", 5)
    monkeypatch.setattr(KeptLoops, "take", lambda self: asked.append(place))
    model = wild("linear")
    state = model.start(2)
    for place in range(10):
        _, state = model.advance(state, tokens[:, place])
    assert asked == [0, 3, 5]


def test_who_expects_many_steps_has_the_loops_at_once(monkeypatch, tokens):
    asked = []
    monkeypatch.setattr(KeptLoops, "take", lambda self: asked.append(self._steps))
    model = wild("linear")
    model.expect(1 << 13)
    model.advance(model.start(2), tokens[:, 0])
    assert asked == [1 << 13]
