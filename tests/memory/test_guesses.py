"""A guess is what followed the longest remembered end of a text, in one of its places."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.memory.guesses import LONGEST_MATCH, Place, SuffixGuesser

V = 4


@pytest.fixture
def draw():
    return np.random.default_rng(4)


class Laid:
    """Stretches of tokens, laid end to end and sorted the slow way."""

    def __init__(self, *stretches):
        laid = [symbol for stretch in stretches for symbol in [*(t + 1 for t in stretch), 0]]
        self.symbols = np.array(laid, dtype=np.uint8)
        order = sorted(range(len(laid)), key=lambda at: laid[at:])
        self.suffixes = np.array(order, dtype=np.int32)


def longest_by_looking(stretches, tokens, shortest):
    """Return the length of the longest end of `tokens` that stands anywhere; 0 if none does."""
    for length in range(min(len(tokens), LONGEST_MATCH), shortest - 1, -1):
        end = list(tokens[-length:])
        for stretch in stretches:
            for at in range(len(stretch) - length + 1):
                if stretch[at : at + length] == end:
                    return length
    return 0


@pytest.mark.parametrize("parts", [1, 3], ids=["one segment", "three segments"])
def test_the_longest_end_is_found_that_looking_everywhere_finds(draw, parts):
    stretches = [draw.integers(0, V, size).tolist() for size in (300, 1, 90, 40)]
    guesser = SuffixGuesser([Laid(*stretches[part::parts]) for part in range(parts)], shortest=2)
    for _ in range(300):
        start = int(draw.integers(0, 200))
        tokens = stretches[0][start : start + int(draw.integers(0, 50))]
        tokens = [*tokens, *draw.integers(0, V, int(draw.integers(0, 5))).tolist()]
        place, length = guesser.find(tokens), longest_by_looking(stretches, tokens, 2)
        assert (place.length if place else 0) == length
        if place is not None:
            segment = guesser._segments[place.segment]
            before = segment.symbols[place.position - length : place.position].astype(int) - 1
            assert before.tolist() == tokens[-length:]


def test_a_guess_ends_with_its_document():
    guesser = SuffixGuesser([Laid([0, 1, 2, 3, 0], [3, 3])])
    place = guesser.find([0, 1, 2])
    assert place == Place(0, 3, 3)
    assert guesser.guess(place, 10) == [3, 0]
    assert guesser.guess(place, 1) == [3]


def test_a_place_goes_on_only_with_the_token_that_stands_there():
    guesser = SuffixGuesser([Laid([0, 1, 2, 3, 0])])
    place = guesser.find([0, 1, 2])
    assert guesser.go_on(place, 3) == Place(0, 4, 4)
    assert guesser.go_on(place, 1) is None
    assert guesser.go_on(Place(0, 5, 5), 0) is None  # the document has ended
    assert guesser.go_on(Place(0, 6, 5), 0) is None  # and so has everything


def test_too_short_a_match_and_an_empty_memory_give_no_guess():
    assert SuffixGuesser([Laid([0, 1, 2])], shortest=3).find([3, 1, 2]) is None
    assert SuffixGuesser([]).find([0, 1, 2]) is None
    assert SuffixGuesser([Laid([0, 1, 2])]).find([]) is None
