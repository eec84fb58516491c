"""The loop of training, step by step, and the clock that it plans by."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

import memlm.train.training as training_module
from memlm.errors import DivergedError
from memlm.models.network import build_network
from memlm.train.batches import TokenStream
from memlm.train.loop import Step, train_steps
from memlm.train.plan import TrainPlan
from memlm.train.schedule import Phase
from memlm.train.training import Training
from memlm.train.validation import HeldOutText

CPU = torch.device("cpu")
TEXT = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10] * 40)


@pytest.fixture
def stream(make_units) -> TokenStream:
    return TokenStream(TEXT, make_units(len(TEXT)), batch_size=2, sequence_length=8, seed=0)


@pytest.fixture
def shuffled(make_units) -> TokenStream:
    """A text without an order, which no exploded weights happen to predict."""
    text = np.random.default_rng(0).permutation(TEXT)
    return TokenStream(text, make_units(len(text)), batch_size=2, sequence_length=8, seed=0)


@pytest.fixture
def held_out(make_units) -> HeldOutText:
    units = make_units(30)
    return HeldOutText(TEXT, units, most_tokens=30, special=(0,), end=0)


class FakeClock:
    """Time that passes with each batch and each validation, and otherwise stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, step: float, validation: float) -> None:
        self.time, self.first_step, self.step = 0.0, 0.0, step
        plain_batch, plain_loss = TokenStream.batch, HeldOutText.loss

        def batch(stream: TokenStream, number: int, phases: tuple[Phase, ...]) -> object:
            self.time += self.step + (self.first_step if number == 0 else 0.0)
            return plain_batch(stream, number, phases)

        def loss(text: HeldOutText, network: object) -> object:
            self.time += validation
            return plain_loss(text, network)

        monkeypatch.setattr(TokenStream, "batch", batch)
        monkeypatch.setattr(HeldOutText, "loss", loss)

    def __call__(self) -> float:
        return self.time


def _run(plan: TrainPlan, stream: TokenStream, **more: object) -> tuple[Training, list[Step]]:
    training = Training(plan, device=CPU)
    return training, list(train_steps(training, stream, more.pop("held_out", None), **more))


def test_the_loss_falls_on_a_text_that_repeats_itself(make_plan_of, stream):
    _, steps = _run(make_plan_of(steps=150, learning_rate=0.03), stream)
    assert steps[0].loss > 2.3
    assert steps[-1].loss < 0.3


def test_as_many_steps_are_taken_as_planned(make_plan_of, stream):
    _, steps = _run(make_plan_of(steps=7), stream)
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6, 7]


def test_each_step_has_the_learning_rate_of_the_plan(make_plan_of, stream):
    plan = make_plan_of(steps=7)
    _, steps = _run(plan, stream)
    assert [step.learning_rate for step in steps] == [plan.learning_rate_at(n) for n in range(7)]


def test_training_leaves_torchs_random_numbers_alone(make_plan_of, stream):
    before = torch.get_rng_state()
    plan = make_plan_of(steps=3)
    network = {**plan.network.__dict__, "dropout": 0.5}
    _run(make_plan_of(steps=3, network=type(plan.network)(**network)), stream)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_loss_of_the_first_step_is_that_of_the_first_weights(make_plan_of, stream):
    plan = make_plan_of(steps=1)
    network = Training(plan, device=CPU).network
    batch = stream.batch(0)
    logits, _ = network(torch.from_numpy(batch.inputs), network.start(2))
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(batch.targets).flatten()
    )
    _, steps = _run(plan, stream)
    assert steps[0].loss == pytest.approx(expected.item(), rel=1e-6)


