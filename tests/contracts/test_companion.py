"""What every `Companion` promises, on every implementation that the package holds.

A class with the verbs of the protocol is found by listing the package; one that nobody tells this
file how to make fails it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import memlm
from memlm.language_model import Companion
from memlm.memory.cache import Cache, CacheConfig
from memlm.memory.vector_codec import learn_codec
from memlm.memory.vector_store import VectorStretch, new_vectors
from memlm.memory.vectors import VectorConfig, Vectors

VERBS = ("start", "read", "advance", "select", "vocabulary_size")
VOCABULARY, WIDTH = 40, 6


def _cache(window: int) -> Callable[[Path], Companion]:
    return lambda folder: Cache(CacheConfig(window=window), vocabulary_size=VOCABULARY)


def _vectors(**config: object) -> Callable[[Path], Companion]:
    def make(folder: Path) -> Companion:
        tokens, hidden = make_texts(400, seed=77)
        codec = learn_codec(hidden[0], rows=12_000)
        store = new_vectors(folder / "vectors", codec, weights_hash="00")
        store.add(VectorStretch(str(n), tokens[n], hidden[n]) for n in range(2))
        return Vectors(store, VectorConfig(**config), vocabulary_size=VOCABULARY)

    return make


MAKERS: dict[str, dict[str, Callable[[Path], Companion]]] = {
    "Cache": {"cache": _cache(50), "short cache": _cache(1)},
    "Vectors": {
        "vectors": _vectors(neighbours=20, temperature=500.0, lists=2),
        "vectors that follow": _vectors(neighbours=60, temperature=500.0, enough=2, lists=3),
        "vectors with a gate": _vectors(neighbours=20, gate=(1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 3.0)),
    },
}


@pytest.fixture(
    params=[
        pytest.param(make, id=name) for makers in MAKERS.values() for name, make in makers.items()
    ]
)
def companion(request, tmp_path) -> Iterator[Companion]:
    return request.param(tmp_path)


def make_texts(length: int, *, batch: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    tokens = generator.integers(0, VOCABULARY, (batch, length))
    return tokens, generator.standard_normal((batch, length, WIDTH)).astype(np.float32)


def test_every_companion_in_the_package_is_tested_here():
    found = set()
    for info in pkgutil.walk_packages(memlm.__path__, "memlm."):
        if info.name == "memlm.__main__":
            continue
        for name, value in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
            if not all(hasattr(value, verb) for verb in VERBS):
                continue
            if "hidden" in inspect.signature(value.read).parameters:
                found.add(name)
    assert found - {"Companion"} == set(MAKERS)


@pytest.mark.parametrize("seed", range(20))
def test_every_row_sums_to_one_or_is_nothing(companion, seed):
    tokens, hidden = make_texts(60, seed=seed)
    found, _ = companion.read(companion.start(2), tokens, hidden * np.float32(10.0 ** (seed - 10)))
    assert (found.shape, found.dtype) == ((2, 60, VOCABULARY), np.float32)
    assert found.min() >= 0
    sums = found.astype(np.float64).sum(axis=2)
    assert (np.minimum(np.abs(sums - 1), np.abs(sums)) < 1e-5).all()


def test_advancing_token_by_token_equals_reading(companion):
    tokens, hidden = make_texts(120)
    expected, _ = companion.read(companion.start(2), tokens, hidden)
    state = companion.start(2)
    for place in range(tokens.shape[1]):
        found, state = companion.advance(state, tokens[:, place], hidden[:, place])
        np.testing.assert_allclose(found, expected[:, place], atol=1e-6)


def test_reading_in_pieces_equals_reading_at_once(companion):
    tokens, hidden = make_texts(90)
    expected, _ = companion.read(companion.start(2), tokens, hidden)
    first, state = companion.read(companion.start(2), tokens[:, :31], hidden[:, :31])
    second, _ = companion.read(state, tokens[:, 31:], hidden[:, 31:])
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), expected, atol=1e-6)


@pytest.mark.parametrize("verb", ["read", "advance", "select"])
def test_no_verb_changes_the_state_that_it_is_given(companion, verb):
    tokens, hidden = make_texts(30)
    _, state = companion.read(companion.start(2), tokens, hidden)
    more, more_hidden = make_texts(8, seed=1)
    expected, _ = companion.read(state, more, more_hidden)
    if verb == "select":
        chosen = companion.select(state, np.array([1, 0]))
        companion.read(chosen, *make_texts(8, seed=2))
    elif verb == "read":
        companion.read(state, *make_texts(8, seed=2))
    else:
        others, other_hidden = make_texts(1, seed=2)
        companion.advance(state, others[:, 0], other_hidden[:, 0])
    found, _ = companion.read(state, more, more_hidden)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("rows", [[1, 0], [1, 1, 0], [0], [1]], ids=str)
def test_selecting_takes_rows_in_the_order_named(companion, rows):
    tokens, hidden = make_texts(30)
    _, state = companion.read(companion.start(2), tokens, hidden)
    more, more_hidden = make_texts(4, batch=len(rows), seed=1)
    found, _ = companion.read(companion.select(state, np.array(rows)), more, more_hidden)
    _, direct = companion.read(companion.start(len(rows)), tokens[rows], hidden[rows])
    expected, _ = companion.read(direct, more, more_hidden)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_texts_side_by_side_do_not_see_each_other(companion):
    tokens, hidden = make_texts(40)
    expected, _ = companion.read(companion.start(1), tokens[:1], hidden[:1])
    found, _ = companion.read(companion.start(2), tokens, hidden)
    np.testing.assert_allclose(found[:1], expected, atol=1e-6)


def test_no_row_depends_on_the_tokens_after_it(companion):
    tokens, hidden = make_texts(40)
    others, other_hidden = make_texts(40, seed=5)
    others[:, :21], other_hidden[:, :21] = tokens[:, :21], hidden[:, :21]
    found, _ = companion.read(companion.start(2), tokens, hidden)
    changed, _ = companion.read(companion.start(2), others, other_hidden)
    np.testing.assert_allclose(found[:, :21], changed[:, :21], atol=1e-6)
