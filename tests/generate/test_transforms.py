"""The transforms against plain definitions, on whatever distributions hypothesis finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from memlm.generate.penalties import PresencePenalty, RepetitionPenalty
from memlm.generate.transforms import (
    Forbid,
    MinP,
    Temperature,
    TopK,
    TopP,
    Typical,
    normalise,
)

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
    [
        Forbid([1]),
        Temperature(0.5),
        Temperature(0),
        TopK(1),
        TopP(0.5),
        TopP(1.0),
        MinP(0.5),
        Typical(0.5),
        Typical(1.0),
        RepetitionPenalty(2),
        PresencePenalty(1),
        Forbid([1], until=0),
    ],
    ids=str,
)
def test_a_transform_leaves_what_it_is_given_as_it_was(transform):
    given_rows = np.log([[0.1, 0.6, 0.3], [0.3, 0.3, 0.4]])
    before = given_rows.copy()
    changed = transform(given_rows, np.array([[1], [2]]))
    changed[:] = 0
    assert np.array_equal(given_rows, before)


@given(rows=ROWS, p=st.floats(0.001, 1))
def test_min_p_keeps_what_is_at_least_so_likely_beside_the_likeliest(rows, p):
    found = MinP(p)(rows, NOTHING)
    for row, before, shares in zip(found, rows, normalise(rows), strict=True):
        for token, share in enumerate(shares):
            if abs(share - p * shares.max()) > 1e-12:  # on the border rounding decides
                assert row[token] == (before[token] if share > p * shares.max() else -math.inf)


@given(rows=ROWS)
def test_min_p_of_one_keeps_the_likeliest_and_its_equals(rows):
    found = MinP(1.0)(rows, NOTHING)
    assert np.array_equal(found > -np.inf, rows == rows.max(axis=1, keepdims=True))


def _expected_surprise(shares: list[float]) -> float:
    return sum(-share * math.log(share) for share in shares if share > 0)


@given(rows=ROWS, p=st.floats(0.01, 0.99))
def test_typical_keeps_the_fewest_of_nearly_the_expected_surprise_that_reach_p(rows, p):
    found = Typical(p)(rows, NOTHING)
    for row, before, shares in zip(found, rows, normalise(rows).tolist(), strict=True):
        entropy = _expected_surprise(shares)
        finite = [token for token, share in enumerate(shares) if share > 0]
        distance = {token: abs(-math.log(shares[token]) - entropy) for token in finite}
        kept = [token for token in finite if row[token] > -math.inf]
        left = [token for token in finite if token not in kept]
        assert kept
        assert all(row[token] == before[token] for token in kept)
        # None that was left out is nearer than one that was kept, and none was kept in vain.
        farthest = max(distance[token] for token in kept)
        assert all(distance[token] >= farthest - 1e-9 for token in left)
        total = sum(shares[token] for token in kept)
        assert total >= p - 1e-9
        last = [token for token in kept if distance[token] >= farthest - 1e-9]
        assert total - max(shares[token] for token in last) < p + 1e-9


def test_typical_may_leave_out_the_likeliest():
    # The entropy is 1.09 nats; -ln 0.6 = 0.51 is farther from it than -ln 0.2 = 1.61.
    found = Typical(0.15)(np.log([[0.6, 0.2, 0.1, 0.1]]), NOTHING)
    assert np.isneginf(found[0]).tolist() == [True, False, True, True]


@given(rows=ROWS)
def test_typical_of_one_keeps_everything(rows):
    assert np.array_equal(Typical(1.0)(rows, NOTHING), rows)


# -- what looks at the text so far ----------------------------------------------------------------


@st.composite
def _rows_and_tokens(draw):
    rows = draw(ROWS)
    length = draw(st.integers(0, 6))
    tokens = draw(arrays(np.int64, (len(rows), length), elements=st.integers(0, rows.shape[1] - 1)))
    return rows, tokens


@given(case=_rows_and_tokens(), penalty=st.floats(0.1, 5))
def test_repetition_penalty_is_a_power_of_what_was_there(case, penalty):
    rows, so_far = case
    found = RepetitionPenalty(penalty)(rows, so_far)
    for row, before, tokens in zip(found, rows, so_far.tolist(), strict=True):
        for token, value in enumerate(before):
            expected = math.exp(value) ** penalty if token in tokens else math.exp(value)
            assert math.isclose(math.exp(row[token]), expected, rel_tol=1e-9, abs_tol=1e-300)


@given(case=_rows_and_tokens(), penalty=st.floats(-3, 3), begin=st.integers(0, 6))
def test_presence_penalty_is_taken_once_from_what_was_written(case, penalty, begin):
    rows, so_far = case
    found = PresencePenalty(penalty, begin)(rows, so_far)
    for row, before, tokens in zip(found, rows, so_far.tolist(), strict=True):
        for token, value in enumerate(before):
            assert row[token] == (value - penalty if token in tokens[begin:] else value)


@pytest.mark.parametrize(("length", "is_forbidden"), [(0, True), (3, True), (4, False)])
def test_a_token_may_be_forbidden_until_a_text_is_long_enough(length, is_forbidden):
    so_far = np.zeros((1, length), dtype=np.int64)
    found = Forbid([1], until=4)(np.log([[0.5, 0.5]]), so_far)
    assert bool(np.isneginf(found[0, 1])) == is_forbidden