def test_a_step_changes_the_weights_as_adamw_with_clipping_does(make_plan_of, stream):
    plan = make_plan_of(steps=1, clip_norm=0.01, weight_decay=0.1)
    twin = Training(plan, device=CPU).network
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in twin.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in twin.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=plan.learning_rate_at(0),
        betas=(0.9, 0.99),
    )
    batch = stream.batch(0)
    logits, _ = twin(torch.from_numpy(batch.inputs), twin.start(2))
    torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(batch.targets).flatten()
    ).backward()
    norm = math.sqrt(sum((p.grad**2).sum().item() for p in twin.parameters()))
    assert norm > 0.01
    for parameter in twin.parameters():
        parameter.grad *= 0.01 / (norm + 1e-6)
    optimizer.step()
    training, _ = _run(plan, stream)
    for name, value in training.network.weights().items():
        torch.testing.assert_close(value, twin.weights()[name], atol=1e-6, rtol=1e-4)


def _moments(training: Training) -> list[torch.Tensor]:
    state = training.optimizer.state()
    return [value for name, value in state.items() if name.endswith(".exp_avg")]


def test_a_gradient_below_the_limit_is_not_clipped(make_plan_of, stream):
    # Adam hides a common factor of all gradients but for its epsilon: compare the moments.
    free, tight = (_run(make_plan_of(steps=1, clip_norm=norm), stream)[0] for norm in (1e6, 1e5))
    assert _moments(free)
    assert all(map(torch.equal, _moments(free), _moments(tight)))


def test_a_gradient_above_the_limit_is_scaled_to_it(make_plan_of, stream):
    training, _ = _run(make_plan_of(steps=1, clip_norm=0.01), stream)
    norm = math.sqrt(sum((moment**2).sum().item() for moment in _moments(training)))
    assert norm == pytest.approx(0.01 * (1 - 0.9), rel=1e-3)


def test_the_state_is_carried_from_step_to_step(make_plan_of, stream):
    training = Training(make_plan_of(steps=10), device=CPU)
    steps = train_steps(training, stream, None)
    next(steps)
    assert all(part.abs().max() > 0 for part in training.carried[:2])


def test_the_state_begins_anew_with_an_epoch(make_plan_of, stream, monkeypatch):
    training = Training(make_plan_of(steps=stream.steps_per_epoch + 1), device=CPU)
    given: list[float] = []
    plain = type(training.network).losses

    def losses(*asked: object, **told: object) -> object:
        given.append(float(asked[-1][0].abs().max()))
        return plain(*asked, **told)

    monkeypatch.setattr(type(training.network), "losses", losses)
    list(train_steps(training, stream, None))
    assert [value == 0 for value in given] == [True] + [False] * (len(given) - 2) + [True]


def test_stopping_ends_the_training_between_two_steps(make_plan_of, stream):
    training = Training(make_plan_of(steps=50), device=CPU)
    steps = list(train_steps(training, stream, None, should_stop=lambda: training.step == 4))
    assert len(steps) == training.step == 4


def test_a_training_that_is_complete_takes_no_step(make_plan_of, stream):
    training = Training(make_plan_of(steps=4), device=CPU)
    training.step = 4
    assert list(train_steps(training, stream, None)) == []


# -- divergence ---------------------------------------------------------------------------------


@pytest.fixture
def diverge(monkeypatch) -> Callable[[str, int], None]:
    """Return what spoils the loss, or only its gradient, of the step with a number."""

    def spoil(what: str, at: int) -> None:
        plain, calls = training_module.mean_loss, [0]

        def mean_loss(*given: object) -> tuple[torch.Tensor, object]:
            calls[0] += 1
            loss, state = plain(*given)
            if calls[0] != at:
                return loss, state
            if what == "gradient":
                return loss + torch.sqrt(loss * 0), state  # 0, with an infinite slope
            return loss * float(what), state

        monkeypatch.setattr(training_module, "mean_loss", mean_loss)

    return spoil


