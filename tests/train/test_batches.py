"""The order of the text: each token at most once an epoch, and a function of (seed, step) only."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from memlm.train.batches import Batch, TokenStream

LENGTHS = [
    pytest.param([50, 7, 120, 1, 33, 89], id="documents of many lengths"),
    pytest.param([300], id="one document"),
    pytest.param([2] * 150, id="tiny documents"),
    pytest.param([1] * 300, id="documents of one token"),
]


@pytest.fixture
def make_stream(make_units):
    """Return what makes a stream in which each token is its own position."""

    def make(lengths: list[int], *, batch: int = 3, length: int = 8, seed: int = 0) -> TokenStream:
        tokens = np.arange(sum(lengths), dtype=np.uint16)
        units = make_units(*lengths)
        return TokenStream(tokens, units, batch_size=batch, sequence_length=length, seed=seed)

    return make


def _epoch(stream: TokenStream, epoch: int = 0) -> list[Batch]:
    first = epoch * stream.steps_per_epoch
    return [stream.batch(step) for step in range(first, first + stream.steps_per_epoch)]


def _bytes(batch: Batch) -> bytes:
    return batch.inputs.tobytes() + batch.targets.tobytes()


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_no_token_is_learned_twice_in_an_epoch(make_stream, lengths, epoch):
    seen = Counter(t for b in _epoch(make_stream(lengths), epoch) for t in b.targets.ravel())
    assert max(seen.values()) == 1


@pytest.mark.parametrize("lengths", LENGTHS)
def test_all_tokens_but_a_rest_of_each_lane_are_learned_in_an_epoch(make_stream, lengths):
    seen = {t for b in _epoch(make_stream(lengths)) for t in b.targets.ravel()}
    assert len(seen) > sum(lengths) - 3 * (8 + 1) - 3


@pytest.mark.parametrize("lengths", LENGTHS)
def test_every_token_is_learned_sooner_or_later(make_stream, lengths):
    stream = make_stream(lengths)
    seen = {t for epoch in range(12) for b in _epoch(stream, epoch) for t in b.targets.ravel()}
    assert seen == set(range(sum(lengths)))


@pytest.mark.parametrize("lengths", LENGTHS)
def test_targets_are_the_inputs_one_token_on(make_stream, lengths):
    batch = make_stream(lengths).batch(0)
    assert np.array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])


@pytest.mark.parametrize("lengths", LENGTHS)
def test_the_next_step_goes_on_where_each_lane_stopped(make_stream, lengths):
    first, second = _epoch(make_stream(lengths))[:2]
    assert np.array_equal(first.targets[:, -1], second.inputs[:, 0])


def test_the_tokens_of_a_document_stay_in_their_order(make_stream):
    for batch in _epoch(make_stream([100, 100, 100])):
        jumps = batch.targets != batch.inputs + 1
        assert (batch.inputs[jumps] % 100 == 99).all()  # only at the end of a document
        assert (batch.targets[jumps] % 100 == 0).all()  # to the beginning of another


def test_the_order_does_not_depend_on_what_was_asked_before(make_stream):
    lengths = [40, 25, 61, 9]
    in_order, stream = make_stream(lengths), make_stream(lengths)
    expected = {step: _bytes(in_order.batch(step)) for step in range(40)}
    steps = np.random.default_rng(0).permutation(40).tolist()
    assert {step: _bytes(stream.batch(step)) for step in steps} == expected


def test_another_seed_gives_another_order(make_stream):
    first, second = (make_stream([40, 25, 61, 9], seed=seed) for seed in (1, 2))
    assert _bytes(first.batch(0)) != _bytes(second.batch(0))


def test_every_epoch_has_an_order_of_its_own(make_stream):
    stream = make_stream([40, 25, 61, 9])
    assert _bytes(stream.batch(0)) != _bytes(stream.batch(stream.steps_per_epoch))


def test_only_the_first_step_of_an_epoch_starts_it(make_stream):
    stream = make_stream([200])
    found = [stream.batch(step).begins_anew for step in range(2 * stream.steps_per_epoch)]
    one = [True] + [False] * (stream.steps_per_epoch - 1)
    assert found == one * 2


def test_two_tokens_are_enough(make_stream):
    batch = make_stream([2], batch=1, length=64).batch(7)
    assert sorted([*batch.inputs.ravel(), *batch.targets.ravel()]) == [0, 1]


def test_only_the_tokens_of_the_units_given_are_read(make_units):
    units = make_units(10, 90, 10)[[0, 2]]
    stream = TokenStream(np.arange(110), units, batch_size=2, sequence_length=4, seed=0)
    seen = {t for step in range(60) for t in stream.batch(step).inputs.ravel()}
    assert seen == {*range(10), *range(100, 110)}
