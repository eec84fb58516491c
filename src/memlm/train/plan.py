"""A training in numbers, and what has to be known of the text to make one.

With `--minutes` the number of steps is fixed when a twentieth of the time has measured the speed,
and put right within the first fifth if that was no measure; from then on the plan is a table of
numbers that nothing changes, and that a resumed run follows to the bit. `recipe.py` makes plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from memlm.errors import CorruptArtefactError
from memlm.models.foreign_shape import AnyShape, read_shape
from memlm.train.config import LossOn, OptimizerKind, Precision
from memlm.train.schedule import (
    Phase,
    Schedule,
    mean_tokens,
    rate_share,
    settle,
    tokens_read,
)

WARM_UP_SHARE = 0.05
VALIDATIONS = 20
CHECKPOINTS = 10
MUON_LEARNING_RATE = 0.02  # Jordan 2024


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What the plan needs to know of the prepared text."""

    train_tokens: int
    held_out_tokens: int
    train_characters: int
    train_units: int
    """Stretches that the learned tokens come in: whole documents, where there are many."""
    vocabulary_size: int
    label_tokens: tuple[int, ...]
    example_tokens: int | None = None
    """Tokens that nearly every example of a task has at most; None: the text is no examples."""


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """A training in numbers."""

    network: AnyShape
    batch_size: int
    sequence_length: int
    learning_rate: float
    weight_decay: float
    clip_norm: float
    seed: int
    threads: int
    warm_up_steps: int
    steps: int | None
    """None until the speed is measured (`minutes` only)."""
    minutes: float | None
    validated_tokens: int
    """Held-out tokens that each validation reads; the last one reads all."""
    checkpoint_every: int | None
    """Steps between checkpoints, where they were said."""
    optimizer: OptimizerKind = "adamw"
    muon_learning_rate: float = MUON_LEARNING_RATE
    schedule: Schedule = "linear"
    phases: tuple[Phase, ...] = ()
    """Batches of other sizes before those of `batch_size` and `sequence_length`, which end it."""
    accumulate: int = 1
    average_share: float = 0.0
    patience: int | None = None
    precision: Precision | None = "float32"
    """None until both have been timed."""
    is_compiled: bool | None = False
    """None until that has been timed."""
    adapter_rank: int | None = None
    """Rank of the change that is learned beside frozen weights; None: the weights are learned."""
    has_task: bool = False
    """The text holds examples of a task, of which targets are measured."""
    loss_on: LossOn = "target"
    """What is learned of them."""

    @property
    def all_phases(self) -> tuple[Phase, ...]:
        """The phases; a plan that has none is one."""
        size = {"batch_size": self.batch_size, "sequence_length": self.sequence_length}
        return self.phases or (Phase(share=1.0, steps=self.steps, **size),)

    @property
    def tokens_per_step(self) -> float:
        """Tokens that a step reads in the mean."""
        return mean_tokens(self.all_phases)

    def tokens_read(self, step: int) -> int:
        """Return how many tokens the first `step` steps read."""
        return tokens_read(self.all_phases, step)

    @property
    def validate_every(self) -> int | None:
        """Steps between validations; None until `steps` is known."""
        return None if self.steps is None else max(1, self.steps // VALIDATIONS)

    @property
    def save_every(self) -> int | None:
        """Steps between checkpoints; None until it is said or `steps` is known."""
        if self.checkpoint_every is not None or self.steps is None:
            return self.checkpoint_every
        return max(1, self.steps // CHECKPOINTS)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of step `step` (from 0)."""
        return self.learning_rate * self.rate_share_at(step)

    def rate_share_at(self, step: int) -> float:
        """Return the share of the peak rate at step `step`: up in warm-up, then by the schedule."""
        return rate_share(self.schedule, step, warm_up_steps=self.warm_up_steps, steps=self.steps)

    def with_steps(self, steps: int, *, taken: int = 0) -> TrainPlan:
        """Return the plan with its number of steps fixed for good, when `taken` are done."""
        # The warm-up was sized by a guess of the speed; on a slow machine that was too much.
        warm_up = min(self.warm_up_steps, max(1, round(2 * WARM_UP_SHARE * steps)))
        phases = settle(self.phases, steps, taken=taken) if self.phases else ()
        return replace(self, steps=steps, warm_up_steps=warm_up, phases=phases)

    def to_json(self) -> dict[str, object]:
        """Return the plan as JSON, for `run.json`."""
        return asdict(self) | {"network": self.network.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], *, path: object) -> TrainPlan:  # Any: JSON
        """Return the plan that `to_json` described; CorruptArtefactError if it is none."""
        network = read_shape(fields["network"], path=path)
        try:
            phases = tuple(Phase(**phase) for phase in fields["phases"])
            return cls(**dict(fields) | {"network": network, "phases": phases})
        except (TypeError, KeyError) as error:
            raise CorruptArtefactError("artefact_unreadable", path=path) from error
