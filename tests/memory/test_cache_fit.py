"""The fit of a cache: what it says a cache costs is what that cache costs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from memlm.memory.cache import Cache
from memlm.memory.cache_fit import fit_cache
from memlm.memory.worth import best_share

VOCABULARY = 30


def make_text(length: int, *, says: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a stream and hidden states that tell the next token as clearly as `says`.

    The network whose states they are knows no more than that all tokens are alike.
    """
    generator = np.random.default_rng(0)
    stream = generator.integers(0, VOCABULARY, length + 1)
    directions = generator.standard_normal((VOCABULARY, 16))
    hidden = says * directions[stream[1:]] + generator.standard_normal((length, 16))
    return stream, hidden.astype(np.float32), np.full(length, -math.log(VOCABULARY))


def test_fitted_cache_costs_what_the_fit_says():
    stream, hidden, log_probabilities = make_text(700, says=1.5)
    fit = fit_cache(stream, hidden, log_probabilities)
    cache = Cache(fit.config, vocabulary_size=VOCABULARY)
    found, _ = cache.read(cache.start(1), stream[None, :-1], hidden[None])
    memory = found[0, np.arange(700), stream[1:]]
    network = np.exp(log_probabilities)
    mixed = np.where(found[0].any(axis=1), (1 - fit.share) * network + fit.share * memory, network)
    assert -np.log(mixed).mean() == pytest.approx(fit.nats_per_token, abs=1e-6)
    assert fit.network_nats_per_token == pytest.approx(math.log(VOCABULARY))
    assert fit.nats_per_token < fit.network_nats_per_token - 1.0


def test_cache_of_states_that_say_nothing_gets_no_share():
    stream, hidden, log_probabilities = make_text(700, says=0.0)
    fit = fit_cache(stream, hidden, log_probabilities)
    assert fit.nats_per_token == pytest.approx(fit.network_nats_per_token, abs=0.02)


def test_clearer_states_are_weighed_more_sharply():
    blurred, clear = (fit_cache(*make_text(700, says=says)) for says in (0.7, 4.0))
    assert clear.config.theta > blurred.config.theta
    assert clear.nats_per_token < blurred.nats_per_token


def test_text_of_one_token_can_be_fitted():
    fit = fit_cache(np.array([0, 3]), np.ones((1, 4), np.float32), np.array([-2.0]))
    assert fit.nats_per_token == fit.network_nats_per_token == 2.0


def test_best_share_is_the_best_of_all_shares():
    generator = np.random.default_rng(0)
    network, memory = generator.uniform(0.05, 1.0, 500), generator.uniform(0.0, 1.0, 500) ** 2
    share, nats = best_share(network, memory)
    shares = np.linspace(0.0, 0.999, 1000)[:, None]
    costs = -np.log((1 - shares) * network + shares * memory).mean(axis=1)
    assert share == pytest.approx(shares[costs.argmin(), 0], abs=0.01)
    assert nats.mean() == pytest.approx(costs.min(), abs=1e-4)


def test_network_is_alone_where_the_memory_knows_nothing():
    network, memory = np.array([0.5, 0.25]), np.array([1.0, 0.0])
    share, nats = best_share(network, memory, np.array([True, False]))
    assert share > 0.9
    assert nats[1] == pytest.approx(math.log(4))
