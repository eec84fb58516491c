"""Units laid end to end: the plain twin lays their tokens down in memory."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.train.stretches import Stretches

TOKENS = np.arange(100, 160, dtype=np.uint16)
UNITS = [(30, 37), (2, 3), (10, 10), (50, 60), (3, 9)]
TEXT = [int(token) for start, end in UNITS for token in TOKENS[start:end]]


@pytest.fixture
def text() -> Stretches:
    records = np.array(UNITS, dtype=[("token_start", "<i8"), ("token_end", "<i8")])
    return Stretches.of_units(records)


EVERYWHERE = [(start, stop) for start in range(len(TEXT)) for stop in range(start, len(TEXT) + 1)]


def test_they_hold_the_tokens_of_all_units_together(text):
    assert len(text) == len(TEXT)
    assert len(text.part(3, 3)) == 0


def test_tokens_are_read_from_any_position_to_any_other(text):
    found = [text.read(TOKENS, start, stop).tolist() for start, stop in EVERYWHERE]
    assert found == [TEXT[start:stop] for start, stop in EVERYWHERE]


def test_a_part_holds_the_same_tokens_of_the_same_units(text):
    positions = np.arange(len(text))
    where, units = text.find(positions)
    for start, stop in EVERYWHERE:
        part = text.part(start, stop)
        found = part.find(np.arange(len(part)))
        assert found[0].tolist() == where[start:stop].tolist()
        assert found[1].tolist() == units[start:stop].tolist()


def test_it_is_known_which_unit_a_token_is_of(text):
    where, units = text.find(np.array([[0, 6], [7, 8]]))
    assert where.tolist() == [[30, 36], [2, 50]]
    assert units.tolist() == [[0, 0], [1, 3]]


def test_joined_parts_are_read_one_after_the_other(text):
    turned = Stretches.joined([text.part(5, len(text)), text.part(0, 5)])
    assert turned.read(TOKENS, 0, len(turned)).tolist() == TEXT[5:] + TEXT[:5]


def test_in_another_order_each_keeps_its_tokens(text):
    last_first = text[np.array([4, 3, 0])]
    expected = [*TOKENS[3:9], *TOKENS[50:60], *TOKENS[30:37]]
    assert last_first.read(TOKENS, 0, len(last_first)).tolist() == expected
