"""A text as the hashes of its runs of three words, against the plain definition."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.prepare.shingles import shingle_hashes

TEXTS = st.text(st.sampled_from("abc AB,.'\n 山水人 7é"), max_size=60)


def plain_words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[山水人]|[a-zA-Z7é]+", text)]


def plain_shingles(text: str) -> list[tuple[str, ...]]:
    words = plain_words(text)
    return [tuple(words[n : n + 3]) for n in range(max(1, len(words) - 2))] if words else []


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_equal_hashes_mean_equal_shingles(texts: list[str]) -> None:
    hashes, offsets = shingle_hashes(texts)
    plain = [shingle for text in texts for shingle in plain_shingles(text)]
    assert np.diff(offsets).tolist() == [len(plain_shingles(text)) for text in texts]
    names = dict(zip(plain, hashes.tolist(), strict=True))
    assert [names[shingle] for shingle in plain] == hashes.tolist()
    assert len(set(hashes.tolist())) == len(set(plain))


@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_batch_equals_one_by_one(texts: list[str]) -> None:
    alone = [shingle_hashes([text])[0] for text in texts]
    assert shingle_hashes(texts)[0].tolist() == np.concatenate(alone).tolist()


@pytest.mark.parametrize(
    ("one", "other"),
    [("One two three", "one TWO, three!"), ("床前明月光", "床前，明月光。"), ("a b", "a  b.")],
    ids=["case and punctuation", "Chinese punctuation", "short"],
)
def test_case_and_punctuation_do_not_count(one: str, other: str) -> None:
    assert shingle_hashes([one])[0].tolist() == shingle_hashes([other])[0].tolist()


@pytest.mark.parametrize("texts", [[], [""], ["...", "\n"]], ids=["none", "empty", "no words"])
def test_text_without_words_has_no_shingles(texts: list[str]) -> None:
    hashes, offsets = shingle_hashes(texts)
    assert (len(hashes), offsets.tolist()) == (0, [0] * (len(texts) + 1))
