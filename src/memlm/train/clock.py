"""What a training costs in time: measured in its warm-up, planned by, and looked at once more."""

from __future__ import annotations

from collections.abc import Callable

from memlm.train.plan import VALIDATIONS, WARM_UP_SHARE
from memlm.train.schedule import phase_at
from memlm.train.training import Training

_FEWEST_MEASURED_STEPS = 5
_LAST_LOOK = 0.2  # of the minutes or the steps
_WRONG_SPEED = 0.1  # a plan that is so far off is made anew


class Clock:
    """Measures the warm-up, and says how many steps the minutes have room for.

    The speed of a machine that others share may change by several times while it is measured. So
    what was planned is compared with what came until a fifth of the minutes is over, while every
    learning rate is still high, and only a plan that is clearly wrong is made anew. A resumed
    training keeps the plan it finds.
    """

    def __init__(self, training: Training, now: Callable[[], float]) -> None:
        self._training, self.now = training, now
        self._origin = now() - training.seconds
        self._step_ends: list[float] = []
        self._validating = 0.0
        self._validations = 0
        self._extra = 0.0
        self._last_look = 0.0
        self.is_planning = training.plan.steps is None
        """Whether the number of steps may still change."""

    def elapsed(self) -> float:
        return self.now() - self._origin

    def step_done(self) -> None:
        if self.is_planning:
            self._step_ends.append(self.elapsed() - self._validating)

    def validation_done(self, started: float) -> None:
        """Note a validation that began when `started` seconds had elapsed."""
        self._validating += self.elapsed() - started
        self._validations += 1

    def is_due(self) -> bool:
        """Whether the steps that the minutes have room for are to be counted (anew) now."""
        plan, elapsed = self._training.plan, self.elapsed()
        budget, is_enough = self._budget, len(self._step_ends) > _FEWEST_MEASURED_STEPS
        if plan.steps is None:
            return elapsed >= WARM_UP_SHARE * budget and (is_enough or elapsed > budget / 2)
        is_enough = is_enough and elapsed >= self._last_look + WARM_UP_SHARE * budget
        has_read_enough = self._training.step >= _LAST_LOOK * plan.steps
        return is_enough and (has_read_enough or elapsed >= _LAST_LOOK * budget)

    def steps_that_fit(self, closing_validations: float, *, extra_seconds: float = 0.0) -> int:
        """Return the steps of the whole training: those planned already if they nearly fit.

        `extra_seconds` is how much longer a mean step takes than those that were measured; said
        once, it holds for the next look too.
        """
        plan, elapsed = self._training.plan, self.elapsed()
        # The first steps of all allocate memory and wake the threads: their later half is like the
        # rest.
        first = len(self._step_ends) // 2 if plan.steps is None else 0
        ends = self._step_ends[first:] or [elapsed]
        seconds_per_step = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else elapsed
        seconds_per_step = max(seconds_per_step, 1e-9)
        self._step_ends, self._last_look = [], elapsed
        # A step of a later phase is slowed by as much as those of this one.
        self._extra = extra_seconds / seconds_per_step if extra_seconds else self._extra
        extra = self._extra * seconds_per_step
        # Those of the plan, counted from its first: the one made to measure its cost is none.
        validations = VALIDATIONS + closing_validations - max(0, self._validations - 1)
        left = self._budget - elapsed - validations * self._seconds_of_a_validation
        left -= extra * self._training.step  # as if the steps so far had been mean ones
        fitting = self._training.step + max(0, int(left / (seconds_per_step + extra)))
        if plan.steps is None:
            return fitting
        in_first_phase = phase_at(plan.all_phases, self._training.step)[0] == 0
        self.is_planning = in_first_phase and elapsed < _LAST_LOOK * self._budget
        is_wrong = abs(fitting - plan.steps) > _WRONG_SPEED * plan.steps
        return fitting if is_wrong and in_first_phase else plan.steps

    @property
    def _budget(self) -> float:
        return (self._training.plan.minutes or 0) * 60

    @property
    def _seconds_of_a_validation(self) -> float:
        return self._validating / max(1, self._validations)
