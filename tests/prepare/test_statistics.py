"""What a collection is made of."""

import random

import pytest

from memlm.prepare.statistics import Tools, _edges, measure_documents
from memlm.records import Document, PersonalData

TOOLS = Tools(
    language_of=lambda text: ("zh" if "的" in text else "en", 1.0),
    stop_words=lambda language: {"en": frozenset(["the", "a"]), "zh": frozenset(["的"])}[language],
    find_personal_data=lambda text: [],
)


def documents(*texts, labels=()):
    labels = [*labels, *[None] * (len(texts) - len(labels))]
    return [
        Document(id=str(number), text=text, label=label)
        for number, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]


def measured(*texts, labels=(), tools=TOOLS):
    return measure_documents(documents(*texts, labels=labels), tools)


def test_documents_characters_and_bytes_are_counted():
    found = measured("The cat.", "我的猫。")
    assert (found.documents, found.characters, found.bytes) == (2, 12, 20)


def test_words_are_counted_with_and_without_stop_words():
    group = measured("The cat saw the cat.", "A dog.").words["letters"]
    assert group.common[:2] == (("cat", 2), ("the", 2))
    assert group.common_without_stop_words == (("cat", 2), ("dog", 1), ("saw", 1))
    assert (group.count, group.distinct, group.once) == (7, 5, 3)
    assert group.stop_word_share == pytest.approx(3 / 7)


def test_hanzi_and_letters_are_two_groups():
    found = measured("The cat.", "我的猫。")
    assert {name: group.stop_words_of for name, group in found.words.items()} == {
        "letters": ("en",),
        "hanzi": ("zh",),
    }


def test_group_without_words_is_not_there():
    assert list(measured("The cat.").words) == ["letters"]


def test_parts_of_speech_are_counted_by_language():
    found = measured("The cat saw the cat.", "我的猫。")
    assert found.parts_of_speech["en"]["NOUN"] == 2
    assert found.parts_of_speech["zh"]["PRON"] == 1
    assert found.common_lemmas["en"]["VERB"] == (("see", 1),)


@pytest.mark.parametrize(
    ("texts", "labels", "duplicates"),
    [
        (["same", "same", "same", "other"], [], 2),
        (["same", "same"], ["yes", "no"], 0),
        (["same", "same"], ["yes", "yes"], 1),
        (["same", "same"], ["yes"], 0),
        (["same", "Same"], [], 0),
    ],
    ids=["copies", "other label", "same label", "one without label", "other case"],
)
def test_documents_with_the_same_text_and_label_are_copies(texts, labels, duplicates):
    assert measured(*texts, labels=labels).exact_duplicates == duplicates


def test_labels_are_counted_the_commonest_first():
    assert list(measured("a", "b", "c", labels=["x", "y", "y"]).labels.items()) == [
        ("y", 2),
        ("x", 1),
    ]


def test_languages_are_those_of_the_documents():
    assert measured("cat", "dog", "我的").languages == {"en": 2, "zh": 1}


def test_personal_data_is_counted_by_kind_and_is_in_no_list_of_words():
    tools = Tools(
        language_of=TOOLS.language_of,
        stop_words=TOOLS.stop_words,
        find_personal_data=lambda text: [PersonalData("email", 3, 10)],
    )
    found = measured("to a@b.org now", "of c@d.org too", tools=tools)
    assert found.personal_data == {"email": 2}
    words = [word for word, _ in found.words["letters"].common]
    assert sorted(words) == ["now", "of", "to", "too"]


def test_small_collection_is_looked_at_whole():
    sampled = measured("cat", "dog").sampled
    assert sampled == {
        "passages": 2,
        "passage_characters": 6,
        "documents": 2,
        "is_all_passages": 1,
        "is_all_documents": 1,
    }


def test_large_collection_is_sampled_and_says_so(monkeypatch):
    monkeypatch.setattr("memlm.prepare.statistics._SAMPLED_CHARACTERS", 5_000)
    monkeypatch.setattr("memlm.prepare.statistics._SAMPLED_DOCUMENTS", 2)
    sampled = measured("one two. " * 900, "three. " * 900, "four", "five").sampled
    assert sampled["passage_characters"] <= 5_000
    assert sampled["documents"] <= 2
    assert (sampled["is_all_passages"], sampled["is_all_documents"]) == (0, 0)


def test_same_documents_give_the_same_figures():
    texts = ["one two three. " * 50, "我的猫。" * 90]
    assert measured(*texts) == measured(*texts)


def test_progress_counts_the_characters_of_all_documents():
    seen = []
    measure_documents(documents("cat", "four"), TOOLS, progress=seen.append)
    assert seen == [3, 7]


def test_no_documents_have_no_lengths():
    assert measured().lengths.histogram == ()


def test_histogram_counts_every_document_once():
    draw = random.Random(1)
    texts = ["x" * int(10 ** draw.uniform(0, 4)) for _ in range(300)]
    lengths = measured(*texts).lengths
    assert sum(count for _, _, count in lengths.histogram) == 300
    for low, high, count in lengths.histogram:
        assert count == sum(low <= len(text) < high for text in texts)


@pytest.mark.parametrize(
    ("low", "high", "count"),
    [(684_043, 860_933, 2), (1, 3_000_000, 1000), (0, 5, 10), (0, 0, 3), (7, 7, 1), (3, 61, 50),
     (9, 10, 5), (0, 100, 9), (99, 100, 1000)],
)  # fmt: skip
def test_bins_enclose_the_lengths_and_rise(low, high, count):
    edges = _edges(low, high, count)
    assert edges[0] <= low
    assert high < edges[-1]
    assert edges == sorted(set(edges))
    assert len(edges) <= 30