@pytest.mark.parametrize("what", ["nan", "inf", "gradient"])
def test_a_loss_or_gradient_that_is_no_number_ends_the_training(
    make_plan_of, stream, diverge, what
):
    diverge(what, 4)
    training = Training(make_plan_of(steps=10), device=CPU)
    with pytest.raises(DivergedError) as caught:
        list(train_steps(training, stream, None))
    assert caught.value.values["step"] == 4
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("what", ["nan", "inf", "gradient"])
def test_divergence_leaves_everything_as_it_was_before_the_step(
    make_plan_of, stream, diverge, what
):
    expected, _ = _run(
        make_plan_of(steps=10), stream, should_stop=iter([False] * 3 + [True]).__next__
    )
    diverge(what, 4)
    training = Training(make_plan_of(steps=10), device=CPU)
    with pytest.raises(DivergedError):
        list(train_steps(training, stream, None))
    assert training.step == 3
    weights = expected.network.weights()
    assert all(value.equal(weights[name]) for name, value in training.network.weights().items())
    assert all(a.equal(b) for a, b in zip(training.carried, expected.carried, strict=True))
    assert training.random.equal(expected.random)


def _largest(weights: dict[str, torch.Tensor]) -> float:
    return max(value.abs().max().item() for value in weights.values())


@pytest.mark.parametrize("factor", [1e3, 1e9, 1e30])
def test_weights_that_explode_diverge_and_leave_good_ones(make_plan_of, shuffled, held_out, factor):
    training = Training(make_plan_of(steps=200, learning_rate=0.03), device=CPU)

    def explode(step: Step) -> None:
        if step.step == 45:
            exploded = {name: w * factor for name, w in training.network.weights().items()}
            training.network.load_weights(exploded)

    with pytest.raises(DivergedError) as caught:
        list(map(explode, train_steps(training, shuffled, held_out)))
    assert _largest(training.network.weights()) > 100
    assert training.best_step <= 45
    assert _largest(training.best_weights) < 10
    assert training.proven_step == 44
    assert caught.value.values["step"] <= 45 + 50


@pytest.mark.parametrize("rate", [1e3, 1e9, 1e37])
def test_an_absurd_learning_rate_ends_the_training_within_a_few_dozen_steps(
    make_plan_of, shuffled, rate
):
    training = Training(make_plan_of(steps=200, learning_rate=rate), device=CPU)
    with pytest.raises(DivergedError) as caught:
        list(train_steps(training, shuffled, None))
    assert caught.value.values["step"] <= 52
    assert training.proven_step <= 1


def test_a_loss_that_is_absurd_for_a_while_ends_nothing(make_plan_of, stream, monkeypatch):
    plain, calls = training_module.mean_loss, [0]

    def mean_loss(*given: object) -> tuple[torch.Tensor, object]:
        calls[0] += 1
        loss, state = plain(*given)
        return loss * (1.0 if calls[0] % 50 == 0 else 1000.0), state

    monkeypatch.setattr(training_module, "mean_loss", mean_loss)
    _, steps = _run(make_plan_of(steps=100), stream)
    assert len(steps) == 100


def test_a_training_that_ends_astray_has_diverged(make_plan_of, stream, monkeypatch):
    plain = training_module.mean_loss

    def mean_loss(*given: object) -> tuple[torch.Tensor, object]:
        loss, state = plain(*given)
        return loss * 1000.0, state

    monkeypatch.setattr(training_module, "mean_loss", mean_loss)
    with pytest.raises(DivergedError, match="ten times"):
        _run(make_plan_of(steps=20), stream)


# -- validation ---------------------------------------------------------------------------------


def test_every_twentieth_of_the_training_and_its_end_are_validated(make_plan_of, stream, held_out):
    _, steps = _run(make_plan_of(steps=45), stream, held_out=held_out)
    found = [step.step for step in steps if step.held_out_loss is not None]
    assert found == [*range(2, 45, 2), 45]


