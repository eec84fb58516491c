"""The figures of `score` against sums that are worked out by hand or by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memlm.errors import ConfigError, InputError
from memlm.predict import score, score_text
from memlm.prepare.tokenizer import ByteTokenizer
from memlm.prepare.vocabulary import learn_tokenizer

_FIXTURES = [HealthCheck.function_scoped_fixture]  # they hold no state
LONG = "abc fed 明月 gah bad cab had a bee 月明 " * 4


def test_the_score_is_the_sum_of_the_conditional_losses(table_model, ab):
    found = score_text(table_model, ab, "abba")
    nats = -sum(math.log(p) for p in (0.4, 0.6, 0.1, 0.5))
    assert found.nats_per_character == pytest.approx(nats / 4, rel=1e-6)
    assert found.bits_per_byte == pytest.approx(nats / 4 / math.log(2), rel=1e-6)
    assert found.perplexity_per_token == pytest.approx(math.exp(nats / 4), rel=1e-6)
    assert (found.tokens, found.characters, found.bytes, found.unknown) == (4, 4, 4, 0)


def test_the_baseline_is_every_symbol_equally_likely(table_model, ab):
    found = score_text(table_model, ab, "abba")
    assert found.baseline_nats_per_character == pytest.approx(math.log(4))


@pytest.mark.parametrize(
    ("symbol", "num_bytes"), [("x", 1), ("é", 2), ("明", 3), ("😀", 4)], ids=["1", "2", "3", "4"]
)
def test_an_unknown_symbol_costs_its_probability_and_eight_bits_a_byte(
    table_model, ab, symbol, num_bytes
):
    found = score_text(table_model, ab, f"a{symbol}b")
    nats = -sum(math.log(p) for p in (0.4, 0.1, 0.25)) + num_bytes * 8 * math.log(2)
    assert found.nats_per_character == pytest.approx(nats / 3, rel=1e-6)
    assert found.bits_per_byte == pytest.approx(nats / math.log(2) / (2 + num_bytes), rel=1e-6)
    assert (found.unknown, found.unknown_bytes) == (1, num_bytes)


def test_the_baseline_pays_for_unknown_symbols_too(table_model, ab):
    found = score_text(table_model, ab, "ax")
    assert found.baseline_nats_per_character == pytest.approx(
        (2 * math.log(4) + 8 * math.log(2)) / 2
    )


def test_every_unknown_symbol_is_charged_by_itself(table_model, ab):
    once, twice = (score_text(table_model, ab, text) for text in ("ax", "axx"))
    extra = twice.nats_per_character * 3 - once.nats_per_character * 2
    assert extra == pytest.approx(-math.log(0.25) + 8 * math.log(2), rel=1e-6)


@pytest.fixture
def uniform(table_model):
    """Return what makes a model that finds everything equally likely."""

    def make(tokenizer):
        size = tokenizer.vocabulary_size
        return type(table_model)(np.full((size, size), 1 / size))

    return make


def test_an_unknown_word_is_charged_without_the_space_behind_it(uniform):
    tokenizer = learn_tokenizer("whitespace", ["the cat"], size=None, labels=[])
    found = score_text(uniform(tokenizer), tokenizer, "the zebra cat")
    assert (found.unknown, found.unknown_bytes) == (1, 5)


def test_bytes_are_never_unknown(uniform):
    tokenizer = ByteTokenizer(labels=[], name="byte")
    found = score_text(uniform(tokenizer), tokenizer, "é明😀")
    assert (found.tokens, found.bytes, found.characters, found.unknown) == (9, 9, 3, 0)
    assert found.bits_per_byte == pytest.approx(math.log2(257), rel=1e-6)


def test_the_state_is_carried_through_the_whole_text(network_model, letters):
    ids = letters.encode(LONG).ids.astype(np.int64)
    stream = np.concatenate([[letters.end], ids])
    rows, _ = network_model.read(network_model.start(1), stream[None, :-1])
    nats = -rows[0][np.arange(len(ids)), ids].astype(np.float64).sum()
    found = score_text(network_model, letters, LONG)
    assert found.nats_per_character == pytest.approx(nats / len(LONG), rel=1e-6)
    assert found.protocol == "frozen, long context"


def _window_by_brute_force(model, tokenizer, text: str, window: int) -> float:
    """Predict every token by itself from its own context: the definition, one token at a time."""
    ids = tokenizer.encode(text).ids.astype(np.int64)
    stream, half = np.concatenate([[tokenizer.end], ids]), window // 2
    nats, start = 0.0, 0
    for place in range(len(ids)):  # stream[place + 1] is predicted
        if place - start >= window:  # the window is full: on by all but its last half
            start += window - half
        context = stream[None, start : place + 1]
        found, _ = model.read(model.start(1), context)
        nats -= float(found[0, -1, stream[place + 1]])
    return nats / len(text)


@pytest.mark.parametrize("window", [2, 3, 7, 8, 33, 1000])
@pytest.mark.parametrize("length", [1, 2, 8, 9, 60])
def test_windows_predict_each_token_once_from_half_a_window_or_more(
    network_model, letters, window, length
):
    text = LONG[:length]
    found = score_text(network_model, letters, text, window=window)
    expected = _window_by_brute_force(network_model, letters, text, window)
    assert found.nats_per_character == pytest.approx(expected, rel=1e-5)
    assert found.tokens == length
    assert found.protocol == f"frozen, window {window}"


def test_a_window_as_long_as_the_text_equals_the_long_context(network_model, letters):
    windowed = score_text(network_model, letters, LONG, window=10_000)
    assert windowed.nats_per_character == pytest.approx(
        score_text(network_model, letters, LONG).nats_per_character, rel=1e-6
    )


@pytest.mark.parametrize("block", [1, 3, 50])
def test_the_block_size_does_not_change_the_score(network_model, letters, monkeypatch, block):
    expected = score_text(network_model, letters, LONG).nats_per_character
    monkeypatch.setattr(score, "_LONGEST_BLOCK", block)
    found = score_text(network_model, letters, LONG).nats_per_character
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_the_number_of_windows_read_at_once_does_not_change_the_score(
    network_model, letters, monkeypatch, at_once
):
    expected = score_text(network_model, letters, LONG, window=10).nats_per_character
    monkeypatch.setattr(score, "_WINDOWS_AT_ONCE", at_once)
    found = score_text(network_model, letters, LONG, window=10).nats_per_character
    assert found == pytest.approx(expected, rel=1e-6)


def test_what_is_held_at_once_is_bounded(network_model, letters, monkeypatch):
    shapes = []
    plain = type(network_model).read

    def read(model, state, tokens):
        shapes.append(tokens.shape)
        return plain(model, state, tokens)

    monkeypatch.setattr(type(network_model), "read", read)
    monkeypatch.setattr(score, "_LARGEST_BLOCK_VALUES", 40 * letters.vocabulary_size)
    score_text(network_model, letters, LONG)
    score_text(network_model, letters, LONG, window=10)
    assert max(rows * width for rows, width in shapes) <= 40


@given(text=st.text(alphabet="abxé明", min_size=1, max_size=80))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_interval_contains_the_value(table_model, ab, text):
    found = score_text(table_model, ab, text)
    assert found.low <= found.nats_per_character <= found.high


def test_a_text_of_one_token_has_an_interval_without_ends(table_model, ab):
    found = score_text(table_model, ab, "a")
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_a_longer_text_has_a_narrower_interval(network_model, letters):
    short, long = (score_text(network_model, letters, text) for text in (LONG[:60], LONG * 20))
    assert long.high - long.low < short.high - short.low


def test_the_interval_of_equal_losses_is_a_point(uniform, ab):
    found = score_text(uniform(ab), ab, "ab" * 40)
    assert found.high - found.low < 1e-6


def test_the_same_text_scores_the_same(network_model, letters):
    assert score_text(network_model, letters, LONG) == score_text(network_model, letters, LONG)


def test_an_empty_text_is_refused(table_model, ab):
    with pytest.raises(InputError):
        score_text(table_model, ab, "")


def test_a_text_of_which_a_tokenizer_leaves_nothing_is_refused(uniform):
    tokenizer = learn_tokenizer("whitespace", ["the cat"], size=None, labels=[])
    with pytest.raises(InputError):
        score_text(uniform(tokenizer), tokenizer, "   ")


@pytest.mark.parametrize("window", [1, 0, -5])
def test_a_window_without_room_for_a_context_is_refused(table_model, ab, window):
    with pytest.raises(ConfigError, match="--window"):
        score_text(table_model, ab, "ab", window=window)


@pytest.mark.parametrize("window", [None, 2, 40, 400, 1_000_000])
def test_a_text_is_read_in_blocks_of_bounded_size(network_model, letters, monkeypatch, window):
    expected = score_text(network_model, letters, LONG, window=window).nats_per_character
    monkeypatch.setattr("memlm.predict.score._LARGEST_BLOCK_VALUES", 500)
    values = []
    read = type(network_model).read

    def measure(model, state, tokens):
        values.append(tokens.size * model.vocabulary_size)
        return read(model, state, tokens)

    monkeypatch.setattr(type(network_model), "read", measure)
    found = score_text(network_model, letters, LONG, window=window).nats_per_character
    assert max(values) <= 500
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_window_is_never_wider_than_the_text(network_model, letters, monkeypatch):
    widths = []
    read = type(network_model).read

    def measure(model, state, tokens):
        widths.append(tokens.shape[1])
        return read(model, state, tokens)

    monkeypatch.setattr(type(network_model), "read", measure)
    score_text(network_model, letters, "abc", window=1_000_000)
    assert widths == [3]


def test_a_window_and_a_model_that_learns_exclude_each_other(table_model, ab):
    with pytest.raises(ConfigError, match=r"--window and --adapt"):
        score_text(table_model, ab, "ab", window=4, is_adaptive=True)


def test_the_protocol_says_that_a_model_learns(table_model, ab):
    found = score_text(table_model, ab, "ab", is_adaptive=True)
    assert found.protocol == "adaptive, score first, then learn"


@pytest.mark.parametrize("window", [None, 10])
def test_progress_counts_every_token_once(network_model, letters, monkeypatch, window):
    monkeypatch.setattr(score, "_LONGEST_BLOCK", 30)
    heard = []
    score_text(network_model, letters, LONG, window=window, progress=lambda *now: heard.append(now))
    assert heard == sorted(set(heard))
    assert heard[-1] == (len(LONG), len(LONG))
