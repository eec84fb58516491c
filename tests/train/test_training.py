"""One batch becomes gradients: in groups of lanes, in other arithmetic, with averaged weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from memlm.errors import ResourceError
from memlm.models import describe_network
from memlm.models.attention import AttentionBlock
from memlm.models.config import NETWORKS
from memlm.models.recurrent import RecurrentBlock
from memlm.models.transformer import TransformerBlock
from memlm.train.batches import Batch, TokenStream
from memlm.train.loop import train_steps
from memlm.train.training import Training
from memlm.train.validation import HeldOutText

CPU = torch.device("cpu")
BLOCKS = {
    "lstm": {RecurrentBlock},
    "gru": {RecurrentBlock},
    "lstm-attention": {RecurrentBlock, AttentionBlock},
    "gru-attention": {RecurrentBlock, AttentionBlock},
    "transformer": {TransformerBlock},
    "mixed": {RecurrentBlock, TransformerBlock},
}
TEXT = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10] * 40)


@pytest.fixture
def stream(make_units) -> TokenStream:
    return TokenStream(TEXT, make_units(len(TEXT)), batch_size=6, sequence_length=8, seed=0)


@pytest.fixture
def held_out(make_units) -> HeldOutText:
    units = make_units(30)
    return HeldOutText(TEXT, units, most_tokens=30, special=(0,), end=0)


def _gradient(training: Training) -> dict[str, torch.Tensor]:
    return {name: value.grad for name, value in training.network.named_parameters()}


def _wake(training: Training) -> None:
    """Let blocks add to the stream that begin by adding nothing, and so hide their gradients."""
    draw = torch.Generator().manual_seed(1)
    for weights in training.network.parameters():
        if not weights.any():
            torch.nn.init.normal_(weights, std=0.3, generator=draw)


# -- groups of lanes ----------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("groups", [2, 3, 4, 6, 9])
def test_groups_of_lanes_have_the_gradient_and_state_of_the_whole(
    make_plan_of, stream, network, groups
):
    shape = describe_network(
        network, vocabulary_size=12, embedding_width=8, hidden_width=16, layers=1, window=11
    )
    plan = make_plan_of(batch_size=6, network=shape)
    whole = Training(plan, device=CPU)
    parts = Training(replace(plan, accumulate=groups), device=CPU)
    for training in (whole, parts):
        _wake(training)
    assert {type(block) for block in parts.network.stack} == BLOCKS[network]
    for step in range(3):
        batch = stream.batch(step)
        assert parts.gradients(batch) == pytest.approx(whole.gradients(batch), rel=1e-6)
        expected = _gradient(whole)
        for name, gradient in _gradient(parts).items():
            torch.testing.assert_close(gradient, expected[name], atol=1e-7, rtol=1e-4)
        for part, other in zip(parts.carried, whole.carried, strict=True):
            torch.testing.assert_close(part, other)


def test_gradients_do_not_pile_up_from_batch_to_batch(make_plan_of, stream):
    training = Training(make_plan_of(), device=CPU)
    batch = stream.batch(0)
    training.gradients(batch)
    first = {name: value.clone() for name, value in _gradient(training).items()}
    training.gradients(batch)
    assert all(value.equal(first[name]) for name, value in _gradient(training).items())


# -- arithmetic ---------------------------------------------------------------------------------


def test_bf16_is_near_float32_and_carries_the_state_in_float32(make_plan_of, stream):
    full = Training(make_plan_of(), device=CPU)
    half = Training(make_plan_of(precision="bf16"), device=CPU)
    batch = stream.batch(0)
    expected = full.gradients(batch)
    found = half.gradients(batch)
    assert found != expected
    assert found == pytest.approx(expected, rel=0.02)
    assert [part.dtype for part in half.carried] == [part.dtype for part in full.carried]
    assert all(value.dtype == torch.float32 for value in _gradient(half).values())


def test_a_network_that_cannot_be_compiled_is_a_matter_of_the_machine(
    make_plan_of, stream, monkeypatch
):
    def compiled(*given: object) -> None:
        raise torch._dynamo.exc.TorchDynamoException

    monkeypatch.setattr(torch, "compile", lambda function: compiled)
    with pytest.raises(ResourceError, match="--compile off"):
        Training(make_plan_of(is_compiled=True), device=CPU).gradients(stream.batch(0))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler warns of its own inner parts
def test_a_compiled_network_has_the_gradient_of_the_plain_one(make_plan_of, stream):
    plain = Training(make_plan_of(), device=CPU)
    compiled = Training(make_plan_of(is_compiled=True), device=CPU)
    batch = stream.batch(0)
    assert compiled.gradients(batch) == pytest.approx(plain.gradients(batch), rel=1e-5)
    expected = _gradient(plain)
    for name, gradient in _gradient(compiled).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)


# -- averaged weights ---------------------------------------------------------------------------


def test_averaged_weights_follow_as_their_plain_twin_does(make_plan_of, stream):
    training = Training(make_plan_of(average_share=0.4), device=CPU)
    expected: dict[str, torch.Tensor] = {}
    for step in train_steps(training, stream, None):
        for name, value in training.network.weights().items():
            old = expected.get(name, value)
            weight = min(1.0, 1 / (0.4 * step.step))
            expected[name] = (1 - weight) * old + weight * value
    found = training.result()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
        assert not found[name].equal(training.network.weights()[name])


def test_averaging_does_not_change_what_is_learned(make_plan_of, stream, held_out):
    weights = []
    for share in (0.0, 0.5):
        training = Training(make_plan_of(average_share=share), device=CPU)
        list(train_steps(training, stream, held_out))
        weights.append(training.network.weights())
    assert all(value.equal(weights[1][name]) for name, value in weights[0].items())


def test_what_is_validated_and_kept_are_the_averaged_weights(make_plan_of, stream, held_out):
    training = Training(make_plan_of(average_share=0.9, steps=20), device=CPU)
    for step in train_steps(training, stream, held_out):
        if step.step == 1:  # one step is its own average
            continue
        own = training.network.weights()
        with training.with_result() as network:
            assert held_out.loss(network).nats_per_character == step.held_out_loss
        assert held_out.loss(training.network).nats_per_character != step.held_out_loss
        assert all(value.equal(own[name]) for name, value in training.network.weights().items())
    assert training.best_step == 20
    assert all(value.equal(training.averages[name]) for name, value in training.result().items())
    assert all(
        value.equal(training.averages[name]) for name, value in training.best_weights.items()
    )


# -- patience -----------------------------------------------------------------------------------


def _with_losses(monkeypatch, *losses: float) -> None:
    """Let the validations find these losses, one after the other."""
    left = iter(losses)

    class Found:
        def __init__(self, loss: float) -> None:
            self.nats_per_character = loss

    monkeypatch.setattr(HeldOutText, "loss", lambda text, network: Found(next(left)))


def test_a_training_ends_when_validations_in_a_row_were_in_vain(
    make_plan_of, stream, held_out, monkeypatch
):
    _with_losses(monkeypatch, 3.0, 2.0, 2.5, 1.0, 1.1, 1.0, 1.2, 0.5)
    training = Training(make_plan_of(steps=20, patience=3), device=CPU)
    steps = list(train_steps(training, stream, held_out))
    assert len(steps) == training.step == 7
    assert (training.best_step, training.best_loss) == (4, 1.0)
    assert training.has_lost_patience


def test_without_patience_validations_in_vain_end_nothing(
    make_plan_of, stream, held_out, monkeypatch
):
    _with_losses(monkeypatch, 1.0, *[2.0] * 19)
    training = Training(make_plan_of(steps=20), device=CPU)
    assert len(list(train_steps(training, stream, held_out))) == 20
    assert training.validations_in_vain == 19
    assert not training.has_lost_patience


# -- numbers that are none ----------------------------------------------------------------------


def test_a_weight_that_is_no_number_makes_a_loss_that_is_none(make_plan_of, stream):
    training = Training(make_plan_of(accumulate=2), device=CPU)
    training.network.load_weights(
        {name: value * math.nan for name, value in training.network.weights().items()}
    )
    assert math.isnan(training.gradients(stream.batch(0)))


def test_a_batch_of_one_lane_and_one_token_has_a_gradient(make_plan_of):
    shape = describe_network(
        kind="lstm", vocabulary_size=12, embedding_width=8, hidden_width=16, layers=1
    )
    training = Training(make_plan_of(network=shape, accumulate=4), device=CPU)
    batch = Batch(np.array([[1]]), np.array([[2]]), begins_anew=True)
    assert math.isfinite(training.gradients(batch))
