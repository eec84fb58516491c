"""The transforms against plain definitions, on whatever distributions hypothesis finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from memlm.generate.transforms import Forbid, Temperature, TopK, TopP, normalise

NOTHING = np.empty((3, 0), dtype=np.int64)
ROWS = arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.integers(2, 9)),
    elements=st.one_of(st.floats(-40, 0), st.just(-math.inf), st.sampled_from([-1.0, -2.0])),
).filter(lambda rows: np.isfinite(rows.max(axis=1)).all())


def _ranked(row: np.ndarray) -> list[int]:
    return sorted(range(len(row)), key=lambda token: (-row[token], token))


@given(rows=ROWS, k=st.integers(1, 12))
def test_top_k_keeps_the_k_likeliest_and_among_equals_the_lower_ids(rows, k):
    found = TopK(k)(rows, NOTHING)
    for row, before in zip(found, rows, strict=True):
        kept = _ranked(before)[:k]
        assert row.tolist() == [
            value if token in kept else -math.inf for token, value in enumerate(before)
        ]


@given(rows=ROWS, p=st.floats(0.01, 0.99))
def test_top_p_keeps_the_fewest_likeliest_that_reach_p(rows, p):
    found = TopP(p)(rows, NOTHING)
    for row, before, shares in zip(found, rows, normalise(rows), strict=True):
        kept, total = [], 0.0
        for token in _ranked(before):
            if total >= p + 1e-12:
                break
            kept.append(token)
            total += shares[token]
        finite = {token for token in range(len(row)) if row[token] > -math.inf}
        # Where the sum meets p to the last bits, rounding may decide either way.
        near = abs(sum(shares[token] for token in finite) - p) < 1e-9
        assert near or finite == {token for token in kept if before[token] > -math.inf}
        assert all(row[token] == before[token] for token in finite)


@given(rows=ROWS)
def test_top_p_of_one_keeps_everything(rows):
    assert np.array_equal(TopP(1.0)(rows, NOTHING), rows)


@given(rows=ROWS, temperature=st.floats(0.05, 20))
def test_temperature_is_a_power_of_the_probabilities(rows, temperature):
    expected = normalise(rows) ** (1 / temperature)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        normalise(Temperature(temperature)(rows, NOTHING)), expected, atol=1e-9
    )


@given(rows=ROWS)
def test_temperature_one_changes_no_probability(rows):
    np.testing.assert_allclose(
        normalise(Temperature(1)(rows, NOTHING)), normalise(rows), atol=1e-12
    )


@given(rows=ROWS)
def test_temperature_zero_leaves_only_the_likeliest(rows):
    found = normalise(Temperature(0)(rows, NOTHING))
    assert found.argmax(axis=1).tolist() == [_ranked(row)[0] for row in rows]
    assert (found.max(axis=1) == 1).all()


@given(rows=ROWS, temperature=st.sampled_from([1e-300, 5e-324, 1e-10]))
def test_a_temperature_near_zero_never_leaves_nothing(rows, temperature):
    found = normalise(Temperature(temperature)(rows - 1000, NOTHING))
    np.testing.assert_allclose(found.sum(axis=1), 1)


@given(rows=ROWS)
def test_normalised_weights_sum_to_one(rows):
    np.testing.assert_allclose(normalise(rows).sum(axis=1), 1)


def test_forbidden_tokens_have_no_probability():
    found = normalise(Forbid([0, 2])(np.log([[0.4, 0.3, 0.2, 0.1]]), NOTHING))
    np.testing.assert_allclose(found, [[0, 0.75, 0, 0.25]])


@pytest.mark.parametrize(
    "transform",
    [Forbid([1]), Temperature(0.5), Temperature(0), TopK(1), TopP(0.5), TopP(1.0)],
    ids=str,
)
def test_a_transform_leaves_what_it_is_given_as_it_was(transform):
    given_rows = np.log([[0.1, 0.6, 0.3], [0.3, 0.3, 0.4]])
    before = given_rows.copy()
    changed = transform(given_rows, np.array([[1], [2]]))
    changed[:] = 0
    assert np.array_equal(given_rows, before)