def test_the_best_weights_are_those_of_the_lowest_held_out_loss(make_plan_of, stream, held_out):
    training = Training(make_plan_of(steps=40, learning_rate=0.3), device=CPU)
    losses, weights = {}, {}
    for step in train_steps(training, stream, held_out):
        if step.held_out_loss is not None:
            losses[step.step] = step.held_out_loss
            weights[step.step] = training.network.weights()
    best = min(losses, key=losses.__getitem__)
    assert best < 40  # else the last weights would do as well
    assert (training.best_step, training.best_loss) == (best, losses[best])
    assert all(value.equal(weights[best][name]) for name, value in training.best_weights.items())
    training.network.load_weights(training.best_weights)
    assert held_out.loss(training.network).nats_per_character == losses[best]


def test_validating_does_not_change_what_is_learned(make_plan_of, stream, held_out):
    watched, _ = _run(make_plan_of(steps=12), stream, held_out=held_out)
    alone, _ = _run(make_plan_of(steps=12), stream)
    weights = alone.network.weights()
    assert all(value.equal(weights[name]) for name, value in watched.network.weights().items())


# -- minutes ------------------------------------------------------------------------------------

SPEEDS = [
    pytest.param(0.05, 0.0, 0.0, id="fast steps"),
    pytest.param(0.05, 0.4, 0.0, id="validations that cost as much as eight steps"),
    pytest.param(0.2, 0.1, 3.0, id="a slow first step"),
]


@pytest.mark.parametrize(("step", "validation", "first"), SPEEDS)
def test_minutes_are_kept_within_a_tenth(
    make_plan_of, stream, held_out, monkeypatch, step, validation, first
):
    clock = FakeClock(monkeypatch, step=step, validation=validation)
    clock.first_step = first
    plan = make_plan_of(steps=None, minutes=0.5, warm_up_steps=20)
    _run(plan, stream, held_out=held_out, now=clock)
    assert clock.time == pytest.approx(30, rel=0.1)


def test_minutes_leave_room_for_what_the_caller_does_at_the_end(
    make_plan_of, stream, held_out, monkeypatch
):
    clock = FakeClock(monkeypatch, step=0.1, validation=0.2)
    plan = make_plan_of(steps=None, minutes=0.5, warm_up_steps=20)
    _run(plan, stream, held_out=held_out, now=clock, closing_validations=25.0)
    assert clock.time + 25 * 0.2 == pytest.approx(30, rel=0.1)


@pytest.mark.parametrize("later", [0.02, 0.06, 0.3, 0.8])
def test_minutes_are_kept_where_the_warm_up_was_no_measure(
    make_plan_of, stream, held_out, monkeypatch, later
):
    clock = FakeClock(monkeypatch, step=0.1, validation=0.02)
    plan = make_plan_of(steps=None, minutes=0.5, warm_up_steps=20, schedule="constant")
    training = Training(plan, device=CPU)
    for _ in train_steps(training, stream, held_out, now=clock):
        if training.plan.steps is not None:
            clock.step = later  # a neighbour comes, or goes
    assert clock.time == pytest.approx(30, rel=0.1)


@pytest.mark.parametrize("step", [1.0, 2.0, 2.5, 3.0, 4.0])
def test_the_validation_that_measures_costs_no_patience(
    make_plan_of, stream, held_out, monkeypatch, step
):
    clock = FakeClock(monkeypatch, step=step, validation=0.0)
    plan = make_plan_of(steps=None, minutes=1.0, warm_up_steps=1, patience=1)
    _, steps = _run(plan, stream, held_out=held_out, now=clock)
    validated = [step.step for step in steps if step.held_out_loss is not None]
    assert len(validated) == len(set(validated)) > 2


def test_checkpoints_follow_the_number_of_steps_that_was_put_right(
    make_plan_of, stream, monkeypatch
):
    clock = FakeClock(monkeypatch, step=0.1, validation=0.0)
    training = Training(make_plan_of(steps=None, minutes=0.5, warm_up_steps=20), device=CPU)
    for _ in train_steps(training, stream, None, now=clock):
        if training.plan.steps is not None:
            clock.step = 0.02
    assert training.plan.steps > 1000
    assert training.plan.save_every == training.plan.steps // 10


