"""The loop: read a stretch of every lane, compare, correct; readable from top to bottom.

Truncated back-propagation through time (Williams and Peng 1990): the state is carried from step to
step, the gradient is not. The norm of the gradient is clipped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch.nn.utils import clip_grad_norm_

from memlm.errors import DivergedError
from memlm.train.batches import TokenStream
from memlm.train.clock import Clock
from memlm.train.training import Training
from memlm.train.trials import extra_seconds, settle_arithmetic
from memlm.train.validation import HeldOutText

_SMOOTHING_STEPS = 50


@dataclass(frozen=True)
class Step:
    """What one step of the loop tells."""

    step: int
    loss: float
    """Nats per token, smoothed over about 50 steps."""
    learning_rate: float
    seconds: float
    """Of training so far, validation included."""
    held_out_loss: float | None
    """Nats per character on the held-out sample, where this step was followed by a validation."""


def train_steps(
    training: Training,
    stream: TokenStream,
    held_out: HeldOutText | None,
    *,
    closing_validations: float = 0.0,
    should_stop: Callable[[], bool] = lambda: False,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[Step]:
    """Train until the plan is done (or `should_stop`), yielding after every step.

    `closing_validations` says what the caller will spend after the last step, in validations, so
    that `minutes` has room for it. Raises DivergedError if a loss or its gradient is not a finite
    number, or losses have been absurd for long, and leaves `training` as it was before that step;
    where it is the loss on held-out text, the step is done and named. Its weights are of no use.

    Where several processes train, all of them are here at once: the first has the clock and the
    held-out text, and all end at the same step.
    """
    processes = training.processes
    network = training.network.train()
    settle_arithmetic(training, stream, now=now)
    clock = Clock(training, now)
    while not training.is_done and not processes.agree(should_stop()):
        batch = stream.batch(training.step, training.plan.phases)
        rate = training.plan.learning_rate_at(training.step)
        before = training.place()
        loss = training.gradients(batch)
        norm = clip_grad_norm_(network.parameters(), training.plan.clip_norm).item()
        is_number = math.isfinite(loss) and math.isfinite(norm)
        training.count_astray(loss if is_number else math.nan)
        if not is_number or training.is_lost:
            training.return_to(before)
            code = "loss_absurd" if is_number else "diverged"
            error = DivergedError(code, step=training.step + 1, learning_rate=rate, kept="")
            raise processes.told_by_first(error)
        training.optimizer.step(training.plan.rate_share_at(training.step))

        training.step += 1
        training.average()
        weight = 1 / min(training.step, _SMOOTHING_STEPS)
        training.recent_loss += weight * (loss - training.recent_loss)
        clock.step_done()
        found = _plan_if_due(training, stream, held_out, clock, closing_validations)
        every = training.plan.validate_every
        is_due = every and (training.step % every == 0 or training.step == training.plan.steps)
        if is_due and found is None:
            found = _validate(training, held_out, clock)
        training.seconds = clock.elapsed()
        yield Step(training.step, training.recent_loss, rate, training.seconds, found)
    if training.is_done and training.steps_astray:
        rate = training.plan.learning_rate_at(max(0, training.step - 1))
        error = DivergedError("loss_absurd", step=training.step, learning_rate=rate, kept="")
        raise processes.told_by_first(error)


def _plan_if_due(
    training: Training,
    stream: TokenStream,
    held_out: HeldOutText | None,
    clock: Clock,
    closing_validations: float,
) -> float | None:
    """Fix the number of steps once the speed is measured, or put it right.

    Returns the held-out loss where a validation was made, whose cost is part of what is measured.
    """
    processes = training.processes
    if not clock.is_planning or not processes.agree(processes.is_first and clock.is_due()):
        return None
    found, extra = None, 0.0
    if training.plan.steps is None:
        found = _validate(training, held_out, clock)
        extra = extra_seconds(training, stream, now=clock.now)
    steps = clock.steps_that_fit(closing_validations, extra_seconds=extra)
    steps, clock.is_planning = processes.broadcast([steps, clock.is_planning])
    if steps != training.plan.steps:
        training.plan = training.plan.with_steps(steps, taken=training.step)
    return found


def _validate(training: Training, held_out: HeldOutText | None, clock: Clock) -> float | None:
    started, loss = clock.elapsed(), None
    if held_out is not None:
        with training.with_result() as network:
            loss = held_out.loss(network).nats_per_character
    loss = training.processes.broadcast(loss)
    if loss is None:
        return None
    if not math.isfinite(loss):
        rate = training.plan.learning_rate_at(max(0, training.step - 1))
        error = DivergedError("diverged", step=training.step, learning_rate=rate, kept="")
        raise training.processes.told_by_first(error)
    clock.validation_done(started)
    training.keep_if_best(loss)
    return loss
