"""Steps that teach nothing: they are timed, and everything is put back as it was.

What arithmetic is fastest depends on the network, the batch and the GPU, so it is measured there
once, before the first step, and stays in the plan. On a CPU nothing is tried: there it is known
what bf16 brings to a processor that has it (`recipe.py`), and a plan of so many steps must not
depend on the clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import torch

from memlm.errors import ResourceError
from memlm.train.batches import TokenStream
from memlm.train.plan import TrainPlan
from memlm.train.schedule import Phase
from memlm.train.training import Training

_TIMED_STEPS, _MOST_TIMED_STEPS = 3, 15
_ENOUGH_SECONDS = 0.15  # of timed steps: a median of three steps of a millisecond is a guess
_CLEARLY_FASTER = 0.95
_LEAST_SECONDS_TO_COMPILE = 600.0  # of training: compiling takes up to a minute of them


def settle_arithmetic(
    training: Training, stream: TokenStream, *, now: Callable[[], float] = time.monotonic
) -> None:
    """Choose the precision, and whether to compile, where the plan leaves that open.

    What is to be compiled is compiled here, before the minutes of the training are counted.
    """

    def seconds(plan: TrainPlan) -> float:
        return seconds_per_step(training, stream, plan, now=now)

    if training.plan.precision is None or training.plan.is_compiled is None:
        plan = fastest_arithmetic(training.plan, seconds)
        precision, is_compiled = training.processes.broadcast([plan.precision, plan.is_compiled])
        training.plan = replace(plan, precision=precision, is_compiled=is_compiled)
    elif training.plan.is_compiled:
        seconds(training.plan)


def fastest_arithmetic(plan: TrainPlan, seconds: Callable[[TrainPlan], float]) -> TrainPlan:
    """Return the plan with the arithmetic that takes clearly the fewest seconds for a step."""
    best = replace(
        plan, precision=plan.precision or "float32", is_compiled=plan.is_compiled or False
    )
    fewest = seconds(best)
    if plan.precision is None:
        best, fewest = _faster(best, replace(best, precision="bf16"), fewest, seconds)
    length = (plan.minutes or 0) * 60 or (plan.steps or 0) * fewest
    if plan.is_compiled is None and length >= _LEAST_SECONDS_TO_COMPILE:
        best, fewest = _faster(best, replace(best, is_compiled=True), fewest, seconds)
    return best


def extra_seconds(
    training: Training, stream: TokenStream, *, now: Callable[[], float] = time.monotonic
) -> float:
    """Return how much longer a step takes in the mean of all phases than in the first.

    A difference, not a ratio: what the optimizer does costs the same in all of them.
    """
    if len(training.plan.all_phases) == 1:
        return 0.0
    costs = _seconds_by_phase(training, stream, now=now)
    extra = _mean_over_phases(training.plan, costs) - costs[0]
    return extra if math.isfinite(extra) else 0.0  # what cannot be done says so in its phase


def mean_seconds(
    training: Training, stream: TokenStream, *, now: Callable[[], float] = time.monotonic
) -> float:
    """Return the time of a step in the mean of all phases, its update left out."""
    return _mean_over_phases(training.plan, _seconds_by_phase(training, stream, now=now))


def _seconds_by_phase(
    training: Training, stream: TokenStream, *, now: Callable[[], float]
) -> list[float]:
    plan = training.plan
    return [seconds_per_step(training, stream, plan, phase, now=now) for phase in plan.all_phases]


def _mean_over_phases(plan: TrainPlan, costs: list[float]) -> float:
    shares = [phase.share for phase in plan.all_phases]
    return sum(map(math.prod, zip(shares, costs, strict=True))) / sum(shares)


def seconds_per_step(
    training: Training,
    stream: TokenStream,
    plan: TrainPlan,
    phase: Phase | None = None,
    *,
    now: Callable[[], float] = time.monotonic,
) -> float:
    """Return the median time of a few steps without an update; infinite where they fail."""
    chosen = phase or plan.all_phases[0]
    batch = stream.batch(0, (replace(chosen, steps=None),))
    before, place = training.plan, training.place()
    training.plan = plan
    times: list[float] = []
    try:
        while len(times) <= _TIMED_STEPS or (
            len(times) <= _MOST_TIMED_STEPS and sum(times[1:]) < _ENOUGH_SECONDS
        ):  # the first also allocates, and compiles
            started = now()
            # Without the other processes: one whose memory is too small would leave them waiting.
            if not math.isfinite(training.own_gradients(batch).item()):
                return math.inf
            times.append(now() - started)
    except (ResourceError, NotImplementedError, torch.OutOfMemoryError):
        return math.inf  # this network, or this machine, cannot do that
    finally:
        training.plan = before
        training.return_to(place)
        training.optimizer.clear()
    return median(times[1:])


def _faster(
    best: TrainPlan, other: TrainPlan, fewest: float, seconds: Callable[[TrainPlan], float]
) -> tuple[TrainPlan, float]:
    found = seconds(other)
    return (other, found) if found < _CLEARLY_FASTER * fewest else (best, fewest)