def test_a_plan_that_was_nearly_right_stays(make_plan_of, stream, monkeypatch):
    clock = FakeClock(monkeypatch, step=0.1, validation=0.0)
    training = Training(make_plan_of(steps=None, minutes=0.5, warm_up_steps=20), device=CPU)
    planned = []
    for _ in train_steps(training, stream, None, now=clock):
        planned.append(training.plan.steps)
        if training.plan.steps is not None:
            clock.step = 0.106
    assert len(set(planned)) == 2  # unknown, then one number


def test_steps_of_a_later_phase_are_not_counted_anew(make_plan_of, stream, monkeypatch):
    clock = FakeClock(monkeypatch, step=0.1, validation=0.0)
    phases = (
        Phase(share=0.1, batch_size=2, sequence_length=4),
        Phase(share=0.9, batch_size=2, sequence_length=8),
    )
    plan = make_plan_of(steps=None, minutes=0.5, warm_up_steps=20, phases=phases)
    training = Training(plan, device=CPU)
    planned = []
    for _ in train_steps(training, stream, None, now=clock):
        planned.append(training.plan.phases)
        if training.step == 40:  # the second phase has begun: what it has read stays read
            clock.step = 0.2
    assert len(set(planned)) == 2


def test_a_resumed_training_keeps_the_plan_it_finds(make_plan_of, stream, monkeypatch):
    clock = FakeClock(monkeypatch, step=0.1, validation=0.0)
    training = Training(make_plan_of(steps=100, minutes=0.5), device=CPU)
    steps = list(train_steps(training, stream, None, now=clock))
    assert len(steps) == 100  # where 300 had fitted


def test_the_number_of_steps_is_settled_early(make_plan_of, stream, monkeypatch):
    clock = FakeClock(monkeypatch, step=0.1, validation=0.0)
    training = Training(make_plan_of(steps=None, minutes=0.5, warm_up_steps=20), device=CPU)
    planned = []
    for step in train_steps(training, stream, None, now=clock):
        planned.append(training.plan.steps)
        if step.step == 100:
            clock.time += 5  # a machine that falters later than a fifth changes nothing
    settled = planned.index(next(steps for steps in planned if steps is not None))
    assert len(set(planned[settled:])) == 1
    assert len(planned) == planned[-1]
    assert settled <= 0.07 * len(planned)


def test_the_speed_is_measured_without_the_first_step(make_plan_of, stream, monkeypatch):
    clock = FakeClock(monkeypatch, step=0.1, validation=0.0)
    clock.first_step = 4.0
    training, _ = _run(make_plan_of(steps=None, minutes=0.5), stream, now=clock)
    assert training.plan.steps == pytest.approx((30 - 4) / 0.1, rel=0.02)


def test_a_machine_too_slow_for_a_few_steps_still_ends_near_the_time(
    make_plan_of, stream, monkeypatch
):
    clock = FakeClock(monkeypatch, step=4.0, validation=0.0)
    _run(make_plan_of(steps=None, minutes=0.5), stream, now=clock)
    assert 15 <= clock.time <= 34


def test_a_stopped_training_counts_the_seconds_it_had(make_plan_of, stream, monkeypatch):
    clock = FakeClock(monkeypatch, step=0.1, validation=0.0)
    clock.time = 1000.0
    training = Training(make_plan_of(steps=20), device=CPU)
    training.seconds = 50.0
    steps = list(train_steps(training, stream, None, now=clock))
    assert steps[-1].seconds == pytest.approx(52.0)


def test_a_training_is_a_function_of_its_seed(make_plan_of, stream):
    weights = [_run(make_plan_of(steps=5, seed=s), stream)[0].network.weights() for s in (1, 1, 2)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    assert not any(weights[0][name].equal(weights[2][name]) for name in weights[0])


def test_the_first_weights_are_those_of_the_seed_alone(make_plan_of):
    plan = make_plan_of()
    other = build_network(plan.network, seed=0)
    first = Training(plan, device=CPU).network
    assert not first.embed.weight.equal(other.embed.weight)  # a stream of its own, not seed 0
