"""The loop: read a stretch of every lane, compare, correct; readable from top to bottom.

Truncated back-propagation through time (Williams and Peng 1990): the state is carried from step to
step, the gradient is not. The norm of the gradient is clipped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from memlm.errors import DivergedError
from memlm.models.network import build_network
from memlm.models.recurrent import NetworkState, RecurrentNetwork
from memlm.runtime import stream_seed
from memlm.train.batches import Batch, TokenStream
from memlm.train.optimizer import Optimizer
from memlm.train.plan import VALIDATIONS, WARM_UP_SHARE, TrainPlan
from memlm.train.validation import HeldOutText

_SMOOTHING_STEPS = 50
_FEWEST_MEASURED_STEPS = 5


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


class Training:
    """All that changes while a network learns, and what must be kept to go on."""

    def __init__(self, plan: TrainPlan, *, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.network: RecurrentNetwork = build_network(
            plan.network, seed=stream_seed(plan.seed, "weights")
        ).to(device)
        self.optimizer = Optimizer(
            self.network,
            kind=plan.optimizer,
            learning_rate=plan.learning_rate,
            muon_learning_rate=plan.muon_learning_rate,
            weight_decay=plan.weight_decay,
        )
        self.carried: NetworkState = self.network.start(plan.batch_size)
        dropout = torch.Generator(device).manual_seed(stream_seed(plan.seed, "dropout"))
        self.random: Tensor = dropout.get_state()
        self.step = 0
        self.seconds = 0.0
        self.recent_loss = 0.0
        self.best_loss = math.inf
        self.best_step = 0
        self.best_weights: dict[str, Tensor] | None = None

    @property
    def is_on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def random_state(self) -> Tensor:
        """Return where the device's random numbers are."""
        return torch.cuda.get_rng_state(self.device) if self.is_on_gpu else torch.get_rng_state()

    def keep_if_best(self, loss: float) -> None:
        """Remember the weights if no validation before was as good."""
        if loss < self.best_loss:
            self.best_loss, self.best_step = loss, self.step
            self.best_weights = self.network.weights()


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
    number, and leaves `training` as it was before that step; where it is the loss on held-out text,
    the step is done and named, and its weights are of no use.
    """
    clock = _Clock(training, now)
    network, optimizer = training.network.train(), training.optimizer
    while training.step != training.plan.steps and not should_stop():
        batch = stream.batch(training.step)
        rate = training.plan.learning_rate_at(training.step)
        before = training.carried, training.random
        loss = _loss(training, batch)
        optimizer.clear()
        loss.backward()
        norm = clip_grad_norm_(network.parameters(), training.plan.clip_norm)
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            training.carried, training.random = before
            raise DivergedError("diverged", step=training.step + 1, learning_rate=rate)
        optimizer.step(training.plan.rate_share_at(training.step))

        training.step += 1
        weight = 1 / min(training.step, _SMOOTHING_STEPS)
        training.recent_loss += weight * (loss.item() - training.recent_loss)
        clock.step_done()
        if training.plan.steps is None and clock.has_measured():
            _validate(training, held_out, clock)  # its cost is part of what is measured
            training.plan = training.plan.with_steps(clock.steps_that_fit(closing_validations))
        found = None
        every = training.plan.validate_every
        if every and (training.step % every == 0 or training.step == training.plan.steps):
            found = _validate(training, held_out, clock)
        training.seconds = clock.elapsed()
        yield Step(training.step, training.recent_loss, rate, training.seconds, found)


def _loss(training: Training, batch: Batch) -> Tensor:
    inputs = torch.from_numpy(batch.inputs).to(training.device)
    targets = torch.from_numpy(batch.targets).to(training.device)
    if batch.starts_epoch:
        training.carried = training.network.start(len(inputs))
    # Dropout draws from a generator of its own, whose state is part of the checkpoint.
    with torch.random.fork_rng(devices=[training.device] if training.is_on_gpu else []):
        if training.is_on_gpu:
            torch.cuda.set_rng_state(training.random, training.device)
        else:
            torch.set_rng_state(training.random)
        logits, state = training.network(inputs, training.carried)
        training.random = training.random_state()
    training.carried = tuple(part.detach() for part in state)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def _validate(training: Training, held_out: HeldOutText | None, clock: _Clock) -> float | None:
    if held_out is None:
        return None
    started = clock.elapsed()
    loss = held_out.loss(training.network).nats_per_character
    if not math.isfinite(loss):
        rate = training.plan.learning_rate_at(max(0, training.step - 1))
        raise DivergedError("diverged", step=training.step, learning_rate=rate)
    clock.validation_seconds = clock.elapsed() - started
    training.keep_if_best(loss)
    return loss


class _Clock:
    """Measures the warm-up, and says once how many steps the minutes have room for."""

    def __init__(self, training: Training, now: Callable[[], float]) -> None:
        self._training, self._now = training, now
        self._origin = now() - training.seconds
        self._step_ends: list[float] = []
        self.validation_seconds = 0.0

    def elapsed(self) -> float:
        return self._now() - self._origin

    def step_done(self) -> None:
        if self._training.plan.steps is None:
            self._step_ends.append(self.elapsed())

    def has_measured(self) -> bool:
        budget, elapsed = (self._training.plan.minutes or 0) * 60, self.elapsed()
        is_enough = len(self._step_ends) > _FEWEST_MEASURED_STEPS
        return elapsed >= WARM_UP_SHARE * budget and (is_enough or elapsed > budget / 2)

    def steps_that_fit(self, closing_validations: float) -> int:
        plan, elapsed = self._training.plan, self.elapsed()
        # The first steps allocate memory and wake the threads; the later half is like the rest.
        ends = self._step_ends[len(self._step_ends) // 2 :] or [elapsed]
        seconds_per_step = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else elapsed
        validations = (VALIDATIONS + closing_validations) * self.validation_seconds
        left = (plan.minutes or 0) * 60 - elapsed - validations
        return self._training.step + max(0, int(left / max(seconds_per_step, 1e-9)))
