"""`memlm attend`: what does a model look at while it reads a text?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from memlm.cli.console import ConsoleListener, out, print_json, quoted, say, visible
from memlm.cli.options import Common, CommonOptions, ModelOptions, Prepare, Train, Which
from memlm.cli.reading import read_standard_input
from memlm.collect import normalise_text
from memlm.errors import InputError
from memlm.messages import render
from memlm.pages.attention import Found, grouped, last_row, layer_title
from memlm.prepare import PrepareConfig
from memlm.records import rounded_weights
from memlm.train import TrainConfig
from memlm.workflow import (
    DEFAULT_ATTENDED,
    attend_text,
    check_attended,
    check_page_place,
    ensure_model,
    write_attention_page,
)

_SHADES = (
    (0.6, "bold white on color(160)"),
    (0.3, "black on color(215)"),
    (0.1, "black on color(229)"),
)
"""Styles of what has at least this share of the largest weight."""
_SHOWN_POSITIONS = 5
_LEAST_SHOWN = 0.005  # which is 1 %, rounded


def attend(
    workspace: Path,
    text: str | None = None,
    /,
    *,
    to: Path | None = None,
    tokens: int = DEFAULT_ATTENDED,
    no_memory: Annotated[bool, Parameter(show=False)] = False,  # what is shown is the network's
    which: Which = ModelOptions(),  # noqa: B008  # frozen
    training: Train = TrainConfig(),  # noqa: B008  # frozen
    cutting: Prepare = PrepareConfig(),  # noqa: B008  # frozen
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    training.check()
    cutting.check()
    check_attended(tokens)
    check_page_place(to)
    given = _text(text)
    if not given:  # said before a model is trained
        raise InputError("text_without_tokens")
    with ConsoleListener() as listener:
        model = ensure_model(
            workspace, which.model, config=training, prepare=cutting, listener=listener
        )
        record = attend_text(workspace, given, model=model, tokens=tokens, listener=listener)
        page = write_attention_page(workspace, record, to=to)
    found = record.to_rows()
    if common.json:
        print_json(found | {"page": str(page)}, default=rounded_weights)
        return 0
    _print_found(found)
    out.print()
    say("attention.written", path=page)
    return 0


def _text(given: str | None) -> str:
    if given is None:
        given = "" if sys.stdin is None or sys.stdin.isatty() else read_standard_input()
        given = given.removesuffix("\n")
    return normalise_text(given)


def _print_found(found: Found) -> None:
    out.print(_shaded(found))
    out.print()
    say(f"attention.{found['kind']}_last")
    for layer in found["layers"]:
        title = render("list.title", title=layer_title(layer))
        out.print(Text(f"{title}{_largest(found, last_row(found, layer))}"))


def _shaded(found: Found) -> Text:
    """Return the text as the last token saw it, in the last layer that attends."""
    text, row = Text(), last_row(found)
    pieces = [(piece, _sum(row, tokens)) for piece, tokens in grouped(found["tokens"])[1:]]
    most = max((weight for _, weight in pieces), default=0.0) or 1.0
    for piece, weight in pieces:
        style = next((style for least, style in _SHADES if weight >= least * most), "")
        text.append(visible(piece), style=style)
    return text


def _largest(found: Found, row: Sequence[float]) -> str:
    """Return the pieces of the text that have the largest weights, with these."""
    start, *pieces = [(piece, _sum(row, own)) for piece, own in grouped(found["tokens"])]
    named = [(render("attention.start"), start[1])]
    named += [(quoted(piece), weight) for piece, weight in pieces]
    named.sort(key=lambda pair: -pair[1])
    shown = [pair for pair in named[:_SHOWN_POSITIONS] if pair[1] >= _LEAST_SHOWN]
    return render("list.comma").join(f"{name} {weight:.0%}" for name, weight in shown)


def _sum(row: Sequence[float], tokens: Sequence[int]) -> float:
    return sum(row[token] for token in tokens)
