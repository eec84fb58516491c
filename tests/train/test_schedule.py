"""What changes over a training: rates and phases."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.errors import ConfigError
from memlm.train.schedule import (
    Phase,
    mean_tokens,
    parse_phases,
    phase_at,
    rate_share,
    settle,
    tokens_read,
)

SCHEDULES = ["linear", "cosine", "constant"]


def _shares(schedule: str, *, warm_up: int = 5, steps: int = 100) -> np.ndarray:
    found = [rate_share(schedule, s, warm_up_steps=warm_up, steps=steps) for s in range(steps)]
    return np.array(found)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 100])
def test_every_schedule_rises_then_never_rises_and_stays_above_zero(schedule, steps):
    shares = _shares(schedule, warm_up=min(5, steps), steps=steps)
    assert (np.diff(shares[:5]) > 0).all()
    assert (np.diff(shares[5:]) <= 0).all()
    assert shares.min() > 0
    assert shares.max() == 1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_ends_near_zero(schedule):
    assert _shares(schedule, steps=1000)[-1] < 0.08


def test_half_way_down_linear_and_cosine_are_at_a_half():
    for schedule in ("linear", "cosine"):
        share = rate_share(schedule, 50, warm_up_steps=0, steps=100)
        assert share == pytest.approx(0.5)


def test_constant_is_constant_until_the_last_fifth_of_the_way_down():
    shares = _shares("constant", warm_up=0, steps=100)
    assert (shares[:81] == 1).all()
    assert shares[90] == pytest.approx(1 - 0.5**0.5)


def test_cosine_is_above_linear_first_and_below_it_last():
    cosine, linear = _shares("cosine"), _shares("linear")
    assert (cosine[10:50] > linear[10:50]).all()
    assert (cosine[55:] < linear[55:]).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_while_the_steps_are_unknown_the_rate_stays_up(schedule):
    shares = [rate_share(schedule, step, warm_up_steps=2, steps=None) for step in range(5)]
    assert shares == [0.5, 1, 1, 1, 1]


# -- phases -------------------------------------------------------------------------------------


def test_phases_are_read_from_the_words_of_the_option():
    first, last = parse_phases("0.25:8x16, .75:32x64")
    assert (first.share, first.batch_size, first.sequence_length) == (0.25, 8, 16)
    assert (last.share, last.batch_size, last.sequence_length) == (0.75, 32, 64)


@pytest.mark.parametrize(
    "words",
    ["", "8x16", "0.5:8x16", "0.5:8x16,0.6:8x32", "1:0x16", "1:8x0", "0:8x16,1:8x8", "-1:8x16",
     "1:8x16,", "nan:8x16", "1:8*16"],
)  # fmt: skip
def test_what_is_no_list_of_phases_is_refused_with_an_example(words):
    with pytest.raises(ConfigError, match=r"0\.3:8x16"):
        parse_phases(words)


def test_thirds_may_be_written_with_three_digits():
    assert len(parse_phases("0.333:1x1,0.333:2x2,0.334:4x4")) == 3


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 97])
def test_settled_phases_have_all_the_steps_together(steps):
    phases = settle(parse_phases("0.2:1x1,0.3:2x2,0.5:4x4"), steps, taken=0)
    assert sum(phase.steps for phase in phases) == steps
    assert [phase.steps / steps for phase in phases] == pytest.approx([0.2, 0.3, 0.5], abs=1)


def test_the_first_phase_is_never_shorter_than_what_is_done_of_it():
    phases = settle(parse_phases("0.01:1x1,0.01:2x2,0.98:4x4"), 100, taken=7)
    assert [phase.steps for phase in phases] == [7, 0, 93]


def test_a_step_is_in_the_phase_whose_turn_it_is():
    phases = settle(parse_phases("0.2:1x1,0.3:2x2,0.5:4x4"), 10, taken=0)
    found = [phase_at(phases, step) for step in (0, 1, 2, 4, 5, 9)]
    assert found == [(0, 0), (0, 1), (1, 0), (1, 2), (2, 0), (2, 4)]


def test_a_phase_without_steps_is_passed_over():
    phases = (Phase(share=0.1, batch_size=1, sequence_length=1, steps=0), *parse_phases("1:2x2"))
    assert phase_at(phases, 0) == (1, 0)


def test_the_tokens_read_are_those_of_each_phase():
    phases = settle(parse_phases("0.5:1x2,0.5:3x4"), 10, taken=0)
    assert [tokens_read(phases, step) for step in (0, 3, 5, 6, 10)] == [0, 6, 10, 22, 70]
    assert mean_tokens(phases) * 10 == 70
