"""The words that are counted."""

import pytest

from memlm.prepare.shingles import shingle_hashes, written_form
from memlm.prepare.words import split_words, words_of


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


MARKED = ["हिन्दी भाषा में लिखा", "العَرَبِيَّة لغة جميلة", "e\u0301te\u0301 naïve"]


@pytest.mark.parametrize("text", MARKED, ids=["Hindi", "Arabic", "marks of Latin"])
def test_marks_go_on_with_their_word(text: str) -> None:
    words = text.split(" ")
    assert list(words_of(text)) == words
    assert [piece.strip() for piece in split_words(text)] == words
    assert len(shingle_hashes([text])[0]) == max(1, len(words) - 2)
    assert written_form(text) == text


def test_mark_without_a_letter_is_no_word() -> None:
    assert shingle_hashes(["❤\ufe0f one \u0301 two"])[0].tolist() == (
        shingle_hashes(["one two"])[0].tolist()
    )
