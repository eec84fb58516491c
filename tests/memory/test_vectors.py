"""Nearest neighbours: equal to asking every state, with fewer searches; and worth it or off."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from memlm.memory.vector_codec import learn_codec
from memlm.memory.vector_fit import fit_vectors
from memlm.memory.vector_store import VectorStore, VectorStretch, new_vectors
from memlm.memory.vectors import VectorConfig, Vectors

VOCABULARY, WIDTH, ALL = 25, 10, 1 << 20
DIRECTIONS = np.random.default_rng(42).standard_normal((VOCABULARY, WIDTH))


def make_text(length: int, *, seed: int, says: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens (n,), and the states before them, which tell them as clearly as `says`."""
    generator = np.random.default_rng(seed)
    tokens = generator.integers(0, VOCABULARY, length)
    hidden = says * DIRECTIONS[tokens] + generator.standard_normal((length, WIDTH))
    return tokens, hidden.astype(np.float32)


def make_store(folder: Path, *, says: float = 1.0, lists: int = 1) -> VectorStore:
    documents = []
    for seed in range(4):
        tokens, hidden = make_text(500, seed=seed, says=says)
        documents.append(VectorStretch(f"d{seed}", tokens, hidden))
    sample = np.concatenate([document.hidden for document in documents])
    store = new_vectors(folder, learn_codec(sample, rows=1000 * lists), weights_hash="00")
    store.add(documents)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> VectorStore:
    return make_store(tmp_path_factory.mktemp("vectors") / "one", lists=30)


def by_asking_all(store: VectorStore, hidden: np.ndarray, config: VectorConfig) -> np.ndarray:
    """Return the distribution (V,) for one state, from the distance to every state there is."""
    query = store.codec.reduce(hidden).astype(np.float64)
    (segment,) = store.segments
    codes = np.concatenate([one.codes for one in segment.coded()]).astype(np.float64)
    distances = ((codes - query) ** 2).sum(axis=1)
    nearest = np.argsort(distances, kind="stable")[: config.neighbours]
    weights = np.exp(-(distances[nearest] - distances.min()) / config.temperature)
    found = np.bincount(segment.values[nearest], weights, minlength=VOCABULARY)
    return found / found.sum()


@pytest.mark.parametrize("neighbours", [1, 20, 5000])
def test_neighbours_are_those_of_asking_every_state(store, neighbours):
    config = VectorConfig(neighbours=neighbours, temperature=900.0, lists=ALL)
    tokens, hidden = make_text(60, seed=9)
    vectors = Vectors(store, config, vocabulary_size=VOCABULARY)
    found, _ = vectors.read(vectors.start(1), tokens[None], hidden[None])
    expected = [by_asking_all(store, state, config) for state in hidden]
    np.testing.assert_allclose(found[0], expected, atol=2e-3)


def test_few_of_the_lists_hold_nearly_all_of_the_neighbours(store):
    _, hidden = make_text(100, seed=9)
    some, every = (
        Vectors(store, VectorConfig(neighbours=10, lists=lists), vocabulary_size=VOCABULARY)
        for lists in (12, ALL)
    )
    assert len(store.codec.centres) == 30
    found = [
        len(np.intersect1d(some.nearest(query, rows)[0], every.nearest(query, rows)[0]))
        for query in store.codec.reduce(hidden)
        for rows in [np.empty(0, np.int64)]
    ]
    assert np.mean(found) > 9


def test_text_that_is_remembered_is_followed_without_a_search(store, monkeypatch):
    tokens, hidden = make_text(500, seed=2)  # document d2
    config = VectorConfig(neighbours=8, enough=1)
    vectors = Vectors(store, config, vocabulary_size=VOCABULARY)
    _, state = vectors.advance(vectors.start(1), np.array([0]), hidden[:1])
    monkeypatch.setattr(store, "search", None)  # from here on nothing may be searched
    found, _ = vectors.read(state, tokens[None, :300], hidden[None, 1:301])
    assert found[0, np.arange(300), tokens[1:301]].mean() > 0.9


def test_hits_that_foretold_another_token_are_not_followed(store):
    tokens, hidden = make_text(500, seed=2)
    vectors = Vectors(store, VectorConfig(neighbours=8), vocabulary_size=VOCABULARY)
    hits, _ = vectors.step(np.empty(0, np.int64), 0, store.codec.reduce(hidden[0]))
    gated = VectorConfig(neighbours=8, gate=(*[0.0] * WIDTH, -1.0))  # never asks
    follower = Vectors(store, gated, vocabulary_size=VOCABULARY)
    kept, weights = follower.step(hits, int(tokens[0]), store.codec.reduce(hidden[1]))
    assert not len(weights)
    assert set(store.values(kept - 1)) == {tokens[0]}
    assert set(kept - 1) <= set(hits)


