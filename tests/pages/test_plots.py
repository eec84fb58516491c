"""Plots as inline SVG."""

import re
import xml.etree.ElementTree as ET

import pytest

from memlm.pages import histogram, power_law_plot
from memlm.pages.svg import short_number

POINTS = [(1, 1000), (10, 100), (100, 10), (1000, 1)]


def elements(plot, tag, kind=None):
    return [
        one for one in ET.fromstring(plot).iter(tag) if kind is None or one.get("class") == kind
    ]


def test_histogram_draws_one_bar_a_bin_in_proportion():
    plot = histogram([(0, 10, 4), (10, 20, 2), (20, 30, 0)], x_label="x", y_label="y")
    heights = [float(bar.get("height")) for bar in elements(plot, "rect")]
    assert heights[0] == pytest.approx(2 * heights[1])
    assert heights[2] == 0


def test_last_number_of_the_axis_ends_inside_the_picture():
    plot = histogram([(0, 800_000, 4), (800_000, 900_000, 2)], x_label="x", y_label="y")
    (last,) = [one for one in elements(plot, "text") if one.text == "900k"]
    assert (last.get("text-anchor"), float(last.get("x")) < 420) == ("end", True)


def test_bar_says_its_numbers_when_pointed_at():
    plot = histogram([(0, 1000, 4321), (7, 8, 1)], x_label="x", y_label="y")
    assert [one.text for one in elements(plot, "title")] == ["0–999: 4,321", "7: 1"]


def test_line_of_a_power_law_goes_through_its_points():
    plot = power_law_plot(POINTS, line=(1000, -1), x_label="x", y_label="y")
    (line,) = elements(plot, "line", "fit")
    first, *_, last = elements(plot, "circle")
    for end, point in (("1", first), ("2", last)):
        assert float(line.get(f"x{end}")) == pytest.approx(float(point.get("cx")), abs=0.2)
        assert float(line.get(f"y{end}")) == pytest.approx(float(point.get("cy")), abs=0.2)


@pytest.mark.parametrize("line", [(1e9, -1), (1e-9, -1), (5, 0), (1, 3)])
def test_line_never_leaves_the_plot(line):
    plot = power_law_plot(POINTS, line=line, x_label="x", y_label="y")
    for one in elements(plot, "line"):
        numbers = [float(one.get(name)) for name in ("x1", "x2", "y1", "y2")]
        assert all(0 <= number <= 420 for number in numbers)


def test_words_at_points_are_text_and_escaped():
    plot = power_law_plot(
        POINTS, line=None, x_label="排名", y_label="次数", names=[(1, 1000, "的"), (100, 10, "<b>")]
    )
    assert [one.text for one in elements(plot, "text", "name")] == ["的", "<b>"]
    assert "<b>" not in plot


def test_words_that_would_overlap_are_left_out():
    names = [(100, 100, "first"), (101, 99, "second")]
    plot = power_law_plot(POINTS, line=None, x_label="x", y_label="y", names=names)
    assert [one.text for one in elements(plot, "text", "name")] == ["first"]


@pytest.mark.parametrize(
    "plot",
    [
        lambda: histogram([], x_label="x", y_label="y"),
        lambda: power_law_plot([], line=None, x_label="x", y_label="y"),
        lambda: power_law_plot([(1, 1)], line=None, x_label="x", y_label="y"),
        lambda: power_law_plot([(24, 18)], line=None, x_label="x", y_label="y"),
    ],
    ids=["no bins", "no points", "one point at the origin", "one point elsewhere"],
)
def test_little_is_drawn_without_error(plot):
    ET.fromstring(plot())


def test_colours_are_the_pages():
    plot = power_law_plot(POINTS, line=(1000, -1), x_label="x", y_label="y")
    assert not re.search(r"fill=|stroke=|style=|#[0-9a-f]{3}", plot)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (999, "999"), (1000, "1k"), (1_500_000, "1.5M"), (2e9, "2G")]
)
def test_number_of_an_axis_is_short(value, text):
    assert short_number(value) == text
