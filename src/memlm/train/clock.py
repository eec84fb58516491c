"""What a training costs in time: measured in its warm-up, and planned by once."""

from __future__ import annotations

from collections.abc import Callable

from memlm.train.plan import VALIDATIONS, WARM_UP_SHARE
from memlm.train.training import Training

_FEWEST_MEASURED_STEPS = 5


class Clock:
    """Measures the warm-up, and says once how many steps the minutes have room for."""

    def __init__(self, training: Training, now: Callable[[], float]) -> None:
        self._training, self.now = training, now
        self._origin = now() - training.seconds
        self._step_ends: list[float] = []
        self.validation_seconds = 0.0

    def elapsed(self) -> float:
        return self.now() - self._origin

    def step_done(self) -> None:
        if self._training.plan.steps is None:
            self._step_ends.append(self.elapsed())

    def has_measured(self) -> bool:
        budget, elapsed = (self._training.plan.minutes or 0) * 60, self.elapsed()
        is_enough = len(self._step_ends) > _FEWEST_MEASURED_STEPS
        return elapsed >= WARM_UP_SHARE * budget and (is_enough or elapsed > budget / 2)

    def steps_that_fit(self, closing_validations: float, *, extra_seconds: float) -> int:
        """Return the steps of the whole training.

        `extra_seconds` is how much longer a mean step takes than those that were measured.
        """
        plan, elapsed = self._training.plan, self.elapsed()
        # The first steps allocate memory and wake the threads; the later half is like the rest.
        ends = self._step_ends[len(self._step_ends) // 2 :] or [elapsed]
        seconds_per_step = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else elapsed
        validations = (VALIDATIONS + closing_validations) * self.validation_seconds
        left = (plan.minutes or 0) * 60 - elapsed - validations
        left -= extra_seconds * self._training.step  # as if the steps so far had been mean ones
        mean = max(seconds_per_step + extra_seconds, 1e-9)
        return self._training.step + max(0, int(left / mean))