def test_gate_leaves_rows_without_probability(store):
    tokens, hidden = make_text(200, seed=9)
    line = np.random.default_rng(0).standard_normal(WIDTH)
    level = -float(np.median(store.codec.reduce(hidden) @ line))
    config = VectorConfig(gate=(*line, level), lists=ALL)
    vectors = Vectors(store, config, vocabulary_size=VOCABULARY)
    found, _ = vectors.read(vectors.start(1), tokens[None], hidden[None])
    is_asked = store.codec.reduce(hidden) @ line + level > 0
    sums = found[0].sum(axis=1)
    np.testing.assert_allclose(sums, is_asked, atol=1e-5)


def test_scored_document_does_not_find_itself(store):
    tokens, hidden = (part[:300] for part in make_text(500, seed=1))  # document d1
    config = VectorConfig(neighbours=3, temperature=1.0, lists=ALL)
    found = []
    for excluded in ((), ("d1",)):
        vectors = Vectors(store, config, vocabulary_size=VOCABULARY, excluded=excluded)
        hits = [hit for state in hidden for hit in vectors.lookup(state)]
        found.append(sum(hit.document_id == "d1" for hit in hits))
        read, _ = vectors.read(vectors.start(1), tokens[None], hidden[None])
        found.append(read[0, np.arange(300), tokens].mean())
    with_itself, sure, without_itself, guessed = found
    assert with_itself >= 300
    assert sure > 0.95
    assert without_itself == 0
    assert guessed < 0.8


def test_lookup_names_document_position_and_token(store):
    tokens, hidden = make_text(500, seed=3)
    vectors = Vectors(store, VectorConfig(neighbours=5), vocabulary_size=VOCABULARY)
    hits = vectors.lookup(hidden[77])
    assert (hits[0].document_id, hits[0].position, hits[0].token) == ("d3", 77, tokens[77])
    assert sum(hit.weight for hit in hits) == pytest.approx(1.0, abs=1e-5)
    assert [hit.weight for hit in hits] == sorted((hit.weight for hit in hits), reverse=True)


def test_empty_memory_knows_nothing(tmp_path):
    sample = make_text(100, seed=0)[1]
    store = new_vectors(tmp_path / "empty", learn_codec(sample, rows=0), weights_hash="00")
    vectors = Vectors(store, VectorConfig(), vocabulary_size=VOCABULARY)
    tokens, hidden = make_text(10, seed=1)
    found, _ = vectors.read(vectors.start(1), tokens[None], hidden[None])
    assert not found.any()
    assert vectors.lookup(hidden[0]) == []
    fit = fit_vectors(store, tokens, hidden[1:], np.full(9, -1.0))
    assert fit.share == 0.0


# -- the fit ------------------------------------------------------------------------------------


def held_out(*, says: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a stream, the states after all of it but the last, and what a dull network gave."""
    tokens, hidden = make_text(600, seed=11, says=says)
    return np.concatenate([[0], tokens]), hidden, np.full(600, -math.log(VOCABULARY))


def test_memory_that_pays_gets_a_share_and_costs_what_the_fit_says(store):
    stream, hidden, log_probabilities = held_out(says=1.0)
    fit = fit_vectors(store, stream, hidden, log_probabilities)
    vectors = Vectors(store, fit.config, vocabulary_size=VOCABULARY)
    found, _ = vectors.read(vectors.start(1), stream[None, :-1], hidden[None])
    memory, network = found[0, np.arange(600), stream[1:]], np.exp(log_probabilities)
    knows = found[0].any(axis=1)
    mixed = np.where(knows, (1 - fit.share) * network + fit.share * memory, network)
    assert -np.log(mixed).mean() == pytest.approx(fit.nats_per_token, abs=1e-4)
    assert fit.nats_per_token < fit.network_nats_per_token - 0.3
    assert fit.asked == pytest.approx(knows.mean())


def test_memory_that_does_not_pay_gets_no_share(tmp_path):
    dull = make_store(tmp_path / "dull", says=0.0)
    fit = fit_vectors(dull, *held_out(says=0.0))
    assert fit.share == 0.0
    assert fit.nats_per_token == fit.network_nats_per_token
