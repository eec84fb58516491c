"""The curves of a training as one SVG file: both losses over the steps, the learning rate below.

It needs no page around it: it brings its colours along, for the light and for the dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape

from memlm.messages import render
from memlm.pages.svg import Plot, grid_line, round_step, short_number, text, upright_text

Points = Sequence[tuple[int, float]]
_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT = 66, 700
_TOP, _FLOOR = 52, 300  # of the losses
_RATE_TOP, _RATE_FLOOR = 334, 394  # of the learning rate
_SETTLED = 0.1  # the share of the steps after which losses are no longer those of chance
_STYLE = """
svg { color-scheme: light dark; --paper: #fbfaf8; --ink: #1d1d1b; --faint: #6b6a66;
  --rule: #e3e1dc; --learned: #3a75b5; --held-out: #c4561c; }
@media (prefers-color-scheme: dark) { svg { --paper: #15171a; --ink: #e8e7e3; --faint: #a09f9a;
  --rule: #33373d; --learned: #74aee8; --held-out: #f0985c; } }
text { fill: var(--ink); font: 12px system-ui, -apple-system, "Segoe UI", Roboto,
  "Noto Sans CJK SC", "Noto Sans SC", "PingFang SC", "Microsoft YaHei", sans-serif; }
text.heading { font-size: 15px; font-weight: 600; }
text.tick, text.axis { fill: var(--faint); }
.paper { fill: var(--paper); }
.grid { stroke: var(--rule); }
.learned, .held-out, .rate { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.learned { stroke: var(--learned); }
.held-out { stroke: var(--held-out); }
.rate { stroke: var(--faint); stroke-width: 1.2; }
.point { fill: var(--held-out); }
.best { fill: var(--paper); stroke: var(--held-out); stroke-width: 2; }
"""


def training_curves(learned: Points, held_out: Points, rates: Points) -> Plot:
    """Draw losses in nats per character, and learning rates, each as (step, value).

    The losses of the first tenth are far above all others: there the curve may begin above the
    plot.
    """
    last = max((step for step, _ in [*learned, *held_out]), default=1)
    bottom, top, distance = _loss_axis([*learned, *held_out], last)

    def x_of(step: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * step / last

    def y_of(loss: float) -> float:
        return _FLOOR - (_FLOOR - _TOP) * (loss - bottom) / (top - bottom)

    return _svg(
        [
            text(_LEFT, 22, render("curves.title"), "start", kind="heading"),
            *_step_axis(last, x_of),
            *_loss_lines(bottom, top, distance, y_of),
            *_legend(held_out),
            *_rate_panel(rates, x_of),
            '<g clip-path="url(#losses)">',
            _path("learned", learned, x_of, y_of),
            _path("held-out", held_out, x_of, y_of),
            *_points(held_out, x_of, y_of),
            "</g>",
        ]
    )


def _loss_axis(losses: Points, last: int) -> tuple[float, float, float]:
    """Return where the axis of the losses begins, where it ends, and the distance of its lines."""
    settled = [loss for step, loss in losses if step > _SETTLED * last]
    low, high = min(settled, default=0.0), max(settled, default=1.0)
    if high - low < 1e-3:  # a line on which something can be read needs some room
        low, high = low - 0.05, high + 0.05
    distance = round_step(high - low, most=6)
    bottom, top = math.floor(low / distance) * distance, math.ceil(high / distance) * distance
    return bottom, top, distance


def _step_axis(last: int, x_of: Callable[[float], float]) -> Iterator[str]:
    distance = max(1, round_step(last, most=7))
    for step in range(0, last + 1, int(distance)):
        x = x_of(step)
        yield grid_line(x, x, _TOP, _FLOOR)
        yield grid_line(x, x, _RATE_TOP, _RATE_FLOOR)
        yield text(x, _RATE_FLOOR + 17, short_number(step), "middle")
    yield text((_LEFT + _RIGHT) / 2, _HEIGHT - 8, render("curves.steps"), "middle", kind="axis")


def _loss_lines(
    bottom: float, top: float, distance: float, y_of: Callable[[float], float]
) -> Iterator[str]:
    decimals = max(0, -math.floor(math.log10(distance)))
    for number in range(round((top - bottom) / distance) + 1):
        loss = bottom + number * distance
        yield grid_line(_LEFT, _RIGHT, y_of(loss), y_of(loss))
        yield text(_LEFT - 7, y_of(loss) + 4, f"{loss:.{decimals}f}", "end")
    yield upright_text(18, (_TOP + _FLOOR) / 2, render("curves.loss"))


def _legend(held_out: Points) -> Iterator[str]:
    said = [("learned", render("curves.learned"))]
    if held_out:
        step, loss = _best(held_out)
        said.append(("held-out", render("curves.held_out", loss=loss, step=step)))
    for x, (kind, words) in zip((_LEFT, _LEFT + 240), said, strict=False):
        yield f'<path class="{kind}" d="M{x} 40h22"/>'
        yield text(x + 28, 44, words, "start")


def _best(held_out: Points) -> tuple[int, float]:
    return min(held_out, key=lambda point: point[1])


def _rate_panel(rates: Points, x_of: Callable[[float], float]) -> Iterator[str]:
    most = max((rate for _, rate in rates), default=0.0)
    for rate in (0.0, most) if most else ():
        y = _RATE_FLOOR if rate == 0 else _RATE_TOP
        yield grid_line(_LEFT, _RIGHT, y, y)
        yield text(_LEFT - 7, y + 4, f"{rate:.2g}", "end")
    height = (_RATE_FLOOR - _RATE_TOP) / (most or 1)
    yield text(_LEFT, _RATE_TOP - 8, render("curves.rate"), "start", kind="axis")
    yield _path("rate", rates, x_of, lambda rate: _RATE_FLOOR - height * rate)


def _path(
    kind: str, points: Points, x_of: Callable[[float], float], y_of: Callable[[float], float]
) -> str:
    way = "L".join(f"{x_of(step):.1f} {y_of(value):.1f}" for step, value in points)
    return f'<path class="{kind}" d="M{way}"/>' if way else ""


def _points(
    held_out: Points, x_of: Callable[[float], float], y_of: Callable[[float], float]
) -> Iterator[str]:
    """Yield a point for every validation, a ring for the best, each with its numbers."""
    best = _best(held_out) if held_out else None
    for step, loss in sorted(held_out, key=lambda point: point == best):  # the ring on top
        kind, radius = ("best", 4.5) if (step, loss) == best else ("point", 2.6)
        yield (
            f'<circle class="{kind}" cx="{x_of(step):.1f}" cy="{y_of(loss):.1f}" r="{radius}">'
            f"<title>{step:,}: {loss:.3f}</title></circle>"
        )


def _svg(parts: Sequence[str]) -> Plot:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(render("curves.title"))}"><style>{_STYLE}</style>'
        f'<clipPath id="losses"><rect x="{_LEFT}" y="{_TOP}" width="{_RIGHT - _LEFT + 6}" '
        f'height="{_FLOOR - _TOP}"/></clipPath>'
        f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>'
    )
    return Plot(head + "".join(parts) + "</svg>\n")
