"""How large a network, how long a training: everything that a `TrainConfig` leaves open, settled.

With `--minutes` the number of steps is fixed once, when a twentieth of the time has measured the
speed; from then on the plan is a table of numbers that nothing changes, and that a resumed run
follows to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from memlm.models.config import NetworkConfig
from memlm.train.config import DEFAULT_MINUTES, TrainConfig

WARM_UP_SHARE = 0.05
VALIDATIONS = 20
CHECKPOINTS = 10
_FLOPS_PER_SECOND_PER_CORE = 25e9  # a guess that only sizes the warm-up and the network
_VALIDATION_SHARE = 0.0075  # of the tokens trained, for each validation: 5 % of the time in all
_FEWEST_VALIDATED_TOKENS = 2_000


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What the plan needs to know of the prepared text."""

    train_tokens: int
    held_out_tokens: int
    train_characters: int
    vocabulary_size: int
    label_tokens: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """A training in numbers."""

    network: NetworkConfig
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
    """Steps between checkpoints; None until `steps` is known."""

    @property
    def tokens_per_step(self) -> int:
        """Tokens read by one step."""
        return self.batch_size * self.sequence_length

    @property
    def validate_every(self) -> int | None:
        """Steps between validations; None until `steps` is known."""
        return None if self.steps is None else max(1, self.steps // VALIDATIONS)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of step `step` (from 0): linear up, then linear down to 0."""
        up = min(1.0, (step + 1) / self.warm_up_steps)
        if self.steps is None or step < self.warm_up_steps:
            return self.learning_rate * up
        left = (self.steps - step) / max(1, self.steps - self.warm_up_steps)
        return self.learning_rate * left

    def with_steps(self, steps: int) -> TrainPlan:
        """Return the plan with its number of steps fixed for good."""
        every = self.checkpoint_every or max(1, steps // CHECKPOINTS)
        warm_up = min(self.warm_up_steps, steps)
        return replace(self, steps=steps, checkpoint_every=every, warm_up_steps=warm_up)

    def to_json(self) -> dict[str, object]:
        """Return the plan as JSON, for `run.json`."""
        return asdict(self) | {"network": self.network.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], *, path: object) -> TrainPlan:  # Any: JSON
        """Return the plan that `to_json` described."""
        network = NetworkConfig.from_json(fields["network"], path=path)
        return cls(**dict(fields) | {"network": network})


def make_plan(config: TrainConfig, facts: DataFacts, *, cores: int) -> TrainPlan:
    """Settle what `config` leaves open, from the size of the data and the time that there is."""
    threads = config.threads or cores
    minutes = config.minutes
    if minutes is None and config.steps is None and config.epochs is None:
        minutes = DEFAULT_MINUTES
    shape = _shape(config, facts, minutes, threads)
    batch_size, sequence_length = _batch(config, facts)
    plan = TrainPlan(
        network=shape,
        batch_size=batch_size,
        sequence_length=sequence_length,
        learning_rate=config.learning_rate or _learning_rate(shape),
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        seed=config.seed,
        threads=threads,
        warm_up_steps=1,
        steps=None,
        minutes=minutes,
        validated_tokens=0,
        checkpoint_every=config.checkpoint_every,
    )
    steps = config.steps
    if config.epochs is not None:
        steps = config.epochs * max(1, facts.train_tokens // plan.tokens_per_step)
    expected = steps or max(1, round((minutes or 0) * 60 / _seconds_per_step(plan)))
    tokens = max(
        _FEWEST_VALIDATED_TOKENS, round(expected * plan.tokens_per_step * _VALIDATION_SHARE)
    )
    plan = replace(
        plan,
        warm_up_steps=max(1, round(WARM_UP_SHARE * expected)),
        validated_tokens=min(tokens, facts.held_out_tokens),
    )
    return plan if steps is None else plan.with_steps(steps)


def _shape(
    config: TrainConfig, facts: DataFacts, minutes: float | None, threads: int
) -> NetworkConfig:
    kind = "lstm" if config.network == "auto" else config.network
    layers = config.layers or 1
    tokens = config.epochs * facts.train_tokens if config.epochs else None
    if config.steps:
        tokens = config.steps * (config.batch_size or 16) * (config.sequence_length or 64)
    width = config.hidden_width or _width(facts, minutes, tokens, threads)
    embedding = config.embedding_width or _embedding_width(facts.vocabulary_size, width)
    dropout = config.dropout
    if dropout is None:
        dropout = 0.1 if facts.train_tokens < 500_000 else 0.0
    return NetworkConfig(
        kind=kind,
        vocabulary_size=facts.vocabulary_size,
        embedding_width=embedding,
        hidden_width=width,
        layers=layers,
        dropout=dropout,
        label_tokens=facts.label_tokens,
    )


def _width(facts: DataFacts, minutes: float | None, tokens: int | None, threads: int) -> int:
    """Return the hidden width: the more there is to read in the time, the wider pays."""
    if minutes is None:
        flops = 6.0 * 0.5e6 * (tokens or 1)
    else:
        flops = minutes * 60 * _FLOPS_PER_SECOND_PER_CORE * threads
    for width, least_flops in ((768, 4e13), (512, 7e12), (384, 1.5e12), (256, 4e11), (192, 1e11)):
        if flops >= least_flops and facts.train_tokens > 20 * width:
            return width
    return 128


def _embedding_width(vocabulary_size: int, hidden_width: int) -> int:
    """Return the width of the token vectors: letters need few dimensions, words more."""
    if vocabulary_size <= 512:
        return min(64, hidden_width)
    return min(128 if vocabulary_size <= 8192 else 192, hidden_width)


def _batch(config: TrainConfig, facts: DataFacts) -> tuple[int, int]:
    length = min(config.sequence_length or 64, max(1, facts.train_tokens - 1))
    most = max(1, facts.train_tokens // (length + 1))
    return min(config.batch_size or 16, most), length


def _learning_rate(network: NetworkConfig) -> float:
    """Return a peak learning rate that falls with the width, as it must (6e-3 at 384, measured)."""
    return 6e-3 * math.sqrt(384 / max(network.hidden_width, 192))


def _seconds_per_step(plan: TrainPlan) -> float:
    multiplied = plan.network.num_parameters - (
        plan.network.vocabulary_size * plan.network.embedding_width
    )
    flops = 6.0 * multiplied * plan.tokens_per_step
    return flops / (_FLOPS_PER_SECOND_PER_CORE * plan.threads)
