"""Control characters go, and a map says where everything that stays was."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.prepare.clean import clean_text

texts = st.text(st.sampled_from("ab词😀\t\n \x00\x07\x0b\x1f\x7f\x85\x9f\ufeff"))


@given(texts)
def test_no_control_character_stays_but_tab_and_line_end(text: str) -> None:
    cleaned, _ = clean_text(text)
    assert all(
        unicodedata.category(character) != "Cc" or character in "\t\n" for character in cleaned
    )
    assert "\ufeff" not in cleaned


@given(texts)
def test_map_says_where_each_character_was(text: str) -> None:
    cleaned, kept = clean_text(text)
    places = range(len(text)) if kept is None else kept.tolist()
    assert [text[place] for place in places] == list(cleaned)


@given(texts)
def test_nothing_else_is_taken_away(text: str) -> None:
    cleaned, _ = clean_text(text)
    assert sorted(cleaned) == sorted(
        c for c in text if c in "\t\n" or (unicodedata.category(c) != "Cc" and c != "\ufeff")
    )


@pytest.mark.parametrize("text", ["", "plain", "tab\tand line\n", "词😀"])
def test_clean_text_needs_no_map(text: str) -> None:
    assert clean_text(text) == (text, None)
