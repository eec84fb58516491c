"""The speed of a machine, by a clock that stands still but for what it is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memlm.train import speed
from memlm.train.batches import TokenStream
from memlm.train.distributed import Processes
from memlm.train.plan import TrainPlan
from memlm.train.speed import flops_per_second, measured_plan

CPU = torch.device("cpu")


class FakeClock:
    """Time of which each step takes as much as said."""

    def __init__(self, seconds: list[float]) -> None:
        self.time, self.seconds = 0.0, seconds

    def __call__(self) -> float:
        return self.time

    def pass_step(self) -> None:
        self.time += self.seconds.pop(0)


@pytest.fixture
def timed(monkeypatch):
    """Return a clock whose steps take the seconds told."""
    plain = torch.nn.LSTM.forward

    def make(seconds: list[float]) -> FakeClock:
        clock = FakeClock(seconds)

        def forward(*arguments: object) -> object:
            clock.pass_step()
            return plain(*arguments)

        monkeypatch.setattr(torch.nn.LSTM, "forward", forward)
        return clock

    return make


def test_a_machine_twice_as_fast_is_twice_as_fast(timed):
    slow = flops_per_second(CPU, precision="float32", now=timed([0.04] * 6))
    fast = flops_per_second(CPU, precision="float32", now=timed([0.02] * 6))
    assert fast == pytest.approx(2 * slow)


def test_the_first_step_and_one_that_was_held_up_do_not_count(timed):
    steady = flops_per_second(CPU, precision="float32", now=timed([0.01] * 6))
    held_up = flops_per_second(
        CPU, precision="float32", now=timed([0.3, 0.01, 0.01, 0.1, 0.01, 0.01])
    )
    assert held_up == pytest.approx(steady)


def test_a_slow_machine_is_not_measured_for_long(timed):
    seconds = [2.0] * 6
    assert flops_per_second(CPU, precision="float32", now=timed(seconds)) > 0
    assert len(seconds) == 4  # two steps were enough


def test_torchs_random_numbers_stay_as_they_are():
    before = torch.get_rng_state()
    flops_per_second(CPU, precision="bf16")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_timed_plan_is_told_of_the_machine_and_of_its_own_network(
    make_plan_of, make_units, monkeypatch
):
    told = []

    def make(**measured: float) -> TrainPlan:
        told.append(measured)
        return make_plan_of(steps=None, minutes=2.0)

    def stream_of(plan: TrainPlan) -> TokenStream:
        tokens = np.array([1, 2, 3, 4] * 20)
        return TokenStream(tokens, make_units(80), batch_size=2, sequence_length=8, seed=plan.seed)

    monkeypatch.setattr(speed, "flops_per_second", lambda *_, **__: 5e9)
    monkeypatch.setattr(speed, "mean_seconds", lambda *_: 0.5)
    measured_plan(make, stream_of=stream_of, device=CPU, processes=Processes())
    assert told[:2] == [{}, {"flops_per_second": 5e9}]
    assert told[2] == {"flops_per_second": 5e9, "expected_steps": pytest.approx(120 * 0.9 / 0.5)}


@pytest.mark.parametrize(
    ("seconds_of_one", "may_choose", "threads"),
    [(0.1, True, 1), (0.1, False, 2), (0.45, True, 2), (0.9, True, 2)],
    ids=["a busy machine", "threads were said", "a tie", "a quiet machine"],
)
def test_one_thread_is_taken_where_it_is_clearly_faster(
    make_plan_of, make_units, monkeypatch, seconds_of_one, may_choose, threads
):
    def stream_of(plan: TrainPlan) -> TokenStream:
        tokens = np.array([1, 2, 3, 4] * 20)
        return TokenStream(tokens, make_units(80), batch_size=2, sequence_length=8, seed=plan.seed)

    monkeypatch.setattr(speed, "flops_per_second", lambda *_, **__: 5e9)
    monkeypatch.setattr(
        speed, "mean_seconds", lambda *_: seconds_of_one if torch.get_num_threads() == 1 else 0.5
    )
    plan = measured_plan(
        lambda **_: make_plan_of(steps=None, minutes=2.0, threads=2),
        stream_of=stream_of,
        device=CPU,
        processes=Processes(),
        may_choose_threads=may_choose,
    )
    assert plan.threads == torch.get_num_threads() == threads
