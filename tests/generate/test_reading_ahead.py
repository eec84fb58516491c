"""Reading ahead changes nothing but the time: each step says what the model says."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.generate.dice import Dice, first_to_arrive
from memlm.generate.reading_ahead import ReadingAhead
from memlm.memory.counts import CountsModel
from memlm.memory.smoothing import plain_smoothing
from memlm.models import describe_network
from memlm.models.network import build_network
from memlm.models.stepping import SteppingModel

V = 6


class Laid:
    """One stretch of tokens with its sorted suffixes, as a memory counts it."""

    def __init__(self, stretch):
        laid = [*(token + 1 for token in stretch), 0]
        self.symbols = np.array(laid, dtype=np.uint8)
        self.suffixes = np.array(sorted(range(len(laid)), key=lambda at: laid[at:]))


def memory_of(tokens, orders=(0, 1, 2, 3, 5, 8)):
    """Return a memory that has read the tokens and trusts what it knows."""
    smoothing = plain_smoothing(orders)
    return CountsModel([Laid(tokens)], smoothing, vocabulary_size=V)


class Counting:
    """A bigram model that counts its calls, and carries what it has read, to be checked."""

    def __init__(self, draw):
        table = draw.dirichlet(np.full(V, 0.3), V)
        self.table = np.log(table + 1e-9).astype(np.float32)
        self.vocabulary_size, self.calls = V, 0

    def start(self, batch):
        return ((),) * batch

    def read(self, state, tokens):
        self.calls += 1
        after = tuple((*s, *row) for s, row in zip(state, np.asarray(tokens).tolist(), strict=True))
        return self.table[tokens], after

    def advance(self, state, tokens):
        found, after = self.read(state, np.asarray(tokens)[:, None])
        return found[:, 0], after

    def select(self, state, rows):
        return tuple(state[row] for row in rows)

    hidden_size = 1

    def read_hidden(self, state, tokens):
        found, after = self.read(state, tokens)
        return found, np.zeros((*np.shape(tokens), 1), dtype=np.float32), after

    def advance_hidden(self, state, tokens):
        found, hidden, after = self.read_hidden(state, np.asarray(tokens)[:, None])
        return found[:, 0], hidden[:, 0], after

    def hidden_states(self, state, tokens):
        _, hidden, after = self.read_hidden(state, tokens)
        return hidden, after

    def rewound(self, state, tokens):
        return tuple(row[: len(row) - tokens] for row in state)


@pytest.fixture
def draw():
    return np.random.default_rng(5)


def written(model, dice, steps):
    """Return a text that is drawn from a model token by token."""
    state, token, text = model.start(1), 0, []
    for _ in range(steps):
        found, state = model.advance(state, np.array([token]))
        shares = np.exp(found.astype(np.float64))
        token = int(first_to_arrive(np.log(shares), dice.throw(1, V))[0])
        text.append(token)
    return text


def ahead_of(model, corpus, dice=None):
    return ReadingAhead(model, memory_of(corpus), dice or Dice(0), temperature=1.0)


def test_with_the_same_seed_the_text_is_the_same_and_takes_fewer_calls(draw):
    plain = Counting(draw)
    corpus = written(plain, Dice(1), 3000)
    expected = written(plain, Dice(2), 2000)
    dice, before = Dice(2), plain.calls
    model = ahead_of(plain, corpus, dice)
    assert written(model, dice, 2000) == expected
    assert plain.calls - before == model.reads < 0.6 * model.steps


def test_a_text_that_is_remembered_is_written_in_blocks(draw):
    plain = Counting(draw)
    corpus = draw.integers(0, V, 500).tolist()
    model = ahead_of(plain, corpus)
    state = model.start(1)
    for token in corpus:
        found, state = model.advance(state, np.array([token]))
        assert np.array_equal(found[0], plain.table[token])
    assert model.reads < len(corpus) / 2


def test_drawn_tokens_are_distributed_as_the_model_says(draw):
    plain = Counting(draw)
    corpus = written(plain, Dice(1), 3000)
    dice = Dice(9)
    text = np.array([0, *written(ahead_of(plain, corpus, dice), dice, 100_000)])
    counts = np.zeros((V, V))
    np.add.at(counts, (text[:-1], text[1:]), 1)
    expected = np.exp(plain.table.astype(np.float64)) * counts.sum(axis=1, keepdims=True)
    judged = expected >= 5  # as the chi-square distribution needs
    square = ((counts - expected)[judged] ** 2 / expected[judged]).sum()
    freedom = judged.sum() - V
    assert abs(square - freedom) < 4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("kind", ["transformer", "transformer+attention"])
def test_a_network_says_step_by_step_what_it_says_alone(draw, kind):
    config = describe_network(kind, vocabulary_size=V, embedding_width=8, hidden_width=8, layers=2)
    weights = {name: one.numpy() for name, one in build_network(config, seed=3).weights().items()}
    network = SteppingModel(config, weights)
    corpus = draw.integers(0, V, 400).tolist()
    model = ahead_of(network, corpus)
    text = [*corpus[50:90], *draw.integers(0, V, 20).tolist(), *corpus[200:260]]
    alone, ahead = network.start(1), model.start(1)
    for token in text:
        expected, hidden, alone = network.advance_hidden(alone, np.array([token]))
        found, shown, ahead = model.advance_hidden(ahead, np.array([token]))
        assert np.allclose(found, expected, atol=1e-5)
        assert np.allclose(shown, hidden, atol=1e-5)
    assert model.reads < 0.7 * model.steps


def test_a_compiled_network_says_to_the_last_bit_what_it_says_alone(draw):
    config = describe_network(
        "transformer", vocabulary_size=V, embedding_width=8, hidden_width=32, layers=2
    )
    weights = {name: one.numpy() for name, one in build_network(config, seed=3).weights().items()}
    network = SteppingModel(config, weights)
    corpus = draw.integers(0, V, 400).tolist()
    model = ahead_of(network, corpus)
    model.expect(1 << 20)
    text = [*corpus[50:190], *draw.integers(0, V, 20).tolist(), *corpus[200:260]] * 2
    alone, ahead = network.start(1), model.start(1)
    for token in text:
        expected, alone = network.advance(alone, np.array([token]))
        found, ahead = model.advance(ahead, np.array([token]))
        assert np.array_equal(found, expected)
    assert model.reads < 0.7 * model.steps


def test_no_state_is_changed_and_rows_can_be_taken_at_any_time(draw):
    plain = Counting(draw)
    corpus = draw.integers(0, V, 400).tolist()
    model = ahead_of(plain, corpus)
    state, states = model.start(1), []
    for token in corpus[20:60]:
        states.append(state)
        _, state = model.advance(state, np.array([token]))
    for number, (earlier, token) in enumerate(zip(states, corpus[20:60], strict=True)):
        found, _ = model.advance(earlier, np.array([5 - token]))
        assert np.array_equal(found[0], plain.table[5 - token])
        rows = model.select(earlier, np.array([0, 0, 0]))
        assert rows == (tuple(corpus[20 : 20 + number]),) * 3
        _, three = model.advance(rows, np.array([1, 2, 3]))
        one = model.select(three, np.array([1]))
        _, after = model.read(one, np.array([[4]]))
        assert after == ((*corpus[20 : 20 + number], 2, 4),)


def test_several_texts_side_by_side_are_the_models_own(draw):
    plain = Counting(draw)
    model = ahead_of(plain, [1, 2, 3, 4])
    found, state = model.read(model.start(2), np.array([[1, 2, 3], [3, 2, 1]]))
    assert found.shape == (2, 3, V)
    _, state = model.advance(state, np.array([4, 0]))
    assert state == ((1, 2, 3, 4), (3, 2, 1, 0))


def test_a_memory_whose_guesses_fail_is_asked_for_fewer(draw):
    plain, stubborn = Counting(draw), Counting(draw)
    stubborn.table = np.log(np.full((V, V), 1e-6) + np.eye(V)[3]).astype(np.float32)
    plain.table = np.log(np.full((V, V), 1e-6) + np.eye(V)[4]).astype(np.float32)
    dice = Dice(1)
    model = ReadingAhead(plain, stubborn, dice, temperature=1.0)
    state, widths = model.start(1), []
    for _ in range(100):
        dice.throw(1, V)
        _, state = model.advance(state, draw.choice([0, 1, 2, 4, 5], 1))
        widths.append(len(state.ahead.kinds) if state.ahead else 0)
    assert widths[0] == 11
    assert widths[-1] == 0
    assert model.reads == model.steps


def test_every_state_of_a_network_stays_good_whichever_way_goes_on_from_it(draw):
    config = describe_network(
        "transformer", vocabulary_size=V, embedding_width=8, hidden_width=8, layers=2
    )
    weights = {name: one.numpy() for name, one in build_network(config, seed=3).weights().items()}
    network = SteppingModel(config, weights)
    corpus = draw.integers(0, V, 400).tolist()
    model = ahead_of(network, corpus)
    state, states = model.start(1), []
    for token in corpus[20:60]:
        states.append(state)
        _, state = model.advance(state, np.array([token]))
    for number in draw.permutation(len(states)).tolist():
        token = int(draw.integers(0, V))
        found, _ = model.advance(states[number], np.array([token]))
        read = np.array([[*corpus[20 : 20 + number], token]])
        expected, _ = network.read(network.start(1), read)
        np.testing.assert_allclose(found, expected[:, -1], atol=1e-5)


def test_what_the_text_repeats_is_guessed_though_the_memory_does_not_know_it(draw):
    plain = Counting(draw)
    verse = draw.integers(0, V, 40).tolist()
    model = ahead_of(plain, [0, 1, 2])
    state = model.start(1)
    for number, token in enumerate(verse * 8):
        if number == 2 * len(verse):
            model.steps = model.reads = 0
        found, state = model.advance(state, np.array([token]))
        assert np.array_equal(found[0], plain.table[token])
    assert model.reads < model.steps / 5
