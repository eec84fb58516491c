"""Throws that can be looked at before, and what they draw."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.generate.dice import Dice, first_to_arrive

SHARES = np.array([0.5, 0.0, 0.3, 0.2])


def drawn(shares, dice, times):
    with np.errstate(divide="ignore"):
        weights = np.log(shares[None])
    return np.array([first_to_arrive(weights, dice.throw(1, len(shares)))[0] for _ in range(times)])


def test_tokens_come_as_often_as_they_are_likely():
    times = 100_000
    counts = np.bincount(drawn(SHARES, Dice(3), times), minlength=4)
    assert counts[1] == 0
    likely = SHARES > 0
    square = ((counts - times * SHARES)[likely] ** 2 / (times * SHARES[likely])).sum()
    assert square < 15  # chi-square with 2 degrees of freedom: p < 0.001


def test_what_was_looked_at_is_what_is_thrown():
    looked, thrown = Dice(5), Dice(5)
    expected = [thrown.throw(1, 4) for _ in range(6)]
    assert np.array_equal(looked.peek(3, 4), expected[3])
    for number in range(6):
        assert np.array_equal(looked.peek(0, 4), expected[number])
        assert np.array_equal(looked.throw(1, 4), expected[number])


def test_the_same_seed_throws_the_same_and_another_does_not():
    assert np.array_equal(Dice(1).throw(2, 3), Dice(1).throw(2, 3))
    assert not np.array_equal(Dice(1).throw(2, 3), Dice(2).throw(2, 3))


@pytest.mark.parametrize("mixed", [0.0, 0.2, 0.5])
def test_who_throws_the_same_dice_draws_the_same_as_often_as_the_bound_says(mixed):
    draw, times = np.random.default_rng(2), 4000
    one = draw.dirichlet(np.full(20, 0.4))
    other = (1 - mixed) * one + mixed * draw.dirichlet(np.full(20, 0.4))
    distance = 0.5 * np.abs(one - other).sum()
    agreed = (drawn(one, Dice(8), times) == drawn(other, Dice(8), times)).mean()
    assert agreed > (1 - distance) / (1 + distance) - 3 * np.sqrt(0.25 / times)
    assert agreed == 1 or mixed > 0


def test_weights_need_no_norm_and_rows_are_their_own():
    thrown = np.array([[1.0, 1.0], [1.0, 5.0]])
    assert first_to_arrive(np.log([[3.0, 9.0], [1.0, 2.0]]), thrown).tolist() == [1, 0]
