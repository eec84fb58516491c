"""How much the network, the word counts and the nearest examples are believed."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.workflow.labelling import NEIGHBOURS, _best_fit, _blended, _fit_weights, _normalised


def said_by(right: np.ndarray, sharpness: list[float], labels: int = 4) -> np.ndarray:
    """What experts of some sharpness say of examples whose right labels are known, (N, K, L)."""
    dice = np.random.default_rng(1)
    found = dice.normal(size=(len(right), len(sharpness), labels))
    found[np.arange(len(right)), :, right] += sharpness
    return _normalised(found)


def test_weights_are_where_the_loss_is_least():
    right = np.random.default_rng(2).integers(4, size=400)
    said = said_by(right, [1.5, 0.7, 0.0])
    weights, loss = _fit_weights(said, right, np.array([True, True, True]))
    assert (weights >= 0).all()
    for other in np.random.default_rng(3).normal(scale=0.3, size=(50, 3)):
        tried = np.maximum(weights + other, 0)
        shares = _blended(said, tried.tolist())[np.arange(400), right]
        pull = 2.0 / 400 * ((tried - 1 / 3) ** 2).sum()
        assert -np.log(shares).mean() + pull >= loss - 1e-6
    assert weights[0] > weights[1] > weights[2]


def test_who_may_not_speak_has_no_weight():
    right = np.random.default_rng(2).integers(4, size=100)
    fit = _best_fit(
        said_by(right, [1.0, 3.0]), np.full((100, NEIGHBOURS, 2), -1.0), right, uses_near=False
    )
    assert fit.weights[0] > 0
    assert fit.weights[1:] == (0.0, 0.0)


def test_nearest_examples_that_are_right_are_believed():
    right = np.random.default_rng(2).integers(4, size=300)
    near = np.full((300, NEIGHBOURS, 2), -1.0)
    near[:, 0, 0], near[:, 0, 1] = right, 5.0
    fit = _best_fit(said_by(right, [0.2, 0.0]), near, right, uses_near=True)
    assert fit.weights[2] > max(fit.weights[:2])
    assert fit.examples == 300


def test_probabilities_sum_to_one():
    right = np.random.default_rng(2).integers(4, size=10)
    found = _blended(said_by(right, [1.0, 2.0, 3.0]), (0.5, 1.5, 0.0))
    assert found.sum(axis=1) == pytest.approx(np.ones(10))
