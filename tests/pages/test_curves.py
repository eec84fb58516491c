"""The curves of a training as SVG."""

import re
import xml.etree.ElementTree as ET

import pytest

from memlm.messages import in_language
from memlm.pages import training_curves

SVG = "{http://www.w3.org/2000/svg}"
LEARNED = [(step, 4.0 / step + 1.0) for step in range(1, 101)]
HELD_OUT = [(20, 1.5), (40, 1.3), (60, 1.2), (80, 1.25), (100, 1.3)]
RATES = [(step, 0.003 * (1 - step / 100)) for step in range(1, 101)]


def elements(plot, tag, kind):
    return [one for one in ET.fromstring(plot).iter(SVG + tag) if one.get("class") == kind]


def drawn(plot, kind):
    """Return the points of a curve; what the legend shows of it is no curve."""
    paths = (one.get("d") for one in elements(plot, "path", kind))
    path = next(one for one in paths if "h22" not in one)
    return [tuple(map(float, point.split())) for point in path[1:].split("L")]


def test_losses_fall_and_steps_go_right():
    points = drawn(training_curves(LEARNED, HELD_OUT, RATES), "learned")
    assert len(points) == len(LEARNED)
    assert points == sorted(points)
    assert [y for _, y in points] == sorted(y for _, y in points)


def test_equal_losses_of_both_curves_are_equally_high():
    plot = training_curves([(50, 1.3), (100, 1.1)], [(50, 1.3), (100, 1.4)], RATES)
    assert drawn(plot, "learned")[0] == drawn(plot, "held-out")[0]


def test_the_best_validation_is_ringed_and_said():
    with in_language("en"):
        plot = training_curves(LEARNED, HELD_OUT, RATES)
    (ring,) = elements(plot, "circle", "best")
    assert ring.find(SVG + "title").text == "60: 1.200"
    assert len(elements(plot, "circle", "point")) == 4
    assert "held-out sample, lowest 1.200 at step 60" in plot


def test_losses_of_the_beginning_do_not_squeeze_the_rest():
    plot = training_curves([(1, 50.0), *LEARNED[1:]], HELD_OUT, RATES)
    settled = [y for _, y in drawn(plot, "learned")[10:]]
    assert max(settled) - min(settled) > 100


def test_nothing_settled_is_outside_the_plot():
    plot = training_curves(LEARNED, [*HELD_OUT[:-1], (100, 7.5)], RATES)
    assert all(52 <= y <= 300 for _, y in drawn(plot, "learned")[10:])
    assert all(52 <= y <= 300 for _, y in drawn(plot, "held-out"))


def test_the_rate_lies_below_the_losses():
    points = drawn(training_curves(LEARNED, HELD_OUT, RATES), "rate")
    assert all(334 <= y <= 394 for _, y in points)


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", {"nats per character", "learning rate"}), ("zh", {"纳特/字符", "学习率"})],
)
def test_labels_are_in_the_language_in_force(language, words):
    with in_language(language):
        plot = training_curves(LEARNED, HELD_OUT, RATES)
    assert words <= {one.text for one in ET.fromstring(plot).iter(SVG + "text")}


def test_ticks_that_lie_close_still_differ():
    plot = training_curves([(10, 1.4021), (20, 1.4039)], [], RATES)
    ticks = [one.text for one in elements(plot, "text", "tick") if one.text.startswith("1.40")]
    assert len(ticks) == len(set(ticks)) >= 3


@pytest.mark.parametrize(
    "curves",
    [([], [], []), (LEARNED[:1], [], RATES[:1]), ([(1, 1.0)], [(1, 1.0)], [(1, 0.0)])],
    ids=["nothing", "one step", "one step at rate 0"],
)
def test_little_is_drawn_without_error(curves):
    ET.fromstring(training_curves(*curves))


def test_without_held_out_text_no_curve_claims_it():
    assert elements(training_curves(LEARNED, [], RATES), "path", "held-out") == []


def test_the_file_brings_its_colours_for_light_and_dark_and_loads_nothing():
    plot = training_curves(LEARNED, HELD_OUT, RATES)
    assert "prefers-color-scheme: dark" in plot
    assert not re.search(r"(href|src|url\((?!#)|@import|<script)", plot)
