"""Two small plots as inline SVG: a histogram, and points with a line on logarithmic axes.

Written by hand rather than by matplotlib: they take their colours from the page, so that they are
right in the light and in the dark; their words stay words of the page's font, Chinese or not, which
can be selected and searched; and a page costs no second of imports and a few kilobytes of SVG.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

from memlm.pages.svg import Plot, grid_line, short_number, text, upright_text

_WIDTH, _HEIGHT = 420, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 12, 14, 44
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_CHARACTER_WIDTH = 7.5


def histogram(bins: Sequence[tuple[int, int, int]], *, x_label: str, y_label: str) -> Plot:
    """Draw bars of equal width for (from, below, count); each says its numbers when pointed at."""
    most = max((count for _, _, count in bins), default=0)
    top = _round_up(most)
    width = _PLOT_WIDTH / max(1, len(bins))
    every = math.ceil(len(bins) / (_PLOT_WIDTH / 44))
    parts = list(_horizontal_lines([0, top / 2, top] if top > 1 else [0, top], lambda y: y / top))
    for at, (low, high, count) in enumerate(bins):
        x, height = _LEFT + at * width, _PLOT_HEIGHT * count / top
        shown = f"{low:,}–{high - 1:,}: {count:,}" if high > low + 1 else f"{low:,}: {count:,}"
        parts.append(
            f'<rect class="bar" x="{x + 1:.1f}" y="{_TOP + _PLOT_HEIGHT - height:.1f}" '
            f'width="{max(1.0, width - 2):.1f}" height="{height:.1f}"><title>{shown}</title></rect>'
        )
        if at % every == 0:
            parts.append(text(x, _TOP + _PLOT_HEIGHT + 16, short_number(low), "middle"))
    if bins and len(bins) % every == 0:
        parts.append(
            # It ends with the plot: in the middle of the last line, half of it may lie outside.
            text(_WIDTH - 2, _TOP + _PLOT_HEIGHT + 16, short_number(bins[-1][1]), "end")
        )
    return _svg(parts, x_label, y_label)


def power_law_plot(
    points: Sequence[tuple[int, int]],
    *,
    line: tuple[float, float] | None,
    x_label: str,
    y_label: str,
    names: Sequence[tuple[int, int, str]] = (),
) -> Plot:
    """Draw points on logarithmic axes, the line y = factor * x ** exponent, and words at points.

    `line` is (factor, exponent); `names` are (x, y, word). Words that would overlap are left out.
    """
    if not points:
        return _svg([], x_label, y_label)
    x_of = _log_scale([x for x, _ in points], _LEFT, _LEFT + _PLOT_WIDTH)
    y_of = _log_scale([y for _, y in points], _TOP + _PLOT_HEIGHT, _TOP)
    parts = list(_decade_lines(points, x_of, y_of))
    if line is not None:
        parts.append(_fitted_line(points, line, (x_of, y_of)))
    for x, y in points:
        parts.append(
            f'<circle class="point" cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="2.6">'
            f"<title>{x:,}: {y:,}</title></circle>"
        )
    parts += _words_at(names, x_of, y_of)
    return _svg(parts, x_label, y_label)


def _words_at(
    names: Sequence[tuple[int, int, str]],
    x_of: Callable[[float], float],
    y_of: Callable[[float], float],
) -> Iterator[str]:
    taken: list[tuple[float, float, float]] = []
    for x, y, word in names:
        left, base = x_of(x) + 6, max(y_of(y) - 3, _TOP + 8)
        right = left + _CHARACTER_WIDTH * sum(2 if c > "\u2e80" else 1 for c in word)
        is_free = all(
            right < other_left or left > other_right or abs(base - other_base) > 13
            for other_left, other_right, other_base in taken
        )
        if is_free and right < _WIDTH:
            taken.append((left, right, base))
            yield text(left, base, word, "start", kind="name")


def _fitted_line(
    points: Sequence[tuple[int, int]],
    line: tuple[float, float],
    scales: tuple[Callable[[float], float], Callable[[float], float]],
) -> str:
    factor, exponent = line
    x_of, y_of = scales
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    bottom, top = min(y for _, y in points), max(y for _, y in points)
    ends = []
    for x in (low, high):
        y = min(max(factor * x**exponent, bottom), top)
        at = (y / factor) ** (1 / exponent) if exponent else x  # where it leaves the plot
        ends.append((x_of(min(max(at, low), high)), y_of(y)))
    (x1, y1), (x2, y2) = ends
    return f'<line class="fit" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _log_scale(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    low, high = math.log10(max(1, min(values))), math.log10(max(1, *values))
    high = high if high > low else low + 1
    return lambda value: start + (math.log10(value) - low) / (high - low) * (end - start)


def _decade_lines(
    points: Sequence[tuple[int, int]],
    x_of: Callable[[float], float],
    y_of: Callable[[float], float],
) -> Iterator[str]:
    for x in _decades([x for x, _ in points]):
        yield grid_line(x_of(x), x_of(x), _TOP, _TOP + _PLOT_HEIGHT)
        yield text(x_of(x), _TOP + _PLOT_HEIGHT + 16, short_number(x), "middle")
    floor = _TOP + _PLOT_HEIGHT
    yield from _horizontal_lines(
        _decades([y for _, y in points]), lambda y: (floor - y_of(y)) / _PLOT_HEIGHT
    )


def _decades(values: Sequence[int]) -> list[float]:
    low, high = math.log10(max(1, min(values))), math.log10(max(values))
    return [10.0**power for power in range(math.ceil(low), math.floor(high) + 1)]


def _horizontal_lines(values: Sequence[float], share: Callable[[float], float]) -> Iterator[str]:
    for value in values:
        y = _TOP + _PLOT_HEIGHT * (1 - share(value))
        yield grid_line(_LEFT, _LEFT + _PLOT_WIDTH, y, y)
        yield text(_LEFT - 6, y + 4, short_number(value), "end")


def _round_up(value: int) -> int:
    """Return the next number that halves into round ones; at least 1."""
    size = 1
    while True:
        for step in (1, 2, 4, 6, 8):
            if step * size >= value:
                return step * size
        size *= 10


def _svg(parts: Sequence[str], x_label: str, y_label: str) -> Plot:
    middle = _TOP + _PLOT_HEIGHT / 2
    labels = [
        text(_LEFT + _PLOT_WIDTH / 2, _HEIGHT - 6, x_label, "middle", kind="axis"),
        upright_text(12, middle, y_label),
    ]
    head = (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(y_label)} / {escape(x_label)}">'
    )
    return Plot(head + "".join([*parts, *labels]) + "</svg>")
