"""What a plan settles, and what it must never change."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from memlm.errors import ConfigError
from memlm.train import TrainConfig
from memlm.train.batches import TokenStream
from memlm.train.plan import DataFacts, TrainPlan
from memlm.train.recipe import make_plan

FACTS = DataFacts(
    train_tokens=1_000_000,
    held_out_tokens=100_000,
    train_units=1,
    train_characters=1_000_000,
    vocabulary_size=90,
    label_tokens=(),
)
LARGE = replace(FACTS, vocabulary_size=8_000)


def _rates(plan: TrainPlan) -> np.ndarray:
    assert plan.steps is not None
    return np.array([plan.learning_rate_at(step) for step in range(plan.steps)])


def test_the_learning_rate_rises_in_warm_up_and_then_falls(make_plan_of):
    rates = _rates(make_plan_of(steps=100, warm_up_steps=5))
    assert (np.diff(rates[:5]) > 0).all()
    assert (np.diff(rates[5:]) < 0).all()


def test_the_learning_rate_never_exceeds_its_peak_and_reaches_it(make_plan_of):
    rates = _rates(make_plan_of(steps=100, warm_up_steps=5, learning_rate=0.02))
    assert rates.max() == pytest.approx(0.02)


def test_the_learning_rate_ends_near_zero_but_not_at_it(make_plan_of):
    rates = _rates(make_plan_of(steps=100, warm_up_steps=5, learning_rate=0.02))
    assert 0 < rates[-1] < 0.02 * 0.02


def test_the_learning_rate_changes_by_small_steps_only(make_plan_of):
    rates = _rates(make_plan_of(steps=100, warm_up_steps=5, learning_rate=1.0))
    assert np.abs(np.diff(rates)).max() <= 0.2 + 1e-9


def test_while_the_steps_are_unknown_the_learning_rate_stays_in_warm_up(make_plan_of):
    plan = make_plan_of(steps=None, minutes=1.0, warm_up_steps=4, learning_rate=0.02)
    rates = [plan.learning_rate_at(step) for step in range(8)]
    assert rates == pytest.approx([0.005, 0.01, 0.015, 0.02, 0.02, 0.02, 0.02, 0.02])


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_very_short_training_has_positive_learning_rates(make_plan_of, steps):
    plan = make_plan_of(steps=None, minutes=1.0, warm_up_steps=100).with_steps(steps)
    assert (_rates(plan) > 0).all()


ARTICLE = {
    "embedding_width": 61,
    "hidden_width": 67,
    "layers": 3,
    "dropout": 0.35,
    "batch_size": 7,
    "sequence_length": 35,
    "learning_rate": 0.0123,
    "weight_decay": 0.0,
    "clip_norm": 0.25,
    "seed": 1111,
    "threads": 3,
    "checkpoint_every": 17,
}


@pytest.mark.parametrize("length", [{"steps": 100}, {"epochs": 2}, {"minutes": 5.0}], ids=str)
@pytest.mark.parametrize("facts", [FACTS, LARGE], ids=["letters", "words"])
@pytest.mark.parametrize("network", ["lstm", "gru"])
def test_what_the_user_says_is_never_changed(length, facts, network):
    plan = make_plan(TrainConfig(**ARTICLE, network=network, **length), facts, cores=2)
    found = {
        name: getattr(plan, name, None) or getattr(plan.network, name, 0.0) for name in ARTICLE
    }
    assert found | {"layers": len(plan.network.blocks)} == ARTICLE
    assert plan.network.kind == network


def test_steps_given_are_the_steps_planned():
    assert make_plan(TrainConfig(steps=123), FACTS, cores=2).steps == 123


@pytest.mark.parametrize("tokens", [3, 90, 1_900, 1_901, 2_081, 50_000])
@pytest.mark.parametrize("options", [{}, {"batch_size": 3, "sequence_length": 7}], ids=str)
def test_epochs_are_those_of_the_stream_whatever_the_size_of_the_text(make_units, tokens, options):
    facts = replace(FACTS, train_tokens=tokens)
    plan = make_plan(TrainConfig(epochs=10, **options), facts, cores=2)
    stream = TokenStream(
        np.zeros(tokens, dtype=np.uint8),
        make_units(tokens),
        batch_size=plan.batch_size,
        sequence_length=plan.sequence_length,
        seed=0,
    )
    assert plan.steps == 10 * stream.steps_per_epoch


def test_epochs_read_the_text_as_many_times():
    plan = make_plan(TrainConfig(epochs=3), FACTS, cores=2)
    assert plan.steps * plan.tokens_per_step == pytest.approx(3 * FACTS.train_tokens, rel=0.01)


def test_epochs_in_phases_read_the_text_as_many_times():
    plan = make_plan(TrainConfig(epochs=3, phases="0.4:4x16,0.6:16x64"), FACTS, cores=2)
    assert plan.tokens_read(plan.steps) == pytest.approx(3 * FACTS.train_tokens, rel=0.01)


def test_a_plan_has_the_phases_that_were_said_and_ends_with_the_last():
    plan = make_plan(TrainConfig(steps=50, phases="0.4:4x16,0.6:16x64"), FACTS, cores=2)
    assert [phase.steps for phase in plan.phases] == [20, 30]
    assert (plan.batch_size, plan.sequence_length) == (16, 64)
    assert plan.tokens_read(50) == 20 * 4 * 16 + 30 * 16 * 64


def test_no_phase_is_larger_than_the_text():
    facts = replace(FACTS, train_tokens=100)
    plan = make_plan(TrainConfig(steps=9, phases="0.5:4x16,0.5:64x64"), facts, cores=2)
    assert all(phase.batch_size * (phase.sequence_length + 1) <= 100 for phase in plan.phases)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_optimizer_and_schedule_are_those_that_were_said(optimizer, schedule):
    config = TrainConfig(
        steps=9, optimizer=optimizer, schedule=schedule, muon_learning_rate=0.5, accumulate=3
    )
    plan = make_plan(config, FACTS, cores=2)
    assert (plan.optimizer, plan.schedule) == (optimizer, schedule)
    assert (plan.muon_learning_rate, plan.accumulate) == (0.5, 3)


def test_what_is_left_to_auto_is_adamw_at_a_rate_that_falls_at_the_end():
    plan = make_plan(TrainConfig(steps=9), FACTS, cores=2)
    assert (plan.optimizer, plan.schedule, plan.phases) == ("adamw", "constant", ())


def test_stretches_grow_where_an_lstm_has_minutes_and_long_documents():
    plan = make_plan(TrainConfig(minutes=2, network="lstm", batch_size=7), FACTS, cores=2)
    lengths = [phase.sequence_length for phase in plan.phases]
    assert lengths == sorted(set(lengths))
    assert {phase.batch_size for phase in plan.phases} == {7}
    assert sum(phase.share for phase in plan.phases) == pytest.approx(1)


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        pytest.param(TrainConfig(steps=9, network="lstm"), FACTS, id="steps"),
        pytest.param(TrainConfig(epochs=2, network="lstm"), FACTS, id="epochs"),
        pytest.param(TrainConfig(minutes=2, network="gru"), FACTS, id="unmeasured"),
        pytest.param(
            TrainConfig(minutes=2, network="lstm", sequence_length=40), FACTS, id="a length said"
        ),
        pytest.param(
            TrainConfig(minutes=2, network="lstm"),
            replace(FACTS, train_units=FACTS.train_tokens // 20),
            id="short documents",
        ),
    ],
)
def test_else_all_stretches_are_as_long(config, facts):
    assert make_plan(config, facts, cores=2).phases == ()


def test_the_same_minutes_are_worth_more_on_a_faster_machine():
    config = TrainConfig(minutes=1, network="lstm")
    slow, fast = (
        make_plan(config, FACTS, cores=1, flops_per_second=speed).network for speed in (30e9, 900e9)
    )
    assert slow.hidden_width < fast.hidden_width
    assert make_plan(config, FACTS, cores=2) == make_plan(
        config, FACTS, cores=2, flops_per_second=120e9
    )


def test_what_depends_on_the_length_follows_the_steps_that_were_expected():
    config = TrainConfig(minutes=1, network="lstm")
    facts = replace(FACTS, held_out_tokens=10**9)
    few, many = (
        make_plan(config, facts, cores=1, expected_steps=steps) for steps in (50.0, 500_000.0)
    )
    assert (few.network.dropout, many.network.dropout) == (0.0, 0.4)
    assert few.warm_up_steps < many.warm_up_steps
    assert few.validated_tokens < many.validated_tokens
    assert few.network.hidden_width == many.network.hidden_width


def test_minutes_leave_the_steps_open():
    plan = make_plan(TrainConfig(minutes=2), FACTS, cores=2)
    assert (plan.steps, plan.save_every, plan.validate_every) == (None, None, None)


def test_without_any_length_three_minutes_are_planned():
    assert make_plan(TrainConfig(), FACTS, cores=2).minutes == 3.0


def test_with_steps_nothing_is_planned_by_the_clock():
    assert make_plan(TrainConfig(steps=10), FACTS, cores=2).minutes is None


def test_a_small_text_gets_a_small_network():
    small = make_plan(TrainConfig(minutes=3), replace(FACTS, train_tokens=5_000), cores=2)
    large = make_plan(TrainConfig(minutes=3), FACTS, cores=2)
    assert small.network.num_parameters < large.network.num_parameters


def test_the_output_of_a_large_vocabulary_is_tied():
    assert make_plan(TrainConfig(minutes=3), LARGE, cores=2).network.is_tied


@pytest.mark.parametrize("tokens", [2, 3, 10, 64, 65, 66, 500])
def test_a_tiny_text_can_be_planned_and_cut_into_batches(tokens):
    facts = replace(FACTS, train_tokens=tokens, held_out_tokens=0, train_characters=tokens)
    plan = make_plan(TrainConfig(steps=5, batch_size=64), facts, cores=2)
    assert plan.batch_size * (plan.sequence_length + 1) <= tokens


def test_no_more_is_validated_than_there_is():
    facts = replace(FACTS, held_out_tokens=77)
    assert make_plan(TrainConfig(steps=5), facts, cores=2).validated_tokens == 77


def test_the_labels_reach_the_network():
    facts = replace(FACTS, label_tokens=(2, 3))
    assert make_plan(TrainConfig(steps=5), facts, cores=2).network.label_tokens == (2, 3)


PHASED = TrainConfig(steps=9, phases="0.5:2x8,0.5:4x8", average_weights=0.1, patience=3)


@pytest.mark.parametrize("config", [TrainConfig(steps=9), TrainConfig(minutes=1.5), PHASED])
def test_json_gives_the_same_plan_back(config):
    plan = make_plan(config, replace(FACTS, label_tokens=(2,)), cores=2)
    fields = json.loads(json.dumps(plan.to_json()))
    assert TrainPlan.from_json(fields, path="run.json") == plan


@pytest.mark.parametrize(
    ("config", "option"),
    [
        pytest.param(TrainConfig(steps=0), "--steps", id="no steps"),
        pytest.param(TrainConfig(minutes=0), "--minutes", id="no minutes"),
        pytest.param(
            TrainConfig(minutes=float("nan")), "--minutes", id="minutes that are no number"
        ),
        pytest.param(TrainConfig(minutes=float("inf")), "--minutes", id="minutes without end"),
        pytest.param(TrainConfig(learning_rate=-1.0), "--learning-rate", id="backwards"),
        pytest.param(TrainConfig(dropout=1.0), "--dropout", id="everything dropped"),
        pytest.param(TrainConfig(weight_decay=-0.1), "--weight-decay", id="weights that grow"),
        pytest.param(TrainConfig(clip_norm=0.0), "--clip-norm", id="gradients clipped to nothing"),
        pytest.param(TrainConfig(layers=0), "--layers", id="no layers"),
        pytest.param(TrainConfig(threads=0), "--threads", id="no threads"),
        pytest.param(TrainConfig(steps=5, minutes=1.0), "--minutes", id="steps and minutes"),
        pytest.param(TrainConfig(steps=5, epochs=1), "--steps", id="steps and epochs"),
        pytest.param(TrainConfig(average_weights=1.0), "--average-weights", id="all averaged"),
        pytest.param(TrainConfig(patience=0), "--patience", id="no patience"),
        pytest.param(TrainConfig(accumulate=0), "--accumulate", id="no groups"),
        pytest.param(TrainConfig(muon_learning_rate=0), "--muon-learning-rate", id="Muon at rest"),
        pytest.param(TrainConfig(phases="all"), "--phases", id="phases that are none"),
        pytest.param(
            TrainConfig(phases="1:2x8", batch_size=4), "--batch-size", id="phases and batch size"
        ),
        pytest.param(
            TrainConfig(phases="1:2x8", sequence_length=4), "--phases", id="phases and length"
        ),
    ],
)
def test_an_impossible_value_is_refused_and_named(config, option):
    with pytest.raises(ConfigError, match=option):
        config.check()


@pytest.mark.parametrize(
    ("machine", "precision"),
    [
        ({}, "float32"),
        ({"has_bf16": True}, "bf16"),
        ({"is_on_gpu": True}, None),
    ],
    ids=["a processor without bf16", "a processor that has it", "a GPU, where it is timed"],
)
def test_the_precision_is_what_the_machine_is_fast_with(machine, precision):
    plan = make_plan(TrainConfig(steps=10, network="lstm"), FACTS, cores=2, **machine)
    assert plan.precision == precision
    asked = make_plan(TrainConfig(steps=10, precision="float32"), FACTS, cores=2, **machine)
    assert asked.precision == "float32"


@pytest.mark.parametrize(
    ("config", "has_bf16", "threads"),
    [
        (TrainConfig(steps=10, network="lstm", hidden_width=192), True, 1),
        (TrainConfig(steps=10, network="lstm", hidden_width=192, threads=3), True, 3),
        (TrainConfig(steps=10, network="lstm", hidden_width=192), False, 4),
        (TrainConfig(steps=10, network="lstm", hidden_width=192, layers=2), True, 4),
        (TrainConfig(steps=10, network="lstm", hidden_width=384), True, 4),
        (TrainConfig(steps=10, network="gru", hidden_width=192), True, 4),
    ],
)
def test_a_narrow_lstm_has_one_thread_where_it_is_as_fast(config, has_bf16, threads):
    assert make_plan(config, FACTS, cores=4, has_bf16=has_bf16).threads == threads


@pytest.mark.parametrize("network", ["gru", "transformer", "lstm-attention"])
def test_on_a_processor_only_an_lstm_is_surely_faster_with_bf16(network):
    plan = make_plan(TrainConfig(steps=10, network=network), FACTS, cores=2, has_bf16=True)
    assert plan.precision == "float32"


def test_a_transformer_is_deep_and_narrow_and_learned_with_muon():
    transformer = make_plan(TrainConfig(minutes=1, network="transformer"), FACTS, cores=1)
    lstm = make_plan(TrainConfig(minutes=1, network="lstm"), FACTS, cores=1)
    assert (transformer.optimizer, lstm.optimizer) == ("muon", "adamw")
    assert len(transformer.network.blocks) > len(lstm.network.blocks) == 1
    assert transformer.network.hidden_width < lstm.network.hidden_width


@pytest.mark.parametrize(
    ("config", "tokens", "window"),
    [
        pytest.param(TrainConfig(), 1_000_000, 256, id="usual"),
        pytest.param(TrainConfig(attention_window=90), 1_000_000, 90, id="as said"),
        pytest.param(TrainConfig(attention_window=0), 1_000_000, 1024, id="all, of a long text"),
        pytest.param(
            TrainConfig(attention_window=0, sequence_length=3000), 1_000_000, 3000, id="a stretch"
        ),
        pytest.param(
            TrainConfig(attention_window=0, phases="0.5:8x2000,0.5:8x16"), 10**6, 2000, id="a phase"
        ),
        pytest.param(TrainConfig(attention_window=0), 8_000, 500, id="all, of a short text's lane"),
    ],
)
def test_attention_sees_no_more_than_is_learned_from(config, tokens, window):
    facts = replace(FACTS, train_tokens=tokens)
    plan = make_plan(replace(config, network="transformer", steps=5), facts, cores=1)
    assert {block.window for block in plan.network.blocks} == {window}
