"""What is timed before it is chosen, and leaves no trace."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from memlm.errors import ResourceError
from memlm.train import TrainConfig
from memlm.train.batches import TokenStream
from memlm.train.loop import train_steps
from memlm.train.optimizer import Optimizer
from memlm.train.plan import DataFacts, TrainPlan
from memlm.train.recipe import make_plan
from memlm.train.schedule import parse_phases
from memlm.train.training import Training
from memlm.train.trials import extra_seconds, fastest_arithmetic, settle_arithmetic

CPU = torch.device("cpu")
TEXT = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10] * 40)
FACTS = DataFacts(
    train_tokens=100_000, held_out_tokens=1_000, train_units=1, train_characters=100_000,
    vocabulary_size=90, label_tokens=(),
)  # fmt: skip


@pytest.fixture
def stream(make_units) -> TokenStream:
    return TokenStream(TEXT, make_units(len(TEXT)), batch_size=2, sequence_length=8, seed=0)


def _cost(*, float32: float, bf16: float, compiled: float):
    """Return what knows the seconds of a step; compiling is a factor."""

    def seconds(plan: TrainPlan) -> float:
        plain = {"float32": float32, "bf16": bf16}[plan.precision]
        return plain * (compiled if plan.is_compiled else 1.0)

    return seconds


CHOICES = [
    pytest.param({"float32": 1.0, "bf16": 0.5, "compiled": 0.5}, ("bf16", True), id="both"),
    pytest.param({"float32": 1.0, "bf16": 2.0, "compiled": 1.1}, ("float32", False), id="neither"),
    pytest.param({"float32": 1.0, "bf16": 0.97, "compiled": 0.97}, ("float32", False), id="a tie"),
    pytest.param(
        {"float32": 1.0, "bf16": math.inf, "compiled": 0.5}, ("float32", True), id="no bf16"
    ),
    pytest.param(
        {"float32": 1.0, "bf16": 0.4, "compiled": math.inf}, ("bf16", False), id="no compiler"
    ),
]


@pytest.mark.parametrize(("costs", "expected"), CHOICES)
def test_the_clearly_fastest_arithmetic_is_chosen(make_plan_of, costs, expected):
    plan = make_plan_of(steps=None, minutes=30.0, precision=None, is_compiled=None)
    found = fastest_arithmetic(plan, _cost(**costs))
    assert (found.precision, found.is_compiled) == expected


@pytest.mark.parametrize("length", [{"minutes": 3.0, "steps": None}, {"steps": 1_000}], ids=str)
def test_a_training_of_a_few_minutes_is_not_worth_compiling(make_plan_of, length):
    plan = make_plan_of(**length, precision=None, is_compiled=None)
    found = fastest_arithmetic(plan, _cost(float32=0.1, bf16=0.05, compiled=0.1))
    assert (found.precision, found.is_compiled) == ("bf16", False)


def test_what_was_said_is_not_timed(make_plan_of):
    plan = make_plan_of(minutes=30.0, steps=None, precision="float32", is_compiled=None)
    found = fastest_arithmetic(plan, _cost(float32=1.0, bf16=0.0, compiled=0.5))
    assert (found.precision, found.is_compiled) == ("float32", True)


def test_on_a_gpu_the_plan_leaves_arithmetic_open_and_on_a_cpu_it_does_not():
    gpu = make_plan(TrainConfig(steps=5), FACTS, cores=2, is_on_gpu=True)
    assert (gpu.precision, gpu.is_compiled) == (None, None)
    cpu = make_plan(TrainConfig(steps=5), FACTS, cores=2)
    assert (cpu.precision, cpu.is_compiled) == ("float32", False)


@pytest.mark.parametrize("is_on_gpu", [True, False], ids=["gpu", "cpu"])
def test_arithmetic_that_was_said_is_the_plans(is_on_gpu):
    config = TrainConfig(steps=5, precision="bf16", compile="on")
    plan = make_plan(config, FACTS, cores=2, is_on_gpu=is_on_gpu)
    assert (plan.precision, plan.is_compiled) == ("bf16", True)


def test_trials_leave_everything_as_it_was(make_plan_of, stream):
    shape = replace(make_plan_of().network, dropout=0.5)
    plan = make_plan_of(network=shape, precision=None, is_compiled=False)
    tried, plain = (Training(replace(plan, precision=p), device=CPU) for p in (None, "float32"))
    settle_arithmetic(tried, stream)
    # bf16 is no faster on a CPU without it, and may be on others.
    tried.plan = replace(tried.plan, precision="float32")
    for training in (tried, plain):
        list(train_steps(training, stream, None))
    weights = plain.network.weights()
    assert all(value.equal(weights[name]) for name, value in tried.network.weights().items())


def test_arithmetic_that_gives_no_number_or_fails_is_not_chosen(make_plan_of, stream, monkeypatch):
    plain = Training.own_gradients

    def own_gradients(training: Training, batch: object) -> torch.Tensor:
        if training.plan.is_compiled:
            raise ResourceError("compile_failed", kind="Unsupported")
        loss = plain(training, batch)
        return loss * math.nan if training.plan.precision == "bf16" else loss

    monkeypatch.setattr(Training, "own_gradients", own_gradients)
    training = Training(
        make_plan_of(steps=None, minutes=60.0, precision=None, is_compiled=None), device=CPU
    )
    settle_arithmetic(training, stream)
    assert (training.plan.precision, training.plan.is_compiled) == ("float32", False)


def test_compiling_takes_no_minute_of_the_training(make_plan_of, stream, monkeypatch):
    clock, plain = _Clock(monkeypatch), Training.own_gradients
    compiled: list[float] = []

    def own_gradients(training: Training, batch: object) -> torch.Tensor:
        if training.plan.is_compiled and not compiled:
            compiled.append(clock.time)
            clock.time += 1000.0
        return plain(training, batch)

    monkeypatch.setattr(Training, "own_gradients", own_gradients)
    monkeypatch.setattr(torch, "compile", lambda function: function)
    plan = make_plan_of(steps=None, minutes=0.5, warm_up_steps=20, is_compiled=True)
    training = Training(plan, device=CPU)
    steps = list(train_steps(training, stream, None, now=clock))
    assert compiled == [0.0]
    assert steps[-1].seconds == pytest.approx(30, rel=0.1)


# -- phases -------------------------------------------------------------------------------------


class _Clock:
    """Time that passes with the tokens of a batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 0.0
        plain = Training.own_gradients

        def own_gradients(training: Training, batch: object) -> torch.Tensor:
            self.time += 0.001 * batch.inputs.size
            return plain(training, batch)

        monkeypatch.setattr(Training, "own_gradients", own_gradients)

    def __call__(self) -> float:
        return self.time


