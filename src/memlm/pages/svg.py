"""The pieces that every plot is made of, as SVG: words, lines of a grid, numbers on an axis."""

from __future__ import annotations

import math
from html import escape

_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


class Plot(str):
    """SVG that may stand in a page as it is: every word in it has been escaped."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def short_number(value: float) -> str:
    """Return a number for an axis: 1,500,000 is 1.5M."""
    for size, unit in _UNITS:
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def round_step(span: float, *, most: int) -> float:
    """Return the round distance (1, 2 or 5 times a power of ten) that cuts `span` in up to `most`.

    >>> [round_step(span, most=5) for span in (10, 4452, 0.7)]
    [2, 1000, 0.2]
    """
    size = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size * most >= span)
    return int(step) if step >= 1 else step


def grid_line(x1: float, x2: float, y1: float, y2: float) -> str:
    """Return a thin line."""
    return f'<line class="grid" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def text(x: float, y: float, words: str, anchor: str, *, kind: str = "tick") -> str:
    """Return words that begin, end or have their middle at a point."""
    place = f'class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(words)}</text>"


def upright_text(x: float, y: float, words: str) -> str:
    """Return words that are read from below, for a vertical axis."""
    return (
        f'<text class="axis" transform="translate({x} {y}) rotate(-90)" '
        f'text-anchor="middle">{escape(words)}</text>'
    )
