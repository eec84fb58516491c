"""The order of the text: each token at most once an epoch, and a function of (seed, step) only."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from memlm.train.batches import Batch, TokenStream
from memlm.train.schedule import Phase

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


def test_every_token_comes_with_the_label_of_its_document(make_units):
    lengths, labels = [3000, 40, 1500, 7], np.array([2, 0, 1, 3])
    stream = TokenStream(
        np.arange(sum(lengths)), make_units(*lengths), batch_size=5, sequence_length=16, seed=0,
        labels=labels,
    )  # fmt: skip
    of_token = np.repeat(labels, lengths)
    for batch in _epoch(stream):
        assert np.array_equal(batch.labels, of_token[batch.inputs])


def test_without_labels_no_label_is_told(make_stream):
    assert make_stream([200]).batch(0).labels is None


# -- phases -------------------------------------------------------------------------------------


def _phases(*sizes: tuple[int, int, int | None]) -> tuple[Phase, ...]:
    """Return phases of (steps, batch size, sequence length)."""
    return tuple(
        Phase(share=1 / len(sizes), steps=steps, batch_size=batch, sequence_length=length)
        for steps, batch, length in sizes
    )


SIZES = [
    pytest.param(_phases((3, 2, 8), (5, 5, 8), (None, 5, 20)), id="wider, then longer"),
    pytest.param(_phases((4, 3, 4), (None, 3, 8)), id="longer only"),
    pytest.param(_phases((7, 6, 8), (2, 2, 8), (None, 4, 8)), id="narrower, then wider"),
    pytest.param(_phases((90, 3, 8), (None, 7, 8)), id="after several epochs"),
    pytest.param(_phases((1, 1, 1), (1, 2, 1), (1, 3, 1), (None, 4, 1)), id="every step another"),
]


def _first_epoch(stream: TokenStream, phases: tuple[Phase, ...]) -> list[Batch]:
    """Return the batches up to where the first epoch ends: where a token is read again."""
    found: list[Batch] = []
    seen: set[int] = set()
    for step in range(1000):
        batch = stream.batch(step, phases)
        inputs = set(batch.inputs.ravel().tolist())
        if inputs & seen:
            return found
        seen |= inputs
        found.append(batch)
    raise AssertionError("it never comes to an end")


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("phases", SIZES)
def test_batches_have_the_size_of_their_phase(make_stream, lengths, phases):
    stream, step = make_stream(lengths), 0
    for phase in phases:
        for _ in range(min(phase.steps or 5, 5)):
            inputs = stream.batch(step, phases).inputs
            assert inputs.shape[0] == phase.batch_size
            assert 1 <= inputs.shape[1] <= phase.sequence_length
            step += 1
        step += (phase.steps or 5) - min(phase.steps or 5, 5)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("phases", SIZES)
def test_nearly_all_is_read_before_anything_is_read_twice(make_stream, lengths, phases):
    total = sum(lengths)
    seen = {t for b in _first_epoch(make_stream(lengths), phases) for t in b.inputs.ravel()}
    assert len(seen) > total - sum(2 * phase.batch_size + 8 for phase in phases)


@pytest.mark.parametrize("phases", SIZES)
def test_the_order_of_phases_does_not_depend_on_what_was_asked_before(make_stream, phases):
    lengths = [50, 7, 120, 1, 33, 89]
    straight = make_stream(lengths)
    expected = [_bytes(straight.batch(step, phases)) for step in range(120)]
    jumping = make_stream(lengths)
    for step in (119, 4, 91, 0, 8, 3, 60, 119):
        assert _bytes(jumping.batch(step, phases)) == expected[step]


@pytest.mark.parametrize("phases", SIZES)
def test_lanes_go_on_where_they_stopped_unless_they_begin_anew(make_stream, phases):
    stream = make_stream([300])
    batches = [stream.batch(step, phases) for step in range(60)]
    for before, after in pairwise(batches):
        goes_on = len(before.targets) == len(after.inputs) and np.array_equal(
            before.targets[:, -1], after.inputs[:, 0]
        )
        assert goes_on or after.begins_anew
        assert len(before.targets) == len(after.inputs) or after.begins_anew


def test_a_longer_stretch_alone_lets_the_lanes_go_on(make_stream):
    stream, phases = make_stream([300]), _phases((4, 3, 4), (None, 3, 8))
    assert [stream.batch(step, phases).begins_anew for step in range(6)] == [True] + [False] * 5


def test_steps_that_become_known_later_change_nothing_before_them(make_stream):
    open_end, settled = _phases((None, 2, 8), (None, 5, 8)), _phases((6, 2, 8), (None, 5, 8))
    one, other = make_stream([300]), make_stream([300])
    for step in range(6):
        assert _bytes(one.batch(step, open_end)) == _bytes(other.batch(step, settled))


def test_without_phases_the_order_is_that_of_one_phase(make_stream):
    stream = make_stream([50, 7, 120, 1, 33, 89], batch=4, length=8)
    for step in (0, 3, 50, 9):
        alone = _bytes(stream.batch(step))
        assert _bytes(stream.batch(step, _phases((30, 4, 8), (None, 4, 8)))) == alone
