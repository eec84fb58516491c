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

from memlm.errors import ConfigError, CorruptArtefactError
from memlm.models.config import NetworkConfig, describe_network
from memlm.train.batches import steps_per_epoch
from memlm.train.config import DEFAULT_MINUTES, OptimizerKind, Precision, TrainConfig
from memlm.train.schedule import (
    Phase,
    Schedule,
    mean_tokens,
    parse_phases,
    rate_share,
    settle,
    tokens_read,
)

WARM_UP_SHARE = 0.05
VALIDATIONS = 20
DEFAULT_WINDOW = 256
CHECKPOINTS = 10
_FLOPS_PER_SECOND_PER_CORE = 60e9  # a guess that only sizes the warm-up and the dropout
_LARGE_VOCABULARY = 1024
# (at least so many core-minutes, hidden width), see benchmarks/LOG.md
_WIDTH_BY_TIME = ((40.0, 768), (8.0, 512), (0.8, 384), (0.0, 192))
_WIDTH_BY_TIME_LARGE_VOCABULARY = ((40.0, 512), (8.0, 384), (0.8, 256), (0.0, 128))
_SEQUENCE_LENGTHS = (16, 24, 32, 48, 64)
# (at least so many tokens to learn, most hidden units)
_WIDTH_BY_TOKENS = ((300_000, 1024), (60_000, 256), (10_000, 192), (0, 128))
# (read at least so many times, dropout)
_DROPOUT_BY_EPOCHS = ((20.0, 0.4), (6.0, 0.2), (0.0, 0.0))
# What `auto` takes, and takes for networks that are not in the table.
_OPTIMIZER: dict[str, OptimizerKind] = {"lstm": "adamw", "gru": "adamw"}
_USUAL_OPTIMIZER: OptimizerKind = "adamw"
_USUAL_SCHEDULE: Schedule = "constant"  # 0.012 nats better than linear, see benchmarks/LOG.md
MUON_LEARNING_RATE = 0.02  # Jordan 2024
_VALIDATION_SHARE = 0.0075  # of the tokens trained, for each validation: 5 % of the time in all
_FEWEST_VALIDATED_TOKENS = 2_000


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

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of step `step` (from 0)."""
        return self.learning_rate * self.rate_share_at(step)

    def rate_share_at(self, step: int) -> float:
        """Return the share of the peak rate at step `step`: up in warm-up, then by the schedule."""
        return rate_share(self.schedule, step, warm_up_steps=self.warm_up_steps, steps=self.steps)

    def with_steps(self, steps: int, *, taken: int = 0) -> TrainPlan:
        """Return the plan with its number of steps fixed for good, when `taken` are done."""
        every = self.checkpoint_every or max(1, steps // CHECKPOINTS)
        # The warm-up was sized by a guess of the speed; on a slow machine that was too much.
        warm_up = min(self.warm_up_steps, max(1, round(2 * WARM_UP_SHARE * steps)))
        phases = settle(self.phases, steps, taken=taken) if self.phases else ()
        return replace(
            self, steps=steps, checkpoint_every=every, warm_up_steps=warm_up, phases=phases
        )

    def to_json(self) -> dict[str, object]:
        """Return the plan as JSON, for `run.json`."""
        return asdict(self) | {"network": self.network.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any], *, path: object) -> TrainPlan:  # Any: JSON
        """Return the plan that `to_json` described; CorruptArtefactError if it is none."""
        network = NetworkConfig.from_json(fields["network"], path=path)
        try:
            phases = tuple(Phase(**phase) for phase in fields["phases"])
            return cls(**dict(fields) | {"network": network, "phases": phases})
        except (TypeError, KeyError) as error:
            raise CorruptArtefactError("artefact_unreadable", path=path) from error


def make_plan(
    config: TrainConfig,
    facts: DataFacts,
    *,
    cores: int,
    processes: int = 1,
    is_on_gpu: bool = False,
    has_bf16: bool = False,
) -> TrainPlan:
    """Settle what `config` leaves open, from the size of the data and the time that there is.

    `cores` are those that each of the processes has; `has_bf16` says whether its processor computes
    with 16-bit numbers itself.
    """
    threads = config.threads or cores
    minutes = config.minutes
    if minutes is None and config.steps is None and config.epochs is None:
        minutes = DEFAULT_MINUTES
    shape = _shape(config, facts, minutes, threads * processes)
    phases = _phases(config, facts)
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
        optimizer=_optimizer(config, shape),
        muon_learning_rate=config.muon_learning_rate or MUON_LEARNING_RATE,
        schedule=_USUAL_SCHEDULE if config.schedule == "auto" else config.schedule,
        phases=phases,
        accumulate=config.accumulate,
        average_share=config.average_weights,
        patience=config.patience,
        precision=_precision(config, is_on_gpu=is_on_gpu, has_bf16=has_bf16),
        is_compiled=_is_compiled(config, is_on_gpu),
    )
    steps = config.steps
    if config.epochs is not None:
        steps = config.epochs * _steps_per_epoch(plan, facts)
    expected = steps or max(1, round((minutes or 0) * 60 * processes / _seconds_per_step(plan)))
    tokens = max(
        _FEWEST_VALIDATED_TOKENS, round(expected * plan.tokens_per_step * _VALIDATION_SHARE)
    )
    plan = replace(
        plan,
        warm_up_steps=max(1, round(WARM_UP_SHARE * expected)),
        validated_tokens=min(tokens, facts.held_out_tokens),
    )
    return plan if steps is None else plan.with_steps(steps)


def _phases(config: TrainConfig, facts: DataFacts) -> tuple[Phase, ...]:
    """Return the phases wished for, no batch of them larger than the text."""
    found = []
    for phase in parse_phases(config.phases) if config.phases else ():
        batch_size, length = _fitting(phase.batch_size, phase.sequence_length, facts)
        found.append(replace(phase, batch_size=batch_size, sequence_length=length))
    return tuple(found)


def _steps_per_epoch(plan: TrainPlan, facts: DataFacts) -> int:
    if plan.phases:
        return max(1, math.ceil(facts.train_tokens / plan.tokens_per_step))
    return steps_per_epoch(
        facts.train_tokens, batch_size=plan.batch_size, sequence_length=plan.sequence_length
    )


def _precision(config: TrainConfig, *, is_on_gpu: bool, has_bf16: bool) -> Precision | None:
    """Return the precision; None on a GPU, where it is timed.

    A processor that has bf16 trains 1.3 times (transformer, GRU) to 1.7 times (LSTM) as fast with
    it, to the same loss; one that has not takes 2.5 times as long (benchmarks/LOG.md).
    """
    if config.precision != "auto":
        return config.precision
    if is_on_gpu:
        return None
    return "bf16" if has_bf16 else "float32"


def _is_compiled(config: TrainConfig, is_on_gpu: bool) -> bool | None:
    if config.compile != "auto":
        return config.compile == "on"
    return None if is_on_gpu else False


def _optimizer(config: TrainConfig, shape: NetworkConfig) -> OptimizerKind:
    if config.optimizer != "auto":
        return config.optimizer
    return _OPTIMIZER.get(shape.kind, _USUAL_OPTIMIZER)


def _shape(
    config: TrainConfig, facts: DataFacts, minutes: float | None, threads: int
) -> NetworkConfig:
    width = config.hidden_width or _width(config, facts, minutes, threads)
    is_large = facts.vocabulary_size > _LARGE_VOCABULARY
    cutoffs = _cutoffs(facts, width) if config.adaptive_softmax else ()
    # Letters need few dimensions. Many symbols share one table at both ends, if it may be as wide.
    embedding = config.embedding_width or (width if is_large else min(64, width))
    shape = describe_network(
        "lstm" if config.network == "auto" else config.network,
        vocabulary_size=facts.vocabulary_size,
        embedding_width=embedding,
        hidden_width=width,
        layers=config.layers or 1,
        heads=config.heads or 0,
        window=DEFAULT_WINDOW if config.attention_window is None else config.attention_window,
        dropout=config.dropout or 0.0,
        weight_dropout=config.weight_dropout,
        is_tied=is_large and embedding == width and not cutoffs,
        cutoffs=cutoffs,
        label_tokens=facts.label_tokens,
    )
    if config.dropout is not None:
        return shape
    epochs = _expected_tokens(config, facts, shape, minutes, threads) / facts.train_tokens
    dropout = next(share for least, share in _DROPOUT_BY_EPOCHS if epochs >= least)
    return replace(shape, dropout=dropout)


def _cutoffs(facts: DataFacts, width: int) -> tuple[int, ...]:
    """Return where the clusters of an adaptive softmax begin: a fifth, and three fifths."""
    if facts.label_tokens:
        raise ConfigError("adaptive_softmax_labels")
    size = facts.vocabulary_size
    cuts = sorted({cut for cut in (size // 5, size * 3 // 5) if 0 < cut < size})
    return tuple(cuts[: int(math.log(width, 4))])  # each cluster is a quarter as wide


def _width(config: TrainConfig, facts: DataFacts, minutes: float | None, threads: int) -> int:
    """Return the hidden width: what won in about as much time, and no more than the text can fill.

    The table is measured, see benchmarks/LOG.md.
    """
    most = next(width for least, width in _WIDTH_BY_TOKENS if facts.train_tokens >= least)
    if minutes is None:  # as long as it takes: as if for the default time
        minutes = DEFAULT_MINUTES
    table = _WIDTH_BY_TIME
    if facts.vocabulary_size > _LARGE_VOCABULARY:
        table = _WIDTH_BY_TIME_LARGE_VOCABULARY
    return min(most, next(width for least, width in table if minutes * threads >= least))


def _expected_tokens(
    config: TrainConfig,
    facts: DataFacts,
    shape: NetworkConfig,
    minutes: float | None,
    threads: int,
) -> float:
    if config.epochs is not None:
        return float(config.epochs * facts.train_tokens)
    if config.steps is not None:
        phases = _phases(config, facts)
        batch_size, sequence_length = _batch(config, facts)
        per_step = mean_tokens(phases) if phases else batch_size * sequence_length
        return float(config.steps * per_step)
    seconds = (minutes or DEFAULT_MINUTES) * 60
    return seconds * _FLOPS_PER_SECOND_PER_CORE * threads / _flops_per_token(shape)


def _batch(config: TrainConfig, facts: DataFacts) -> tuple[int, int]:
    phases = _phases(config, facts)
    if phases:
        return phases[-1].batch_size, phases[-1].sequence_length
    length = config.sequence_length
    if length is None:  # about one document, where documents are short: more updates for the text
        mean = facts.train_tokens / max(1, facts.train_units)
        length = next(bound for bound in _SEQUENCE_LENGTHS if mean <= bound or bound == 64)
    return _fitting(config.batch_size or 16, length, facts)


def _fitting(batch_size: int, length: int, facts: DataFacts) -> tuple[int, int]:
    """Return a batch's size and length, reduced to what the text has."""
    length = min(length, max(1, facts.train_tokens - 1))
    most = max(1, facts.train_tokens // (length + 1))
    return min(batch_size, most), length


def _learning_rate(network: NetworkConfig) -> float:
    """Return a peak learning rate that falls with width and depth, see benchmarks/LOG.md.

    One layer of 384 learns letters best at 6e-3; two layers of 256 learn words at 2e-3 and nothing
    but word frequencies at 7e-3.
    """
    rate = 6e-3 * math.sqrt(384 / max(network.hidden_width, 144))
    return rate if len(network.blocks) == 1 else 0.3 * rate


def _flops_per_token(network: NetworkConfig) -> float:
    looked_up = 0 if network.is_tied else network.vocabulary_size * network.embedding_width
    return 6.0 * (network.num_parameters - looked_up)


def _seconds_per_step(plan: TrainPlan) -> float:
    flops = _flops_per_token(plan.network) * plan.tokens_per_step
    return flops / (_FLOPS_PER_SECOND_PER_CORE * plan.threads)
