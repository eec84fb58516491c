"""What changes over a training: the learning rate, the size of a batch, the length of a stretch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from memlm.errors import ConfigError

Schedule = Literal["linear", "cosine", "constant"]
_LAST_DECAY = 0.2  # the share of the steps that `constant` decays in, Hägele et al. 2024
_PHASE = re.compile(r"(\d*\.?\d+):(\d+)x(\d+)")
_SHARES_TOLERANCE = 1e-3  # thirds are written 0.333


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of a training with batches of one size."""

    share: float
    """Of the steps."""
    batch_size: int
    sequence_length: int
    steps: int | None = None
    """None until the steps of the whole training are known."""

    @property
    def tokens_per_step(self) -> int:
        """Tokens read by one step."""
        return self.batch_size * self.sequence_length

    @property
    def size(self) -> str:
        """The size of its batches, as people write it."""
        return f"{self.batch_size}x{self.sequence_length}"


def rate_share(schedule: Schedule, step: int, *, warm_up_steps: int, steps: int | None) -> float:
    """Return the share of the peak learning rate at `step` (from 0): up, then down to about 0.

    Until the number of steps is known it stays up.

    >>> [rate_share("linear", step, warm_up_steps=2, steps=6) for step in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    if step < warm_up_steps:
        return (step + 1) / warm_up_steps
    if steps is None:
        return 1.0
    left = (steps - step) / max(1, steps - warm_up_steps)
    if schedule == "cosine":  # Loshchilov and Hutter 2017
        return (1 - math.cos(math.pi * left)) / 2
    if schedule == "constant":  # down at the end only, by the root: Hägele et al. 2024
        return 1 - math.sqrt(max(0.0, 1 - left / _LAST_DECAY))
    return left


def parse_phases(text: str) -> tuple[Phase, ...]:
    """Return the phases that a text such as 0.3:8x16,0.7:16x64 describes; ConfigError if none.

    >>> [phase.batch_size for phase in parse_phases("0.3:8x16, 0.7:16x64")]
    [8, 16]
    """
    found = []
    for part in text.split(","):
        match = _PHASE.fullmatch(part.strip())
        if match is None:
            raise ConfigError("phases_bad", value=text)
        share, batch_size, length = float(match[1]), int(match[2]), int(match[3])
        if min(share, batch_size, length) <= 0:
            raise ConfigError("phases_bad", value=text)
        found.append(Phase(share=share, batch_size=batch_size, sequence_length=length))
    if abs(sum(phase.share for phase in found) - 1) > _SHARES_TOLERANCE:
        raise ConfigError("phases_bad", value=text)
    return tuple(found)


def settle(phases: Sequence[Phase], steps: int, *, taken: int) -> tuple[Phase, ...]:
    """Return the phases with their numbers of steps, which are `steps` together.

    The first of them has been under way for `taken` steps already.
    """
    bounds = accumulate(phase.share for phase in phases)
    ends = [min(steps, max(taken, round(bound * steps))) for bound in bounds]
    ends[-1] = steps
    starts = [0, *ends[:-1]]
    return tuple(
        replace(phase, steps=end - start)
        for phase, start, end in zip(phases, starts, ends, strict=True)
    )


def phase_at(phases: Sequence[Phase], step: int) -> tuple[int, int]:
    """Return the number of the phase that `step` (from 0) is in, and its step within the phase."""
    number = 0
    while number + 1 < len(phases):
        steps = phases[number].steps
        if steps is None or step < steps:
            break
        step, number = step - steps, number + 1
    return number, step


def mean_tokens(phases: Sequence[Phase]) -> float:
    """Return the tokens that a step of the phases reads in the mean."""
    shares = sum(phase.share for phase in phases)
    return sum(phase.share * phase.tokens_per_step for phase in phases) / shares


def tokens_read(phases: Sequence[Phase], step: int) -> int:
    """Return the tokens that the first `step` steps read, short ends of epochs not deducted."""
    total = 0
    for phase in phases:
        taken = step if phase.steps is None else min(step, phase.steps)
        total += taken * phase.tokens_per_step
        step -= taken
    return total
