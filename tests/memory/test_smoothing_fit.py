"""The fit of discounts and gates: its gradient is that of its loss, and it finds what helps."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.memory.smoothing import Evidence, plain_smoothing
from memlm.memory.smoothing_fit import _Data, _raw, fit_smoothing

ORDERS = (0, 1, 2)


def made_up(draw: np.random.Generator, positions: int) -> tuple[Evidence, np.ndarray]:
    """Return evidence as a corpus might give it, and targets that follow it more or less."""
    starts, tokens, counts = [0], [], []
    targets = draw.integers(0, 8, positions)
    for place in range(positions):
        for order in range(len(ORDERS)):
            kinds = draw.permutation(8)[: draw.integers(0, 6 - order)]
            if draw.random() < 0.7 and len(kinds) and targets[place] not in kinds:
                kinds[0] = targets[place]
            tokens += kinds.tolist()
            counts += draw.integers(1, 6, len(kinds)).tolist()
            starts.append(len(tokens))
    total = positions * len(ORDERS)
    return (
        Evidence(np.array(starts), np.array(tokens), np.array(counts, float), np.full(total, 9.0)),
        targets,
    )


def test_the_gradient_is_that_of_the_loss():
    pytest.importorskip("scipy")
    draw = np.random.default_rng(2)
    evidence, targets = made_up(draw, 60)
    plain = plain_smoothing(ORDERS)
    data = _Data.of([(evidence, targets)], plain)
    point = np.concatenate([_raw(np.array(plain.discounts)).ravel(), np.ravel(plain.gates)])
    point += draw.normal(0, 0.3, len(point))
    _, gradient = data.loss(point)
    for place in range(len(point)):
        step = np.zeros_like(point)
        step[place] = 1e-6
        slope = (data.loss(point + step)[0] - data.loss(point - step)[0]) / 2e-6
        assert gradient[place] == pytest.approx(slope, abs=1e-6)


def test_a_fit_predicts_better_than_what_it_began_with():
    pytest.importorskip("scipy")
    draw = np.random.default_rng(3)
    learned, unseen = made_up(draw, 2000), made_up(draw, 2000)
    plain = plain_smoothing(ORDERS)
    fitted = fit_smoothing([learned], plain)
    assert fitted.tokens == 2000
    losses = []
    for smoothing in (plain, fitted.smoothing):
        data = _Data.of([unseen], smoothing)
        point = np.concatenate(
            [_raw(np.array(smoothing.discounts)).ravel(), np.ravel(smoothing.gates)]
        )
        losses.append(data.nats(point))
    assert losses[1] < losses[0] - 0.01
