"""A task's example is one text, of which both parts can be read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.errors import ConfigError, InputError
from memlm.tasks import (
    MARK,
    read_example,
    stretches_of,
    task_of,
    write_example,
    write_question,
)

PARTS = st.text(st.characters(exclude_characters=MARK, exclude_categories=["Cs"]), min_size=1)


@given(PARTS.filter(str.strip), PARTS.filter(str.strip))
def test_both_parts_of_an_example_come_back(source, target):
    text = write_example(source, target)
    assert read_example(text) == (source.strip(), target.strip())
    assert text.startswith(write_question(source))


@given(st.text(st.sampled_from("ab" + MARK), max_size=12), st.data())
def test_stretches_join_to_the_whole_and_the_sign_is_alone(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    found = stretches_of(text, start, end)
    assert "".join(text[low:high] for low, high in found) == text[start:end]
    first = text.find(MARK, start, end)
    if first >= 0:
        assert (first, first + 1) in found


def test_a_text_without_the_sign_is_no_example():
    assert read_example("two lines\nof text") is None
    assert stretches_of("text") == [(0, 4)]


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        ("", "x", "source_empty"),
        (" \n", "x", "source_empty"),
        ("x", "", "target_empty"),
        (f"a{MARK}b", "x", "mark_in_text"),
        ("x", f"a{MARK}", "mark_in_text"),
    ],
)
def test_what_cannot_be_an_example_is_refused(source, target, code):
    with pytest.raises(InputError) as caught:
        write_example(source, target)
    assert caught.value.code == code


def test_an_unknown_task_names_those_that_there_are():
    with pytest.raises(ConfigError, match="translate"):
        task_of("sing")
