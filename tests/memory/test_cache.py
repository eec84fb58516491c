"""The cache: the formula itself, token by token and in blocks, and never ahead of the text."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.memory.cache import Cache, CacheConfig

VOCABULARY, WIDTH = 9, 5


def make_text(length: int, *, seed: int = 0, batch: int = 1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    hidden = generator.standard_normal((batch, length, WIDTH)).astype(np.float32)
    return generator.integers(0, VOCABULARY, (batch, length)), hidden


def by_the_formula(tokens: np.ndarray, hidden: np.ndarray, config: CacheConfig) -> np.ndarray:
    """Return the probabilities (T, V) for one text, one sum at a time."""
    states = hidden / np.linalg.norm(hidden, axis=1, keepdims=True)
    found = np.zeros((len(tokens), VOCABULARY))
    for now in range(len(tokens)):
        for pair in range(max(0, now - config.window), now):
            found[now, tokens[pair + 1]] += np.exp(config.theta * states[now] @ states[pair])
        if now:
            found[now] /= found[now].sum()
    return found


@pytest.mark.parametrize("window", [1, 7, 1000])
def test_block_is_the_formula(window):
    config = CacheConfig(theta=4.0, window=window)
    tokens, hidden = make_text(40)
    cache = Cache(config, vocabulary_size=VOCABULARY)
    found, _ = cache.read(cache.start(1), tokens, hidden)
    np.testing.assert_allclose(found[0], by_the_formula(tokens[0], hidden[0], config), atol=1e-6)


@pytest.mark.parametrize(
    "sizes", [[1200], [3, 600, 1, 1, 595], [1] * 30], ids=["one", "mixed", "1"]
)
def test_any_cut_into_blocks_gives_the_formula(sizes):
    config = CacheConfig(theta=8.0, window=50)
    tokens, hidden = make_text(sum(sizes))
    cache = Cache(config, vocabulary_size=VOCABULARY)
    state, found, start = cache.start(1), [], 0
    for size in sizes:
        block = slice(start, start + size)
        part, state = cache.read(state, tokens[:, block], hidden[:, block])
        found.append(part[0])
        start += size
    expected = by_the_formula(tokens[0], hidden[0], config)
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-6)


def test_token_is_not_remembered_before_it_was_predicted():
    """A token that never came before has no probability at all, or it was peeked at."""
    generator = np.random.default_rng(1)
    tokens = generator.permutation(300)[None]
    hidden = np.ones((1, 300, WIDTH), dtype=np.float32)  # as alike as states can be
    cache = Cache(CacheConfig(theta=1.0, window=1000), vocabulary_size=300)
    found, _ = cache.read(cache.start(1), tokens, hidden)
    assert not found[0, np.arange(299), tokens[0, 1:]].any()


@pytest.mark.parametrize("place", [0, 1, 17, 39])
def test_what_comes_later_changes_nothing(place):
    tokens, hidden = make_text(40)
    others, other_hidden = make_text(40, seed=9)
    others[:, : place + 1], other_hidden[:, : place + 1] = (
        tokens[:, : place + 1],
        hidden[:, : place + 1],
    )
    cache = Cache(CacheConfig(), vocabulary_size=VOCABULARY)
    one, _ = cache.read(cache.start(1), tokens, hidden)
    other, _ = cache.read(cache.start(1), others, other_hidden)
    np.testing.assert_allclose(one[0, : place + 1], other[0, : place + 1], atol=1e-6)


def test_first_token_has_nothing_to_go_by():
    tokens, hidden = make_text(3)
    cache = Cache(CacheConfig(), vocabulary_size=VOCABULARY)
    found, _ = cache.advance(cache.start(1), tokens[:, 0], hidden[:, 0])
    assert not found.any()


@pytest.mark.parametrize("theta", [0.0, 5.0, 5e4], ids=["flat", "ordinary", "extreme"])
def test_every_other_row_sums_to_one(theta):
    tokens, hidden = make_text(500, batch=2)
    cache = Cache(CacheConfig(theta=theta, window=64), vocabulary_size=VOCABULARY)
    found, _ = cache.read(cache.start(2), tokens, hidden)
    assert np.abs(found[:, 1:].astype(np.float64).sum(axis=2) - 1).max() < 1e-5


def test_hidden_states_of_zero_length_are_like_any_other():
    tokens, hidden = make_text(5)
    hidden[:, 2] = 0.0
    cache = Cache(CacheConfig(), vocabulary_size=VOCABULARY)
    found, _ = cache.read(cache.start(1), tokens, hidden)
    assert np.abs(found[0, 1:].sum(axis=1) - 1).max() < 1e-5


def test_branches_from_one_state_do_not_see_each_other():
    """Two beams go on from one state with different tokens: what each has read is its own."""
    tokens, hidden = make_text(30)
    cache = Cache(CacheConfig(window=20), vocabulary_size=VOCABULARY)
    _, state = cache.read(cache.start(1), tokens, hidden)
    both = cache.select(state, np.array([0, 0]))
    endings = [make_text(6, seed=seed) for seed in (1, 2)]
    found = []
    for place in range(6):
        now = np.array([ending[0][0, place] for ending in endings])
        states = np.stack([ending[1][0, place] for ending in endings])
        part, both = cache.advance(both, now, states)
        found.append(part)
    for beam, (more, more_hidden) in enumerate(endings):
        whole = np.concatenate([tokens[0], more[0]]), np.concatenate([hidden[0], more_hidden[0]])
        expected = by_the_formula(*whole, cache.config)[30:]
        np.testing.assert_allclose(np.stack(found)[:, beam], expected, atol=1e-6)


def test_memory_is_bounded_and_not_copied_for_each_token():
    tokens, hidden = make_text(3000)
    cache = Cache(CacheConfig(window=100), vocabulary_size=VOCABULARY)
    state, storages = cache.start(1), []
    for place in range(3000):
        _, state = cache.advance(state, tokens[:, place], hidden[:, place])
        if state[0].storage not in storages:
            storages.append(state[0].storage)
    assert max(len(storage.values) for storage in storages[1:] if storage) <= 400
    assert len(storages) < 3000 / 50
