"""A random sample of bounded size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.prepare.sample import PASSAGE_CHARACTERS, Sample, passages


def sampled(things, limit, *, seed=0):
    sample = Sample(limit, seed=seed)
    for thing in things:
        sample.offer(thing)
    return sample


def test_small_collection_is_kept_whole():
    sample = sampled(range(10), 10)
    assert list(sample) == list(range(10))
    assert sample.is_whole


def test_large_collection_is_cut_to_the_limit_and_says_so():
    sample = sampled(range(10_000), 100)
    assert 25 <= len(sample) <= 100
    assert not sample.is_whole


def test_every_part_of_a_collection_is_as_likely():
    firsts = sum(
        thing < 500 for seed in range(40) for thing in sampled(range(1000), 100, seed=seed)
    )
    total = sum(len(sampled(range(1000), 100, seed=seed)) for seed in range(40))
    assert firsts / total == pytest.approx(0.5, abs=0.04)


def test_sizes_are_what_is_bounded():
    sample = Sample(1000, seed=0, size=len)
    for _ in range(100):
        sample.offer("x" * 99)
    assert sum(map(len, sample)) <= 1000


@given(st.text(alphabet="ab \n。", max_size=40), st.integers(1, 300))
def test_passages_are_the_whole_text(text, times):
    text *= times
    bounds = list(passages(text))
    assert "".join(text[start:end] for start, end in bounds) == text
    assert all(0 < end - start <= PASSAGE_CHARACTERS for start, end in bounds)


def test_passage_ends_at_a_line_end_where_there_is_one():
    start, end = next(passages("word " * 300 + "\n" + "word " * 300))
    assert (start, end) == (0, 1501)