def test_a_mean_step_takes_what_the_phases_take_by_their_shares(make_plan_of, stream, monkeypatch):
    phases = parse_phases("0.25:2x4,0.75:4x8")
    training = Training(make_plan_of(phases=phases, steps=None, minutes=1.0), device=CPU)
    found = extra_seconds(training, stream, now=_Clock(monkeypatch))
    assert found == pytest.approx(0.75 * (0.032 - 0.008))
    assert training.num_lanes == training.carried[0].shape[1] == 2  # those of the first phase


def test_one_phase_takes_what_it_takes_and_is_not_tried(make_plan_of, stream):
    training = Training(make_plan_of(), device=CPU)
    assert extra_seconds(training, stream, now=lambda: pytest.fail("timed")) == 0.0


@pytest.mark.parametrize("optimizing", [0.0, 0.05], ids=["light", "heavy optimizer"])
def test_minutes_are_kept_though_later_phases_are_slower(
    make_plan_of, stream, monkeypatch, optimizing
):
    clock, plain = _Clock(monkeypatch), Optimizer.step

    def step(optimizer: Optimizer, share: float) -> None:
        clock.time += optimizing
        plain(optimizer, share)

    monkeypatch.setattr(Optimizer, "step", step)
    plan = make_plan_of(
        phases=parse_phases("0.3:2x4,0.7:4x8"), steps=None, minutes=0.5, warm_up_steps=20
    )
    training = Training(plan, device=CPU)
    sizes = [step.step for step in train_steps(training, stream, None, now=clock)]
    assert clock.time == pytest.approx(30, rel=0.1)
    assert [phase.steps for phase in training.plan.phases] == pytest.approx(
        [0.3 * len(sizes), 0.7 * len(sizes)], abs=1
    )
