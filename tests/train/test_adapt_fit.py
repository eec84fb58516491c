"""How fast to learn while reading: chosen on held-out text, kept with the weights it was for."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from memlm.errors import CorruptArtefactError, DivergedError
from memlm.models.network import load_network
from memlm.train import adapt_fit
from memlm.train.adapt import AdaptConfig, AdaptingModel
from memlm.train.adapt_fit import fit_adaptation, mean_squares
from memlm.train.adaptation import Trial, load_adaptation, save_adaptation


@pytest.fixture
def network(train, small):
    folder, _ = train(small())
    return load_network(folder, device=torch.device("cpu"))


@pytest.fixture
def enough_held_out(monkeypatch):
    """Let the little that the test corpus holds out be enough, and a trial be short."""
    monkeypatch.setattr(adapt_fit, "FEWEST_TOKENS", 50)
    monkeypatch.setattr(adapt_fit, "_TRIAL_TOKENS", (50, 300))


@pytest.fixture
def fitted(network, store, enough_held_out):
    return fit_adaptation(network, store)


def _tokens_of(store, split) -> np.ndarray:
    units = store.units_of(split)
    parts = [store.tokens[int(u["token_start"]) : int(u["token_end"])] for u in units]
    return np.concatenate(parts).astype(np.int64)


def _cost(model, stream) -> float:
    found, _ = model.read(model.start(1), stream[None, :-1])
    return -found[0][np.arange(len(stream) - 1), stream[1:]].mean(dtype=np.float64)


def _speed(config: AdaptConfig) -> float:
    return config.learning_rate / config.segment


def test_the_chosen_one_is_nearly_the_best_and_no_slower(fitted):
    best = min(fitted.trials, key=lambda trial: trial.nats_per_token)
    assert len(fitted.trials) > 5
    assert best.nats_per_token <= fitted.nats_per_token <= 1.01 * best.nats_per_token
    assert _speed(fitted.config) >= _speed(best.config)


@pytest.mark.parametrize(
    ("excess", "answer"),
    [
        ([0.0, 0.0, 0.0], True),  # the same
        ([3.0, -2.0, -1.5], True),  # better
        ([4.0, -3.0, 2.0], True),  # worse by 3 in all, of which chance explains 6.2
        ([1.1, 0.9, 1.0], False),  # worse everywhere
        ([1.0], False),  # nothing to tell chance by
        ([math.inf, 0.0, 0.0], False),  # it diverged
    ],
    ids=["equal", "better", "by chance", "worse", "one block", "diverged"],
)
def test_as_good_is_within_one_standard_error(excess, answer):
    best = np.full(len(excess), 100.0)
    assert adapt_fit._is_as_good(best + np.array(excess), best) is answer


def test_of_trials_that_are_as_good_the_fastest_is_chosen(network, store, enough_held_out):
    found = fit_adaptation(network, store)
    search = adapt_fit._Search(network, found.squares, np.arange(9), lambda *_: None, lambda: 0.0)
    slow, fast, wild = (AdaptConfig(learning_rate=rate) for rate in (1e-4, 2e-4, 4e-4))
    search.trials = [
        Trial(config=slow, nats_per_token=1.0),
        Trial(config=fast, nats_per_token=1.001),
        Trial(config=wild, nats_per_token=1.5),
    ]
    search._costs = [
        np.array([10.0, 10.0, 10.0]), np.array([10.4, 9.7, 10.0]), np.array([15.0, 14.9, 15.1])
    ]  # fmt: skip
    assert search.chosen().config == fast


def test_a_trial_costs_what_reading_the_held_out_text_costs(fitted, network, store):
    text = _tokens_of(store, "held_out")[: fitted.tokens]
    stream = np.concatenate([[store.tokenizer.end], text])
    model = AdaptingModel(network, fitted.config, squares=fitted.squares)
    assert fitted.nats_per_token == pytest.approx(_cost(model, stream), rel=1e-6)
    still = AdaptingModel(network, AdaptConfig(learning_rate=0.0), squares=fitted.squares)
    assert fitted.frozen_nats_per_token == pytest.approx(_cost(still, stream), rel=1e-6)


def test_the_rate_the_decay_and_the_segment_are_all_tried(fitted):
    for name in ("learning_rate", "decay", "segment"):
        assert len({getattr(trial.config, name) for trial in fitted.trials}) >= 3, name


def test_the_same_model_is_fitted_the_same(fitted, network, store):
    again = fit_adaptation(network, store)
    assert again.trials == fitted.trials


def test_too_little_held_out_text_leaves_the_default(network, store):
    found = fit_adaptation(network, store)
    assert (found.config, found.trials, found.nats_per_token) == (AdaptConfig(), (), None)
    assert found.squares.keys() == dict(network.named_parameters()).keys()


def test_no_new_trial_begins_after_its_time(network, store, enough_held_out):
    clock = itertools.count(0.0, 200.0)
    found = fit_adaptation(network, store, now=lambda: next(clock))
    assert len(found.trials) == 2


def test_progress_ends_at_its_whole(network, store, enough_held_out):
    heard = []
    fit_adaptation(network, store, progress=lambda done, total: heard.append((done, total)))
    assert heard == sorted(heard)
    assert heard[0][0] == 0
    assert heard[-1][0] == heard[-1][1]


def test_a_rate_at_which_the_network_diverges_is_never_chosen(
    network, store, enough_held_out, monkeypatch
):
    class Fragile(AdaptingModel):
        def read(self, state, tokens):
            if self.config.learning_rate > AdaptConfig().learning_rate:
                raise DivergedError("adapting_diverged", token=1, rate=self.config.learning_rate)
            return super().read(state, tokens)

    monkeypatch.setattr(adapt_fit, "AdaptingModel", Fragile)
    found = fit_adaptation(network, store)
    assert math.inf in [trial.nats_per_token for trial in found.trials]
    assert math.isfinite(found.nats_per_token)
    assert found.config.learning_rate <= AdaptConfig().learning_rate


def test_mean_squares_are_those_of_a_plain_loop(network, store):
    segment, tokens = 32, _tokens_of(store, "train")
    length = min(640 // 16 * segment + 1, len(tokens))
    sums, count = None, 0
    for place in range(16):
        start = (len(tokens) - length) * place // 15
        stretch = torch.tensor(tokens[start : start + length])
        state = network.start(1)
        for first in range(0, length - 1, segment):
            targets = stretch[first + 1 : first + 1 + segment]
            logits, state = network(stretch[None, first : first + len(targets)], state)
            state = tuple(part.detach() for part in state)
            network.zero_grad()
            F.cross_entropy(logits[0], targets).backward()
            squares = [value.grad.double() ** 2 for value in network.parameters()]
            sums = squares if sums is None else [a + b for a, b in zip(sums, squares, strict=True)]
            count += 1
    network.zero_grad(set_to_none=True)
    found = mean_squares(network, store)
    for expected, name in zip(sums, dict(network.named_parameters()), strict=True):
        np.testing.assert_allclose(found[name], expected / count, rtol=1e-3, atol=1e-9)


def test_fitting_leaves_the_network_as_it_was(network, store, enough_held_out):
    before = network.weights()
    fit_adaptation(network, store)
    assert all(torch.equal(before[name], value) for name, value in network.weights().items())
    assert all(value.grad is None for value in network.parameters())


# -- on disk -------------------------------------------------------------------------------------


def test_what_was_chosen_comes_back_as_it_was(fitted, tmp_path):
    save_adaptation(tmp_path, fitted, weights_hash="abc")
    found = load_adaptation(tmp_path, weights_hash="abc")
    assert replace(found, squares={}) == replace(fitted, squares={})
    assert found.squares.keys() == fitted.squares.keys()
    assert all(torch.equal(found.squares[name], fitted.squares[name]) for name in found.squares)


def test_a_trial_that_diverged_is_kept_as_such(fitted, tmp_path):
    lost = replace(fitted.trials[0], nats_per_token=math.inf)
    save_adaptation(tmp_path, replace(fitted, trials=(lost,)), weights_hash="abc")
    assert load_adaptation(tmp_path, weights_hash="abc").trials == (lost,)


def test_what_was_chosen_for_other_weights_is_stale(fitted, tmp_path):
    save_adaptation(tmp_path, fitted, weights_hash="abc")
    assert load_adaptation(tmp_path, weights_hash="abd") is None


def test_nothing_chosen_is_nothing_found(tmp_path):
    assert load_adaptation(tmp_path, weights_hash="abc") is None


@pytest.mark.parametrize("name", ["adapt.json", "squares.safetensors"])
def test_a_changed_byte_is_noticed(fitted, tmp_path, name):
    save_adaptation(tmp_path, fitted, weights_hash="abc")
    path = tmp_path / "adapt" / name
    path.write_bytes(path.read_bytes()[:-2] + b"!\n")
    with pytest.raises(CorruptArtefactError, match=name):
        load_adaptation(tmp_path, weights_hash="abc")


def test_the_file_says_what_was_tried_on_how_much(fitted, tmp_path):
    save_adaptation(tmp_path, fitted, weights_hash="abc")
    said = json.loads((tmp_path / "adapt" / "adapt.json").read_text("utf-8"))
    assert said["held_out_tokens"] == fitted.tokens
    assert len(said["trials"]) == len(fitted.trials)
    assert set(said["config"]) == {"rule", "learning_rate", "decay", "segment"}
