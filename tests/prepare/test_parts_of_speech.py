"""Words with their part of speech and lemma."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.prepare.parts_of_speech import PARTS, cut_english, tag_chinese, tag_english, tag_words


def parts_of(text):
    return [(word.text, word.part) for word in tag_words(text)]


@pytest.mark.parametrize(
    ("word", "sentence", "part"),
    [
        ("has", "She has a dog", "VERB"),
        ("has", "She has seen it", "AUX"),
        ("has", "She has not always seen it", "AUX"),
        ("did", "I did n't go", "AUX"),
        ("did", "I did it", "VERB"),
        ("to", "I want to go", "PART"),
        ("to", "I went to Rome", "ADP"),
        ("this", "Read this book", "DET"),
        ("this", "Read this", "PRON"),
        ("the", "In the house", "DET"),
        ("Holmes", "Mr Holmes slept", "PROPN"),
        (",", "Yes , indeed", "PUNCT"),
        (":)", "Good :)", "SYM"),
        ("a@b.org", "Write to a@b.org", "X"),
        ("www.b.org", "See www.b.org", "X"),
        ("1,234.5", "It weighs 1,234.5 tons", "NUM"),
    ],
)
def test_english_word_has_its_part_of_speech(word, sentence, part):
    found = {one.text: one.part for one in tag_english(sentence.split())}
    assert found[word] == part


@pytest.mark.parametrize(
    ("word", "sentence", "part"),
    [
        ("北京", "我 在 北京 学习", "PROPN"),
        ("我", "我 在 北京 学习", "PRON"),
        ("在", "我 在 北京 学习", "ADP"),
        ("学习", "我 在 北京 学习", "VERB"),
        ("和", "猫 和 狗", "CCONJ"),
        ("二十三", "二十三 个 人", "NUM"),
        ("，", "好 ， 走", "PUNCT"),
        ("的", "我 的 书", "PART"),
        ("的", "昨天 买 的 书", "SCONJ"),
        ("这", "这 本 书", "DET"),
        ("这", "这 是 书", "PRON"),
    ],
)
def test_chinese_word_has_its_part_of_speech(word, sentence, part):
    found = {one.text: one.part for one in tag_chinese(sentence.split())}
    assert found[word] == part


@pytest.mark.parametrize(
    ("text", "lemma"),
    [("The children slept .", "child"), ("He was running .", "run"), ("They saw mice .", "mouse")],
)
def test_english_word_has_its_lemma(text, lemma):
    assert lemma in [word.lemma for word in tag_english(text.split())]


def test_each_script_goes_to_its_own_tool():
    words = list(tag_words("Alice 喜欢北京。 She likes it."))
    assert [word.text for word in words if word.language == "zh"] == ["喜欢", "北京", "。"]
    assert [word.text for word in words if word.language == "en"] == [
        "Alice", "She", "likes", "it", ".",
    ]  # fmt: skip


def test_word_of_another_script_is_not_taken_for_english():
    assert [(w.part, w.language) for w in tag_words("Привет")] == [("X", "other")]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("don't", ["do", "n't"]),
        ("Alice’s cat", ["Alice", "’s", "cat"]),
        ("in the U.S. today", ["in", "the", "U.S.", "today"]),
        ("3.5% of 1,000", ["3.5", "%", "of", "1,000"]),
        ("see https://x.org/a?b=1 now", ["see", "https://x.org/a?b=1", "now"]),
        ("well-known...", ["well-known", "..."]),
    ],
)
def test_english_is_cut_as_taggers_want_it(text, tokens):
    assert cut_english(text) == tokens


@given(st.text(max_size=60))
def test_any_text_can_be_tagged_and_loses_nothing_but_spaces(text):
    words = list(tag_words(text))
    assert "".join(word.text for word in words) == "".join(text.split())
    assert {word.part for word in words} <= set(PARTS)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", ["a", "a.", "a@", "a'", "a-", "汉", "。", "１", "n't"])
def test_endless_line_is_tagged_in_bounded_time(piece):
    text = piece * 20_000
    assert "".join(word.text for word in tag_words(text)) == text
