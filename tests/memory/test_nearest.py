"""The nearest documents are those that share rare words, by BM25."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.index import Entry, SegmentEntry, open_index, refresh_index
from memlm.memory.nearest import index_words, nearest_documents

TEXTS = {
    "aa": "The red fox runs through the snow.",
    "bb": "The brown dog runs through the park.",
    "cc": "Zwei Hunde spielen im Schnee.",
    "dd": "两只狗在雪地里奔跑。",
    "ee": "一个女人在唱歌。",
}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("near") / "index"
    refresh_index(
        folder,
        digest="d",
        entries={key: Entry(content=key, size=len(text)) for key, text in TEXTS.items()},
        read=lambda keys: (SegmentEntry(key, key, TEXTS[key]) for key in keys),
    )
    return open_index(folder)


def nearest(index, text, limit=5, texts=TEXTS):
    return nearest_documents(
        index,
        text,
        texts_of=lambda keys: {key: texts[key] for key in keys if key in texts},
        documents=len(TEXTS),
        limit=limit,
    )


def bm25(text: str, document: str, kept: dict[str, str]) -> float:
    """The formula, straightforwardly."""
    words = {key: Counter(index_words(one)) for key, one in kept.items()}
    mean = sum(sum(one.values()) for one in words.values()) / len(words)
    total = 0.0
    for word in dict.fromkeys(index_words(text)):
        spelt = {word, word.capitalize(), word.upper()}
        places = sum(one.count(form) for one in TEXTS.values() for form in spelt)
        idf = math.log1p((len(TEXTS) + 0.5) / (min(places, len(TEXTS)) + 0.5))
        tf, size = words[document][word], sum(words[document].values())
        total += idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * size / mean))
    return total


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a fox in the snow", "aa"),
        ("BROWN dogs of a park", "bb"),
        ("Hunde im Wasser", "cc"),
        ("狗在奔跑", "dd"),
        ("唱歌的人", "ee"),
    ],
)
def test_the_document_with_the_rare_words_is_nearest(index, text, expected):
    assert nearest(index, text)[0].document_id == expected


@given(
    text=st.lists(st.sampled_from(index_words(" ".join(TEXTS.values()))), min_size=1).map(" ".join)
)
def test_scores_are_those_of_the_formula(index, text):
    found = nearest(index, text)
    shown = {one.document_id: TEXTS[one.document_id] for one in found}
    assert found == sorted(found, key=lambda one: (-one.score, one.document_id))
    for one in found:
        assert one.score == pytest.approx(bm25(text, one.document_id, shown))


def test_what_may_not_be_found_is_left_out(index):
    rest = {key: text for key, text in TEXTS.items() if key != "aa"}
    assert "aa" not in {one.document_id for one in nearest(index, "red fox", texts=rest)}


@pytest.mark.parametrize("text", ["", "...", "xylophone", "𠀀"])
def test_a_text_without_known_words_has_no_neighbours(index, text):
    assert nearest(index, text) == []


def test_no_more_are_found_than_asked_for(index):
    assert len(nearest(index, "runs through the im in", limit=2)) == 2


def test_a_word_in_capitals_is_found(tmp_path):
    texts = {"aa": "NASA WENT TO THE MOON", "bb": "nobody went anywhere"}
    refresh_index(
        tmp_path / "index",
        digest="d",
        entries={key: Entry(content=key, size=len(text)) for key, text in texts.items()},
        read=lambda keys: (SegmentEntry(key, key, texts[key]) for key in keys),
    )
    found = nearest(open_index(tmp_path / "index"), "Nasa", texts=texts)
    assert [one.document_id for one in found] == ["aa"]
