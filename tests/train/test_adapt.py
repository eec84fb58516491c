"""Score first, then learn: against a plain twin, and against every way of getting it wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from memlm.errors import DivergedError
from memlm.models import describe_network
from memlm.models.network import build_network
from memlm.models.network_model import NetworkModel
from memlm.train.adapt import PLAIN_STEPS, AdaptConfig, AdaptingModel

VOCABULARY, SEGMENT = 12, 5
RULES = {
    "sgd": AdaptConfig(rule="sgd", learning_rate=0.8, decay=0.02, segment=SEGMENT),
    "rms": AdaptConfig(rule="rms", learning_rate=0.01, decay=0.02, segment=SEGMENT),
}


@pytest.fixture(params=["lstm", "tied gru", "labelled lstm"])
def network(request):
    more = {
        "lstm": {"kind": "lstm", "layers": 2},
        "tied gru": {"kind": "gru", "layers": 1, "is_tied": True},
        "labelled lstm": {"kind": "lstm", "layers": 1, "label_tokens": (2, 3), "dropout": 0.5},
    }[request.param]
    sizes = {"vocabulary_size": VOCABULARY, "embedding_width": 8, "hidden_width": 8}
    return build_network(describe_network(**sizes | more), seed=3)


@pytest.fixture
def squares(network):
    draw = torch.Generator().manual_seed(1)
    return {
        name: torch.rand(value.shape, generator=draw) ** 4
        for name, value in network.named_parameters()
    }


@pytest.fixture(params=RULES)
def config(request) -> AdaptConfig:
    return RULES[request.param]


@pytest.fixture
def model(network, config, squares) -> AdaptingModel:
    return AdaptingModel(network, config, squares=squares)


@pytest.fixture
def text() -> np.ndarray:
    return np.random.default_rng(5).integers(0, VOCABULARY, 48)


def _read(model, tokens) -> np.ndarray:
    return model.read(model.start(1), np.asarray(tokens)[None])[0][0]


def _plain_twin(network, config, squares, tokens) -> tuple[np.ndarray, list[float]]:
    """Score and learn as the formulas say, one segment after the other, in float64 where it can.

    Returns what was found, and how long each step would have been beside the longest allowed.
    """
    network.eval()
    trained = {name: value.detach().double() for name, value in network.named_parameters()}
    roots = {name: squares[name].double().sqrt() for name in trained}
    mean = torch.cat([root.flatten() for root in roots.values()]).mean()
    state, found, lengths = network.start(1), [], []
    for start in range(0, len(tokens), config.segment):
        inputs = torch.tensor(tokens[None, start : start + config.segment])
        logits, state = network(inputs, tuple(part.detach() for part in state))
        found.append(F.log_softmax(logits[0], dim=-1).detach().numpy())
        targets = torch.tensor(tokens[start + 1 : start + 1 + config.segment])
        if len(targets) < config.segment:
            break
        network.zero_grad()
        F.cross_entropy(logits[0], targets).backward()
        steps = {name: value.grad.double() for name, value in network.named_parameters()}
        if config.rule == "rms":
            steps = {name: step / (roots[name] + 0.1 * mean) for name, step in steps.items()}
        every = torch.cat([step.flatten() for step in steps.values()])
        length = every.norm() if config.rule == "sgd" else every.square().mean().sqrt() / 2
        lengths.append(length.item())
        for name, value in network.named_parameters():
            weight = value.detach().double()
            share = config.decay
            if config.rule == "rms":
                share = torch.clamp(config.decay * roots[name] / mean, max=1.0)
            step = config.learning_rate * steps[name] / max(1.0, length.item())
            value.data = (weight - step + share * (trained[name] - weight)).float()
    return np.concatenate(found), lengths


def test_each_segment_is_scored_with_what_was_learned_before_it(network, config, squares, text):
    found = _read(AdaptingModel(network, config, squares=squares), text)
    expected, lengths = _plain_twin(network, config, squares, text)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert max(lengths) < 1


def test_no_step_is_longer_than_it_may_be(network, config, squares, text):
    with torch.no_grad():
        for value in network.parameters():
            value *= 3
    small = {name: value / 400 for name, value in squares.items()}
    found = _read(AdaptingModel(network, config, squares=small), text)
    expected, lengths = _plain_twin(network, config, small, text)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert max(lengths) > 1


def test_it_does_learn(network, model, text):
    frozen = _read(NetworkModel(network), text)
    np.testing.assert_allclose(_read(model, text)[:SEGMENT], frozen[:SEGMENT], atol=1e-6)
    assert np.abs(_read(model, text)[SEGMENT:] - frozen[SEGMENT:]).max() > 1e-3


@pytest.mark.parametrize("place", [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 30, 47])
def test_no_prediction_knows_the_token_it_predicts(model, text, place):
    changed = text.copy()
    changed[place:] = (changed[place:] + 1) % VOCABULARY
    one, other = _read(model, text), _read(model, changed)
    assert np.array_equal(one[:place], other[:place])


def test_a_segment_is_learned_from_when_its_last_target_has_come_and_not_before(model, text):
    _, unfinished = model.read(model.start(1), text[None, :SEGMENT])
    assert unfinished[0].weights is model.start(1)[0].weights
    _, finished = model.read(unfinished, text[None, SEGMENT : SEGMENT + 1])
    assert finished[0].weights is not unfinished[0].weights


def test_a_learning_rate_of_nothing_gives_the_frozen_scores_to_the_bit(
    network, config, squares, text
):
    still = AdaptConfig(rule=config.rule, learning_rate=0.0, segment=SEGMENT)
    found = _read(AdaptingModel(network, still, squares=squares), text)
    assert np.array_equal(found, _read(NetworkModel(network), text))


def test_the_networks_own_weights_stay_as_they_are(network, model, text):
    before = network.weights()
    _read(model, text)
    after = network.weights()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(value.grad is None for value in network.parameters())


def test_a_new_text_begins_with_the_trained_weights(model, text):
    first = _read(model, text)
    assert np.array_equal(_read(model, text), first)


def test_texts_side_by_side_do_not_learn_from_each_other(model, text):
    texts = np.stack([text, text[::-1]])
    found, _ = model.read(model.start(2), texts)
    for row, alone in zip(found, texts, strict=True):
        assert np.array_equal(row, _read(model, alone))


def test_a_text_that_repeats_itself_is_predicted_far_better_the_second_time(
    network, config, squares
):
    once = np.tile(np.random.default_rng(2).permutation(VOCABULARY), 40)
    stream = np.concatenate([once, once])
    eager = replace(config, decay=0.0, learning_rate={"sgd": 3.0, "rms": 0.3}[config.rule])
    first, second = _halves(AdaptingModel(network, eager, squares=squares), stream)
    assert second < 0.5 * first
    first, second = _halves(NetworkModel(network), stream)
    assert second == pytest.approx(first, rel=0.05)


def _halves(model, stream) -> tuple[float, float]:
    """Return the mean loss of the first and of the second half of a stream."""
    nats = -_read(model, stream[:-1])[np.arange(len(stream) - 1), stream[1:]]
    return nats[: len(nats) // 2].mean(), nats[len(nats) // 2 :].mean()


def test_predictions_that_are_no_numbers_end_the_reading(network, squares, text):
    wild = AdaptConfig(rule="sgd", learning_rate=1e39, segment=SEGMENT)
    with pytest.raises(DivergedError, match="without --adapt") as failure:
        _read(AdaptingModel(network, wild, squares=squares), text)
    assert failure.value.exit_code == 5
    assert SEGMENT < failure.value.values["token"] <= len(text)


def test_plain_steps_need_nothing_but_the_network(network, text):
    assert np.isfinite(_read(AdaptingModel(network, PLAIN_STEPS), text)).all()


def test_weights_that_no_gradient_ever_reached_do_not_leap(network, text):
    nothing = {name: torch.zeros_like(value) for name, value in network.named_parameters()}
    nothing["output.bias"] += 1.0
    config = AdaptConfig(learning_rate=1e-3, segment=SEGMENT)
    assert np.isfinite(_read(AdaptingModel(network, config, squares=nothing), text)).all()


@pytest.mark.parametrize("pieces", [[1] * 48, [7] * 6 + [6], [48], [4, 1, 5, 6, 32]], ids=str)
def test_the_pieces_it_is_read_in_do_not_matter(model, text, pieces):
    state, found, start = model.start(1), [], 0
    for size in pieces:
        piece, state = model.read(state, text[None, start : start + size])
        found.append(piece[0])
        start += size
    np.testing.assert_allclose(np.concatenate(found), _read(model, text), rtol=0, atol=1e-5)


def test_an_earlier_state_can_be_gone_on_from_again(model, text):
    _, state = model.read(model.start(1), text[None, :20])
    first, _ = model.read(state, text[None, 20:])
    model.read(model.start(1), text[None, ::-1])  # other weights lie in the network now
    again, _ = model.read(state, text[None, 20:])
    assert np.array_equal(again, first)
