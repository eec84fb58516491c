"""Questions about all stretches of a text at once equal asking about each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.index import (
    Entry,
    SegmentEntry,
    ending_counts,
    open_index,
    places_of,
    refresh_index,
)

TEXTS = {"a": "the cat and the hat", "b": "春眠不觉晓，处处闻啼鸟。the", "c": "\U00010400aa\n\naaa"}


@pytest.fixture(scope="module", params=[1, 2], ids=["one segment", "several"])
def index(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    with pytest.MonkeyPatch.context() as patched:
        if request.param > 1:
            patched.setattr("memlm.index.store.LARGEST_SEGMENT", 40)
            patched.setattr("memlm.index.store.ALWAYS_JOINED", 0)
        refresh_index(
            folder,
            digest="1",
            entries={name: Entry("c", len(text)) for name, text in TEXTS.items()},
            read=lambda ids: (SegmentEntry(name, "c", TEXTS[name]) for name in ids),
        )
    return open_index(folder)


def occurrences(words):
    """Count by looking at every place of every document."""
    return sum(
        text.startswith(words, place) for text in TEXTS.values() for place in range(len(text))
    )


@given(st.text(alphabet="the catn春眠处不\n\U00010400z", max_size=30), st.integers(1, 6))
def test_counts_equal_counting_each_stretch(index, text, longest):
    found = ending_counts(index, text, longest=longest)
    assert found.shape == (longest, len(text))
    for length in range(1, longest + 1):
        expected = [
            occurrences(text[end - length : end]) if end >= length else 0
            for end in range(1, len(text) + 1)
        ]
        assert found[length - 1].tolist() == expected


def test_stretch_across_two_documents_is_none(index):
    found = ending_counts(index, "hat春", longest=4)
    assert found[0, 3] == 1
    assert np.all(found[1:, 3] == 0)


@given(st.text(alphabet="the catn春眠处不\n\U00010400z", min_size=1, max_size=30), st.data())
def test_places_of_stretches_equal_looking_for_each(index, text, data):
    ends = st.integers(1, len(text))
    stretches = data.draw(
        st.lists(ends.flatmap(lambda end: st.tuples(st.integers(0, end - 1), st.just(end))))
    )
    found = places_of(index, text, stretches, limit=3)
    assert len(found) == len(stretches)
    for (start, end), (count, places) in zip(stretches, found, strict=True):
        words = text[start:end]
        assert count == occurrences(words)
        assert len(places) == len(set(places)) == min(3, count)
        assert all(TEXTS[name].startswith(words, offset) for name, offset in places)
