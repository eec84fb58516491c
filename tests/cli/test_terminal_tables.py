"""Tables that fit the terminal."""

import re

import pytest
from rich.cells import cell_len

from memlm.cli.tables import wrap

TEXT = "13,134 篇文档，2,181,842 个字符（3.5%），vocabulary of 5,077"
NUMBERS = ["13,134", "2,181,842", "3.5%", "5,077"]


@pytest.mark.parametrize("width", range(10, 70, 4))
def test_line_is_never_wider_than_asked_and_never_cuts_a_number(width):
    lines = list(wrap(TEXT, width))
    assert max(map(cell_len, lines)) <= width
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", TEXT)
    assert all(any(number in line for line in lines) for number in NUMBERS)


@pytest.mark.parametrize("width", range(10, 70, 4))
def test_no_line_begins_with_a_closing_sign_or_ends_with_an_opening_one(width):
    lines = list(wrap(TEXT, width))
    assert not [line for line in lines if line[0] in "，。）" or line[-1] == "（"]


def test_what_cannot_be_broken_stands_alone():
    assert list(wrap("a documents.sqlite b", 6)) == ["a", "documents.sqlite", "b"]


@pytest.mark.parametrize("width", [24, 40, 60, 80, 120])
def test_info_in_chinese_cuts_no_number_at_any_width(memlm, trained, monkeypatch, width):
    whole = memlm("info", trained, "--language", "zh", "--json").json
    monkeypatch.setattr("memlm.cli.console.out._width", width)
    shown = memlm("info", trained, "--language", "zh").out
    for number in (whole["documents"]["characters"], whole["prepared"][0]["tokens"]["train"]):
        assert f"{number:,}" in shown


@pytest.mark.parametrize("width", [60, 80])
def test_info_fits_the_terminal(memlm, trained, monkeypatch, width):
    monkeypatch.setattr("memlm.cli.console.out._width", width)
    for language in ("en", "zh"):
        shown = memlm("info", trained, "--language", language).out
        assert max(map(cell_len, shown.splitlines())) <= width
