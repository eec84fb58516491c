"""Counting words in bounded memory, and the laws of counting."""

import random
from collections import Counter

import pytest

from memlm.prepare import word_counts as module
from memlm.prepare.word_counts import WordCounts, count_symbols


def counted(words, **options):
    counts = WordCounts(**options)
    counts.add(words)
    return counts


def test_counts_are_exact_below_the_limit():
    counts = counted("abacab")
    assert (counts.counts, counts.total, counts.most_missed) == ({"a": 3, "b": 2, "c": 1}, 6, 0)


def test_commonest_of_equal_words_do_not_depend_on_their_order():
    assert counted("bacab").common(2, lambda word: True) == [("a", 2), ("b", 2)]


def test_unwanted_words_are_not_among_the_commonest():
    assert counted("bacab").common(9, lambda word: word != "a") == [("b", 2), ("c", 1)]


@pytest.fixture(scope="module")
def long_text():
    draw = random.Random(3)
    common = [f"common{number}" for number in range(50)]
    return [
        draw.choice(common) if draw.random() < 0.5 else f"rare{draw.randrange(10**6)}"
        for _ in range(20_000)
    ]


def test_memory_is_bounded(long_text):
    counts = WordCounts(limit=1000)
    for word in long_text:
        counts.add([word])
        assert len(counts.counts) <= 1000


def test_forgetting_misses_at_most_what_it_says(long_text):
    counts, exact = counted(long_text, limit=1000), Counter(long_text)
    assert counts.most_missed > 0
    assert all(
        exact[word] - counts.most_missed <= n <= exact[word] for word, n in counts.counts.items()
    )
    found = [word for word, _ in counts.common(50, lambda word: True)]
    assert all(word.startswith("common") for word in found)


def test_symbols_are_counted_exactly_below_the_limit(long_text):
    assert count_symbols([long_text, long_text], limit=10**6) == Counter(long_text * 2)


def test_symbols_are_counted_in_bounded_memory(long_text, monkeypatch):
    monkeypatch.setattr(module, "_COUNTED_AT_ONCE", 100)
    counts = count_symbols([long_text], limit=1000)
    assert len(counts) <= 1000
    assert sum(word.startswith("common") for word in counts) == 50


def test_zipf_finds_the_exponent_that_the_words_were_made_with():
    words = [f"w{rank}" for rank in range(1, 2001) for _ in range(round(200_000 / rank))]
    assert counted(words).zipf().exponent == pytest.approx(-1, abs=0.02)


def test_heaps_finds_the_exponent_that_the_words_were_made_with():
    words, distinct = [], 0
    for number in range(1, 40_001):
        is_new = int(10 * number**0.5) > distinct
        distinct += is_new
        words.append(f"w{distinct}" if is_new else "w1")
    assert counted(words).heaps().exponent == pytest.approx(0.5, abs=0.03)


def test_growth_ends_where_it_is_no_longer_known(long_text):
    law = counted(long_text, limit=1000).heaps()
    assert law.points[-1][0] < 3000


@pytest.mark.parametrize("words", [[], ["one"], "abc"], ids=["none", "one", "three"])
def test_too_few_words_have_no_line(words):
    counts = counted(words)
    assert counts.zipf().exponent is None
    assert counts.heaps().exponent is None
