"""Folding: what it makes one, and that nothing loses its place by it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memlm.errors import ConfigError
from memlm.memory import FOLDS, fold_text, parse_folds
from memlm.records import Fold

ODD = "aAbZ ßẞİıΣςéÉ ＡｂＣ１２！，。、「」ｶﾞｶﾟﾞアガ\t\n\r\u2028\u3000\u00a0中文字 한글ﾡ😀𐐀𐐨𠀀́"
TEXTS = st.text(alphabet=ODD, max_size=25)
SOME = st.sets(st.sampled_from(FOLDS)).map(lambda named: tuple(f for f in FOLDS if f in named))


@pytest.mark.parametrize(
    ("folds", "one", "other"),
    [
        pytest.param(["case"], "Call Me ISHMAEL, ÉMILE", "call me ishmael, émile", id="letters"),
        pytest.param(["case"], "ΣΊΣΥΦΟΣ", "σίσυφος", id="final sigma"),
        pytest.param(["width"], "ＧＰＴ－４，１２％", "GPT-4,12%", id="full width"),
        pytest.param(["width"], "ｶﾞﾊﾟｱ", "ガパア", id="half-width kana"),
        pytest.param(["space"], "one\n\n  two\tthree", "one two three", id="lines"),
        pytest.param(["space"], "床前\n　　明月 光。\n疑是", "床前明月光。疑是", id="beside hanzi"),
        pytest.param(["space"], "用 Python 写", "用Python写", id="between hanzi and letters"),
        pytest.param(["width", "space"], "Ａ\u3000Ｂ", "A B", id="wide space between letters"),
        pytest.param(list(FOLDS), "ＨＥＬＬＯ\u3000Ｗorld", "hello world", id="all"),
    ],
)
def test_what_differs_only_so_is_one(folds: list[Fold], one: str, other: str) -> None:
    assert fold_text(one, folds).text == fold_text(other, folds).text


@pytest.mark.parametrize(
    ("folds", "one", "other"),
    [
        pytest.param(["case"], "ＡＢ", "ab", id="width is told apart"),
        pytest.param(["width"], "ＡＢ", "ab", id="case is told apart"),
        pytest.param(["space"], "a part", "apart", id="words stay apart"),
        pytest.param(["case"], "Maße", "masse", id="one letter is never two"),
    ],
)
def test_what_differs_otherwise_is_not(folds: list[Fold], one: str, other: str) -> None:
    assert fold_text(one, folds).text != fold_text(other, folds).text


@given(TEXTS)
def test_without_folds_a_text_stays_as_it_is(text: str) -> None:
    folded = fold_text(text, ())
    assert folded.text == text
    assert [folded.unfold(at, at + 1) for at in range(len(text))] == [
        (at, at + 1) for at in range(len(text))
    ]


@given(TEXTS, SOME, st.data())
@example("a \n中", ("space",), None)
@example("ｶﾞ", ("width",), None)
def test_a_stretch_folds_to_what_was_found(
    text: str, folds: tuple[Fold, ...], data: st.DataObject | None
) -> None:
    folded = fold_text(text, folds)
    if not folded.text:
        return
    start, end = 0, len(folded.text)
    if data is not None:
        start = data.draw(st.integers(0, end - 1))
        end = data.draw(st.integers(start + 1, end))
    begin, stop = folded.unfold(start, end)
    assert 0 <= begin < stop <= len(text)
    assert fold_text(text[begin:stop], folds).text == folded.text[start:end]


@given(TEXTS, SOME)
def test_folding_twice_is_folding_once(text: str, folds: tuple[Fold, ...]) -> None:
    once = fold_text(text, folds).text
    assert fold_text(once, folds).text == once


@given(TEXTS, SOME)
def test_places_follow_one_another(text: str, folds: tuple[Fold, ...]) -> None:
    folded = fold_text(text, folds)
    places = [folded.unfold(at, at + 1) for at in range(len(folded.text))]
    assert all(start < end for start, end in places)
    assert all(one[1] <= other[0] for one, other in pairwise(places))


def test_wish_is_read_in_any_order() -> None:
    assert parse_folds("space, case") == ("case", "space")


@pytest.mark.parametrize("wish", ["", "case,colour", ","])
def test_other_wishes_are_refused(wish: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_folds(wish)
    assert caught.value.values["choices"] == "case, width, space"
