"""Exact and near copies, planted in generated text."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from memlm.prepare import duplicates as module
from memlm.prepare.duplicates import SIMILARITY, Copies, find_copies, sign_texts
from memlm.prepare.shingles import shingle_hashes

HANZI = [chr(code) for code in range(0x4E00, 0x4E00 + 1500)]
LETTERS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "lmnrst"]


def make_words(draw: random.Random, language: str, number: int) -> list[str]:
    return draw.choices(HANZI if language == "zh" else LETTERS, k=number)


def as_text(words: Sequence[str], language: str) -> str:
    return ("" if language == "zh" else " ").join(words)


def change(draw: random.Random, words: list[str], share: float, language: str) -> list[str]:
    changed = list(words)
    for place in draw.sample(range(len(words)), round(len(words) * share)):
        changed[place] = make_words(draw, language, 1)[0]
    return changed


def copies_of(
    texts: Sequence[str],
    kinds: Sequence[int] | None = None,
    first: Sequence[int] | None = None,
    *,
    joins: bool = False,
) -> Copies:
    number = len(texts)
    pairs = list(zip(texts, kinds or [0] * number, strict=True))
    ids = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
    contents = [[ids[pair], 0] for pair in pairs]
    keys = sign_texts(texts)
    return find_copies(
        np.array(contents, dtype=np.uint64).reshape(number, 2),
        np.array(kinds or [0] * number, dtype=np.uint64),
        np.array(first if first is not None else range(number), dtype=np.int64),
        band=lambda number: keys[:, number],
        read=lambda row: texts[row],
        texts=np.array([texts.index(text) for text in texts], dtype=np.uint64) if joins else None,
    )


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.05])
def test_planted_copy_is_found(language: str, share: float) -> None:
    draw = random.Random(1)
    words = [make_words(draw, language, 100 + 40 * number) for number in range(60)]
    copies = [change(draw, one, share, language) for one in words[:30]]
    found = copies_of([as_text(one, language) for one in [*words, *copies]])
    assert found.kept.tolist() == [*range(60), *range(30)]
    assert found.is_exact.tolist() == [False] * 60 + [share == 0.0] * 30


def test_texts_that_share_little_are_not_copies() -> None:
    draw = random.Random(2)
    words = [make_words(draw, "en", 100) for _ in range(200)]
    half = [one[:50] + make_words(draw, "en", 50) for one in words]
    found = copies_of([as_text(one, "en") for one in [*words, *half]])
    assert found.kept.tolist() == list(range(400))


def test_long_texts_made_of_the_same_few_phrases_are_not_copies() -> None:
    draw = random.Random(8)
    phrases = [as_text(make_words(draw, "en", 5), "en") + "." for _ in range(12)]
    texts = [" ".join(draw.choices(phrases, k=400)) for _ in range(6)]
    shares = [set(shingle_hashes([text])[0].tolist()) for text in texts[:2]]
    assert len(shares[0] & shares[1]) / len(shares[0] | shares[1]) > SIMILARITY
    assert copies_of(texts).kept.tolist() == list(range(6))


def test_copy_is_as_similar_as_the_definition_says() -> None:
    draw = random.Random(3)
    words = make_words(draw, "en", 150)
    texts = [as_text(words, "en"), as_text(change(draw, words, 0.04, "en"), "en")]
    one, other = (set(shingle_hashes([text])[0].tolist()) for text in texts)
    found = copies_of(texts)
    assert found.similarity[1] == pytest.approx(len(one & other) / len(one | other))
    assert found.similarity[1] >= SIMILARITY


def test_documents_of_different_labels_are_never_copies() -> None:
    text = as_text(make_words(random.Random(4), "en", 50), "en")
    assert copies_of([text, text, text], kinds=[1, 2, 1]).kept.tolist() == [0, 1, 0]
    near = [text, text + " more", text + " words"]
    assert copies_of(near, kinds=[1, 2, 1]).kept.tolist() == [0, 1, 0]


def test_copy_of_a_copy_is_led_to_the_one_that_is_kept() -> None:
    draw = random.Random(5)
    words = make_words(draw, "en", 300)
    texts = [as_text(change(draw, words, 0.02, "en"), "en") for _ in range(8)]
    found = copies_of([*texts, texts[3]])
    assert found.kept.tolist() == [0] * 9


def test_document_that_goes_first_is_the_one_that_stays() -> None:
    text = as_text(make_words(random.Random(6), "en", 50), "en")
    assert copies_of([text, text + " more", text], first=[2, 0, 1]).kept.tolist() == [2, 2, 2]


def test_texts_without_words_are_no_copies_of_one_another() -> None:
    assert copies_of(["...", "!!", "?", ""]).kept.tolist() == [0, 1, 2, 3]


def chain(draw: random.Random) -> list[str]:
    """Make texts each of which is like the one before it, the first and the last unlike."""
    words = [make_words(draw, "en", 200)]
    for _ in range(4):
        words.append(change(draw, words[-1], 0.06, "en"))
    return [as_text(one, "en") for one in words]


def test_document_that_stays_is_like_no_other_that_stays() -> None:
    texts = chain(random.Random(5))
    found = copies_of(texts)
    kept = [text for row, text in enumerate(texts) if found.kept[row] == row]
    assert 1 < len(kept) < len(texts)
    for number, text in enumerate(kept):
        sets = [set(shingle_hashes([one])[0].tolist()) for one in (text, *kept[:number])]
        assert all(len(sets[0] & one) < SIMILARITY * len(sets[0] | one) for one in sets[1:])


def test_chain_of_copies_that_are_kept_is_one_group() -> None:
    texts = [*chain(random.Random(5)), as_text(make_words(random.Random(6), "en", 200), "en")]
    assert copies_of(texts, joins=True).group.tolist() == [0, 0, 0, 0, 0, 5]


@pytest.mark.parametrize("whole", [1 << 30, 2_000], ids=["all shingles", "some shingles"])
def test_long_text_is_compared_piece_by_piece(monkeypatch: pytest.MonkeyPatch, whole: int) -> None:
    draw = random.Random(7)
    words = [make_words(draw, "en", 5_000) for _ in range(4)]
    texts = [as_text(one, "en") for one in [*words, change(draw, words[1], 0.05, "en")]]
    expected = copies_of(texts).similarity[4]
    monkeypatch.setattr(module, "_AT_ONCE", 3_000)
    monkeypatch.setattr(module, "_COMPARED_WHOLE", whole)
    found = copies_of(texts)
    assert found.kept.tolist() == [0, 1, 2, 3, 1]
    assert found.similarity[4] == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The developer argued because he did not like it", None),
        ("您今天下午有没有时间和我们去喝茶", "你今天下午有没有时间和我们去喝茶"),
        ("大盘周一下跌百分之三以上", "大盘周四下跌百分之三以上"),
        ("then x = a + b for all of them", "then x = a - b for all of them"),
        ("we are all here :)", "we are all here :("),
        ("he writes C++ all day", "he writes C# all day"),
        ("it is cold today 😀", "it is cold today 😡"),
        ("the meeting is at 10:30", "the meeting is at 10.30"),
    ],
    ids=["he or she", "您 or 你", "weekday", "sum", "face", "language", "emoji", "time"],
)
def test_short_texts_that_differ_in_a_word_or_sign_are_no_copies(
    one: str, other: str | None
) -> None:
    texts = [one, other or one.replace(" he ", " she ")]
    assert copies_of(texts).kept.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Yes, it is cold here.", "yes it is COLD here!"),
        ("床前明月光，疑是地上霜。", "床前 明月光 疑是地上霜"),
    ],
    ids=["English", "Chinese"],
)
def test_short_texts_that_differ_in_case_and_punctuation_are_copies(one: str, other: str) -> None:
    assert copies_of([one, other]).kept.tolist() == [0, 0]


@pytest.mark.parametrize("words", range(30, 60, 5))
def test_copy_of_few_words_is_found_with_one_in_twenty_changed(words: int) -> None:
    draw = random.Random(words)
    originals = [make_words(draw, "en", words) for _ in range(50)]
    copies = [change(draw, one, 0.05, "en") for one in originals]
    found = copies_of([as_text(one, "en") for one in [*originals, *copies]])
    assert sum(found.kept[50:] == np.arange(50)) >= 49


def test_document_is_no_copy_where_more_than_an_eighth_is_changed() -> None:
    draw = random.Random(9)
    words = [make_words(draw, "en", 100) for _ in range(50)]
    texts = [as_text(one, "en") for one in words]
    texts += [as_text(change(draw, one, 0.12, "en"), "en") for one in words]
    assert copies_of(texts).kept.tolist() == list(range(100))


def test_same_or_like_text_of_another_kind_is_of_the_group_and_no_copy() -> None:
    text = as_text(make_words(random.Random(10), "en", 100), "en")
    found = copies_of([text, text, text + " more"], kinds=[1, 2, 3], joins=True)
    assert found.kept.tolist() == [0, 1, 2]
    assert found.group.tolist() == [0, 0, 0]
