"""The page `attention.html`: a text whose every token shows what the model looked at after it.

It is given what `memlm attend --json` prints, best with its rows of weights as arrays, and nothing
else. The page as written shows the last
token; its script, the only one that its policy lets run, shows any other, and draws the heat maps.
Weights travel as one byte each, 255 times the square root: the small ones are then kept apart too.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.messages import find, join, render
from memlm.pages.page import page_script, render_page

_MOST_SURPRISE = 8.0
"""Nats at which the line below a token is drawn in full: a probability of 1 in 3000."""
_DARKEST = 0.8
"""Of the colour, so that words stay legible on it."""
Found = Mapping[str, Any]  # Any: JSON
Group = tuple[str, list[int]]
"""A piece of text and the tokens that spell it."""


def attention_page(found: Found) -> str:
    """Return the whole page."""
    groups = grouped(found["tokens"])
    layers, kind = found["layers"], found["kind"]
    row = last_row(found)
    return render_page(
        "attention.html",
        found=found,
        title=render(f"attention.title_{kind}", model=found["model"]),
        # The script fills it in.
        looked=render(f"attention.said_{kind}", token="{token}", next="{next}", list="{list}"),
        script=page_script("attention.js"),
        groups=[
            (text, tokens, _fill(row, tokens), _line(found["tokens"], tokens))
            for text, tokens in groups
        ],
        layers=[
            {
                "title": layer_title(layer),
                "number": layer["layer"],
                "heads": [_packed(head) for head in layer["heads"]],
            }
            for layer in layers
        ],
        chosen=layers[-1]["layer"],
        size=len(found["tokens"]),
        darkest=_DARKEST,
        chances=[_probability(token) for token in found["tokens"]],
        legend=join(render(f"attention.{kind}"), render("attention.surprise")),
        caution=render(f"attention.{kind}_caution"),
    )


# -- what the terminal says too -------------------------------------------------------------------


def grouped(tokens: Sequence[Found]) -> list[Group]:
    """Return the pieces of a text, each with its tokens; the first is where the text begins."""
    runs = groupby(range(len(tokens)), key=lambda at: _place(tokens[at]))
    own = [list(run) for _, run in runs]
    return [(tokens[places[0]]["text"], places) for places in own]


def last_row(found: Found, layer: Found | None = None) -> list[float]:
    """Return what the last token looked at, the mean over the heads of a layer, or of the last."""
    heads = (layer or found["layers"][-1])["heads"]
    mean: list[float] = np.mean([head[-1] for head in heads], axis=0, dtype=float).tolist()
    return mean


def layer_title(layer: Found) -> str:
    """Return what a layer is called."""
    if not layer["layer"]:
        return render("attention.tokens_themselves")
    block = find(f"attention.block_{layer['block']}") or layer["block"]
    return render("attention.layer", number=layer["layer"], block=block)


# -- what the page alone shows --------------------------------------------------------------------


def _place(token: Found) -> tuple[int, int]:
    return token["start"], token["end"]


def _fill(row: Sequence[float], tokens: Sequence[int]) -> str:
    """Return the background of a piece: a band for each of its tokens, as dark as its weight."""
    most = max(row[1:], default=0.0) or 1.0
    return _bands("--look", [_DARKEST * min(1.0, row[token] / most) for token in tokens])


def _line(all_tokens: Sequence[Found], tokens: Sequence[int]) -> str:
    """Return the line below a piece: a part for each of its tokens, as strong as the surprise."""
    nats = [-(all_tokens[token]["log_probability"] or 0.0) for token in tokens]
    return _bands("--line", [min(1.0, found / _MOST_SURPRISE) for found in nats])


def _bands(colour: str, shares: Sequence[float]) -> str:
    width = 100 / len(shares)
    stops = (
        f"color-mix(in srgb, var({colour}) {100 * share:.0f}%, transparent) "
        f"{number * width:.4g}% {(number + 1) * width:.4g}%"
        for number, share in enumerate(shares)
    )
    return f"linear-gradient(90deg, {', '.join(stops)})"


def _packed(head: Sequence[npt.ArrayLike]) -> str:
    """Return the weights of a head, row after row, as base64 of a byte each."""
    rows = (np.rint(255 * np.sqrt(np.asarray(row, dtype=float))).clip(0, 255) for row in head)
    return base64.b64encode(b"".join(row.astype(np.uint8).tobytes() for row in rows)).decode(
        "ascii"
    )


def _probability(token: Found) -> str:
    if token["log_probability"] is None:
        return ""
    probability = math.exp(token["log_probability"])
    return f"{probability:.1%}" if probability >= 0.001 else f"{probability:.0e}"
