"""How large a network, how long a training: everything that a `TrainConfig` leaves open, settled.

The tables are measured, see benchmarks/LOG.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from memlm.errors import ConfigError
from memlm.models.config import (
    ATTENDING,
    LONGEST_PAST,
    NetworkConfig,
    block_kinds,
    describe_network,
)
from memlm.models.foreign_shape import AnyShape, ForeignShape
from memlm.train.batches import steps_per_epoch
from memlm.train.config import DEFAULT_MINUTES, OptimizerKind, Precision, TrainConfig
from memlm.train.measured import LARGE_VOCABULARY, Choice, choose_network
from memlm.train.plan import MUON_LEARNING_RATE, WARM_UP_SHARE, DataFacts, TrainPlan
from memlm.train.schedule import Phase, Schedule, parse_phases

DEFAULT_WINDOW = 256
DEFAULT_RANK = 16
# (at least so many parameters, share of the rate that begins with nothing), see benchmarks/LOG.md
_TUNED: tuple[tuple[float, float], ...] = ((1e8, 0.1), (1e7, 0.3), (0.0, 1.0))
_CONTINUED = 0.3
_LEAST_RATE = 1e-4
_LONGEST_WINDOW, _TOKENS_OF_WINDOWS = 256, 2048
_NETWORK_OF_TASKS = "transformer"
_WINDOW_STEP, _LONGEST_OF_EXAMPLES = 32, 512
_FLOPS_PER_SECOND_PER_CORE = 60e9  # of the core that the tables' core-minutes are of
# (at least so many core-minutes, hidden width), see benchmarks/LOG.md
_Table = tuple[tuple[float, int], ...]
_WIDTH_BY_TIME: _Table = ((200.0, 768), (6.0, 640), (3.0, 512), (0.8, 384), (0.0, 192))
_WIDTH_BY_TIME_LARGE_VOCABULARY: _Table = ((40.0, 512), (8.0, 384), (0.8, 256), (0.0, 128))
_WIDTH_OF_ONE_THREAD = 256
_LANES = 16
_SEQUENCE_LENGTHS = (16, 24, 32, 48, 64)
# (at least so many tokens to learn, most hidden units)
_WIDTH_BY_TOKENS = ((300_000, 1024), (60_000, 256), (10_000, 192), (0, 128))
# (read at least so many times, dropout)
_DROPOUT_BY_EPOCHS = ((25.0, 0.4), (12.0, 0.2), (5.5, 0.1), (0.0, 0.0))
# A transformer of letters learns best deep and narrow, and with Muon, see benchmarks/LOG.md.
_TRANSFORMER_LAYERS = 4
_TRANSFORMER_WIDTH_BY_TIME: _Table = ((40.0, 256), (8.0, 192), (1.5, 128), (0.0, 96))
_RESIDUAL_FROM_LAYERS = 3  # 1.57 nats instead of 1.90 after 700 steps, see benchmarks/LOG.md
# (share of the steps, of the usual length): short stretches first, see benchmarks/LOG.md
_GROWTH = ((0.4, 0.5), (0.3, 1.0), (0.3, 1.5))
_USUAL_SCHEDULE: Schedule = "constant"  # 0.012 nats better than linear, see benchmarks/LOG.md
_VALIDATION_SHARE = 0.0075  # of the tokens trained: twenty take 5 % of the time, the last as much
_FEWEST_VALIDATED_TOKENS = 2_000


def make_plan(
    config: TrainConfig,
    facts: DataFacts,
    *,
    cores: int,
    processes: int = 1,
    is_on_gpu: bool = False,
    has_bf16: bool = False,
    flops_per_second: float | None = None,
    expected_steps: float | None = None,
    shape: AnyShape | None = None,
) -> TrainPlan:
    """Settle what `config` leaves open, from the size of the data and the time that there is.

    `cores` are those that each of the processes has; `has_bf16` says whether its processor computes
    with 16-bit numbers itself. `flops_per_second` is the speed of each process and `expected_steps`
    what the minutes have room for, where they were measured (`speed.py`); else, as where nothing is
    to depend on the clock, the machine is taken to be the usual one.
    """
    threads = config.threads or cores
    if shape is not None:
        config = replace(config, network=shape.kind)
    elif config.network == "auto":
        chosen = network_choice(config, facts, cores=cores, processes=processes)
        config = replace(config, network=chosen.network)
    minutes = config.minutes
    if minutes is None and config.steps is None and config.epochs is None:
        minutes = DEFAULT_MINUTES
    speed = processes * (flops_per_second or threads * _FLOPS_PER_SECOND_PER_CORE)
    is_begun = shape is not None
    shape = shape or _shape(config, facts, core_minutes=_core_minutes(minutes, speed))
    if isinstance(shape, ForeignShape):
        config = _in_windows(config, shape)
    phases = _phases(config, facts)
    batch_size, sequence_length = _batch(config, facts, phases)
    precision = _precision(config, shape, is_on_gpu=is_on_gpu, has_bf16=has_bf16)
    plan = TrainPlan(
        network=shape,
        batch_size=batch_size,
        sequence_length=sequence_length,
        learning_rate=config.learning_rate or _rate(config, shape, is_begun=is_begun),
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        seed=config.seed,
        threads=config.threads or _threads(shape, precision, cores),
        warm_up_steps=1,
        steps=None,
        minutes=minutes,
        validated_tokens=0,
        checkpoint_every=config.checkpoint_every,
        optimizer=_optimizer(config, shape),
        adapter_rank=config.adapter_rank or DEFAULT_RANK if config.adapter == "lora" else None,
        muon_learning_rate=config.muon_learning_rate
        or MUON_LEARNING_RATE * (_CONTINUED if is_begun else 1.0),
        schedule=_USUAL_SCHEDULE if config.schedule == "auto" else config.schedule,
        phases=phases,
        accumulate=config.accumulate,
        average_share=config.average_weights,
        patience=config.patience,
        precision=precision,
        is_compiled=_is_compiled(config, is_on_gpu and not is_begun),
        has_task=facts.example_tokens is not None,
        loss_on=config.loss_on,
    )
    steps = config.steps
    if config.epochs is not None:
        steps = config.epochs * _steps_per_epoch(plan, facts)
    expected = steps or expected_steps or (minutes or 0) * 60 * speed / _flops_per_step(plan)
    return _for_so_many_steps(plan, config, facts, steps=steps, expected=max(1.0, expected))


def _for_so_many_steps(
    plan: TrainPlan, config: TrainConfig, facts: DataFacts, *, steps: int | None, expected: float
) -> TrainPlan:
    """Return the plan with what depends on its length, which is `expected` if not known."""
    tokens = expected * plan.tokens_per_step
    network, dropout = plan.network, config.dropout
    if dropout is None:
        epochs = tokens / facts.train_tokens
        dropout = next(share for least, share in _DROPOUT_BY_EPOCHS if epochs >= least)
    if isinstance(network, NetworkConfig):  # one that was there before has those of its training
        network = replace(network, dropout=dropout, weight_dropout=config.weight_dropout)
    validated = max(_FEWEST_VALIDATED_TOKENS, round(tokens * _VALIDATION_SHARE))
    plan = replace(
        plan,
        network=network,
        warm_up_steps=max(1, round(WARM_UP_SHARE * expected)),
        validated_tokens=min(validated, facts.held_out_tokens),
    )
    return plan if steps is None else plan.with_steps(steps)


def network_choice(
    config: TrainConfig, facts: DataFacts, *, cores: int, processes: int = 1
) -> Choice:
    """Return what `auto` stands for, and why: steps and epochs as if for the default time."""
    if facts.example_tokens is not None:  # an answer looks back at its source
        return Choice(network=_NETWORK_OF_TASKS, losses={}, characters=0, minutes=0.0)
    return choose_network(
        vocabulary_size=facts.vocabulary_size,
        characters=facts.train_characters,
        core_minutes=(config.minutes or DEFAULT_MINUTES) * (config.threads or cores) * processes,
    )


def _phases(config: TrainConfig, facts: DataFacts) -> tuple[Phase, ...]:
    """Return the phases wished for, or the usual ones, no batch of them larger than the text."""
    found = []
    for phase in parse_phases(config.phases) if config.phases else _usual_phases(config, facts):
        batch_size, length = _fitting(phase.batch_size, phase.sequence_length, facts)
        found.append(replace(phase, batch_size=batch_size, sequence_length=length))
    return tuple(found)


def _usual_phases(config: TrainConfig, facts: DataFacts) -> tuple[Phase, ...]:
    """Return stretches that grow, for LSTMs that have minutes and long documents, else none.

    Steps and epochs are asked for to be the same each time.
    """
    is_timed = config.steps is None and config.epochs is None
    is_lstm = set(config.network.split("+")) == {"lstm"}
    if not is_timed or not is_lstm or config.sequence_length is not None:
        return ()
    length = _usual_length(facts)
    if length < _SEQUENCE_LENGTHS[-1]:
        return ()
    lanes = config.batch_size or _LANES
    return tuple(
        Phase(share=share, batch_size=lanes, sequence_length=round(part * length))
        for share, part in _GROWTH
    )


def _steps_per_epoch(plan: TrainPlan, facts: DataFacts) -> int:
    if plan.phases:
        return max(1, math.ceil(facts.train_tokens / plan.tokens_per_step))
    return steps_per_epoch(
        facts.train_tokens, batch_size=plan.batch_size, sequence_length=plan.sequence_length
    )


def _precision(
    config: TrainConfig, shape: AnyShape, *, is_on_gpu: bool, has_bf16: bool
) -> Precision | None:
    """Return the precision; None on a GPU, where it is timed.

    A processor that has bf16 trains an LSTM 1.7 times as fast with it, to the same loss; one that
    has not takes 2.5 times as long. With other blocks one such processor gained a third and another
    lost a third (benchmarks/LOG.md).
    """
    if config.precision != "auto":
        return config.precision
    if is_on_gpu:
        return None
    return "bf16" if has_bf16 and _is_lstm(shape) else "float32"


def _threads(shape: AnyShape, precision: Precision | None, cores: int) -> int:
    """Return one thread where more bring next to nothing, see benchmarks/LOG.md."""
    is_narrow = shape.hidden_width <= _WIDTH_OF_ONE_THREAD and shape.layers == 1
    return 1 if is_narrow and _is_lstm(shape) and precision == "bf16" else cores


def _is_lstm(shape: AnyShape) -> bool:
    return isinstance(shape, NetworkConfig) and all(block.kind == "lstm" for block in shape.blocks)


def _is_compiled(config: TrainConfig, is_on_gpu: bool) -> bool | None:
    if config.compile != "auto":
        return config.compile == "on"
    return None if is_on_gpu else False


def _optimizer(config: TrainConfig, shape: AnyShape) -> OptimizerKind:
    if config.optimizer != "auto":
        return config.optimizer
    is_ours = isinstance(shape, NetworkConfig) and config.adapter == "none"
    return "muon" if is_ours and _is_transformer(shape.kind) else "adamw"


def _shape(config: TrainConfig, facts: DataFacts, *, core_minutes: float) -> NetworkConfig:
    width = config.hidden_width or _width(config, facts, core_minutes)
    is_large = facts.vocabulary_size > LARGE_VOCABULARY
    cutoffs = _cutoffs(facts, width) if config.adaptive_softmax else ()
    # Letters need few dimensions. Many symbols share one table at both ends, if it may be as wide.
    embedding = config.embedding_width or (width if is_large else min(64, width))
    return describe_network(
        config.network,
        vocabulary_size=facts.vocabulary_size,
        embedding_width=embedding,
        hidden_width=width,
        layers=config.layers or (_TRANSFORMER_LAYERS if _is_transformer(config.network) else 1),
        heads=config.heads or 0,
        window=_window(config, facts),
        is_residual=_is_residual(config),
        dropout=config.dropout or 0.0,
        weight_dropout=config.weight_dropout,
        is_tied=is_large and embedding == width and not cutoffs,
        cutoffs=cutoffs,
        label_tokens=facts.label_tokens,
    )


def _window(config: TrainConfig, facts: DataFacts) -> int:
    """Return how many positions attention sees: if all of the past, none that is not learned from.

    That is the longest past or a longer stretch, and no more than a lane has.
    """
    if config.attention_window != 0:
        return config.attention_window or _usual_window(facts)
    phases = _phases(config, facts)
    lanes, length = _batch(config, facts, phases)
    longest = max([length, *(phase.sequence_length for phase in phases)])
    return min(max(LONGEST_PAST, longest), max(longest, facts.train_tokens // lanes))


def _usual_window(facts: DataFacts) -> int:
    """Return the usual window, or one that a task's example fits in: what is before it is another.

    One and a half times as wide, since a longer example will be asked one day.
    """
    if facts.example_tokens is None:
        return DEFAULT_WINDOW
    wanted = _WINDOW_STEP * math.ceil(1.5 * facts.example_tokens / _WINDOW_STEP)
    return min(max(wanted, 2 * _WINDOW_STEP), LONGEST_PAST)


def _is_residual(config: TrainConfig) -> bool:
    """Return whether recurrent layers add to their input, see benchmarks/LOG.md."""
    if config.residual != "auto":
        return config.residual == "on"
    kinds = block_kinds(config.network, config.layers or 1)
    return sum(kind not in ATTENDING for kind in kinds) >= _RESIDUAL_FROM_LAYERS


def _is_transformer(kind: str) -> bool:
    return set(kind.split("+")) == {"transformer"}


def _cutoffs(facts: DataFacts, width: int) -> tuple[int, ...]:
    """Return where the clusters of an adaptive softmax begin: a fifth, and three fifths."""
    if facts.label_tokens:
        raise ConfigError("adaptive_softmax_labels")
    size = facts.vocabulary_size
    cuts = sorted({cut for cut in (size // 5, size * 3 // 5) if 0 < cut < size})
    return tuple(cuts[: int(math.log(width, 4))])  # each cluster is a quarter as wide


def _core_minutes(minutes: float | None, speed: float) -> float:
    """Return the minutes that one of the tables' cores takes for as much arithmetic.

    Steps and epochs are as long as they take: they count as the default time.
    """
    return (minutes or DEFAULT_MINUTES) * speed / _FLOPS_PER_SECOND_PER_CORE


def _width(config: TrainConfig, facts: DataFacts, core_minutes: float) -> int:
    """Return the hidden width: what won in about as much time, and no more than the text can fill.

    The table is measured, see benchmarks/LOG.md.
    """
    most = next(width for least, width in _WIDTH_BY_TOKENS if facts.train_tokens >= least)
    table = _WIDTH_BY_TIME
    if _is_transformer(config.network):
        table = _TRANSFORMER_WIDTH_BY_TIME
    elif facts.vocabulary_size > LARGE_VOCABULARY:
        table = _WIDTH_BY_TIME_LARGE_VOCABULARY
    return min(most, next(width for least, width in table if core_minutes >= least))


def _batch(config: TrainConfig, facts: DataFacts, phases: Sequence[Phase]) -> tuple[int, int]:
    """Return the size and length of the batches that end the training."""
    if phases:
        return phases[-1].batch_size, phases[-1].sequence_length
    return _fitting(
        config.batch_size or _LANES, config.sequence_length or _usual_length(facts), facts
    )


def _usual_length(facts: DataFacts) -> int:
    """Return about one document, where documents are short: more updates for the text."""
    mean = facts.train_tokens / max(1, facts.train_units)
    if facts.example_tokens is not None:  # so that few are cut by the end of a stretch
        wanted = _WINDOW_STEP * math.ceil(4 * mean / _WINDOW_STEP)
        return min(max(wanted, _SEQUENCE_LENGTHS[-1]), _LONGEST_OF_EXAMPLES)
    return next((bound for bound in _SEQUENCE_LENGTHS if mean <= bound), _SEQUENCE_LENGTHS[-1])


def _fitting(batch_size: int, length: int, facts: DataFacts) -> tuple[int, int]:
    """Return a batch's size and length, reduced to what the text has."""
    length = min(length, max(1, facts.train_tokens - 1))
    most = max(1, facts.train_tokens // (length + 1))
    return min(batch_size, most), length


def _in_windows(config: TrainConfig, shape: ForeignShape) -> TrainConfig:
    """Return the options with stretches that a model which carries no state learns from."""
    length = config.sequence_length or min(shape.context, _LONGEST_WINDOW)
    phases = parse_phases(config.phases) if config.phases else ()
    longest = max([phase.sequence_length for phase in phases] or [length])
    if longest > shape.context:
        option = "--phases" if phases else "--sequence-length"
        values = {"value": longest, "most": shape.context, "model": shape.kind}
        raise ConfigError("window_too_long", option=option, **values)
    lanes = config.batch_size or max(1, _TOKENS_OF_WINDOWS // length)
    return config if phases else replace(config, batch_size=lanes, sequence_length=length)


def _rate(config: TrainConfig, shape: AnyShape, *, is_begun: bool) -> float:
    """Return the peak learning rate; what has learned already is changed with care.

    The rate that others begin with falls with their size (Kaplan et al. 2020, appendix D.6).
    """
    if not is_begun:
        assert isinstance(shape, NetworkConfig)
        return _learning_rate(shape)
    if isinstance(shape, ForeignShape):
        rate = max(_LEAST_RATE, 3.239e-3 - 1.395e-4 * math.log(shape.num_parameters))
        share = next(share for least, share in _TUNED if shape.num_parameters >= least)
        return rate if config.adapter == "lora" else share * rate
    return _learning_rate(shape) * (1.0 if config.adapter == "lora" else _CONTINUED)


def _learning_rate(network: NetworkConfig) -> float:
    """Return a peak learning rate that falls with width and depth, see benchmarks/LOG.md.

    One layer learns letters best at 1e-2 and more with 192 units, 4e-3 to 6e-3 with 384, 2e-3 to
    3e-3 with 512 and more; two layers of 256 learn words at 2e-3 and nothing but word frequencies
    at 7e-3.
    """
    rate = min(8.5e-3, 5e-3 * (384 / network.hidden_width) ** 1.3)
    return rate if len(network.blocks) == 1 else 0.3 * rate


def _flops_per_token(network: AnyShape) -> float:
    if isinstance(network, ForeignShape):
        return 6.0 * network.num_parameters
    looked_up = 0 if network.is_tied else network.vocabulary_size * network.embedding_width
    return 6.0 * (network.num_parameters - looked_up)


def _flops_per_step(plan: TrainPlan) -> float:
    return _flops_per_token(plan.network) * plan.tokens_per_step
