"""The words that are counted."""

import pytest

from memlm.prepare.words import words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat, the CAT!", ["the", "cat", "the", "cat"]),
        ("It’s 5 o'clock", ["it's", "o'clock"]),
        ("我爱北京天安门。", ["我", "爱", "北京", "天安门"]),
        ("Alice 喜欢 3 只猫", ["alice", "喜欢", "只", "猫"]),
        ("12 + 30 = 42 _", []),
        ("", []),
    ],
    ids=["case", "apostrophes", "chinese", "mixed", "no words", "nothing"],
)
def test_words_are_counted_without_signs_and_numbers(text, words):
    assert list(words_of(text)) == words


def test_what_is_longer_than_any_word_is_cut_off():
    assert [len(word) for word in words_of("x" * 5000)] == [40]
