"""`memlm lookup`: how do the documents go on after a text?"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from memlm.cli.console import ConsoleListener, out, print_json, said_masked, visible
from memlm.cli.options import Common, CommonOptions
from memlm.cli.reading import read_standard_input
from memlm.cli.tables import print_table, print_wrapped
from memlm.collect import normalise_text
from memlm.messages import render
from memlm.records import Continuation, Lookup
from memlm.workflow import DEFAULT_CONTINUATIONS, LONGEST_CONTEXT, check_lookup, lookup_text

_DRAWN = {" ": "␣", "\n": "⏎", "\t": "⇥"}
_SHOWN_CONTEXT, _SHOWN_TITLE, _SHOWN_FOLLOWING = 16, 48, 12
"""Cells of a context in the table and in the line above it, and of what follows."""
_LEAST_SHOWN = 0.001


def lookup(
    workspace: Path,
    text: str | None = None,
    /,
    *,
    limit: int = DEFAULT_CONTINUATIONS,
    model: str | None = None,
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    check_lookup(limit)
    given = _text(text)
    with ConsoleListener() as listener:
        found = lookup_text(workspace, given, model=model, limit=limit, listener=listener)
    if common.json:
        print_json(asdict(found))
        return 0
    _print_found(found)
    return 0


def _text(given: str | None) -> str:
    if given is None:
        given = "" if sys.stdin is None or sys.stdin.isatty() else read_standard_input()
        given = given.removesuffix("\n")
    return normalise_text(given)


def _print_found(found: Lookup) -> None:
    print_wrapped(_title(found), style="bold")
    out.print()
    names = ("continuation", "probability", "after", "count", "source")
    rows = [_row(one) for one in found.continuations]
    print_table([render(f"lookup.{name}") for name in names], rows, numbers=[1, 3])
    others = 1.0 - sum(one.probability for one in found.continuations)
    if others >= _LEAST_SHOWN:
        out.print()
        out.print(Text(render("lookup.all_others", probability=_percent(others)), style="dim"))


def _title(found: Lookup) -> str:
    if not found.order:
        return render(f"lookup.{'nothing' if found.tokens else 'beginning'}", count=found.count)
    key = "whole" if found.order == min(found.tokens, LONGEST_CONTEXT) else "end"
    context = _quoted(found.context, _SHOWN_TITLE)
    return render(f"lookup.{key}", context=context, count=found.count)


def _row(one: Continuation) -> tuple[str, str, str, str, str]:
    source = ""
    if one.sources:
        first = one.sources[0]
        place = render("lookup.place", source=first.source, start=first.start, end=first.end)
        source = f"{place} {said_masked(first)}".rstrip()
    after = _quoted(one.context, _SHOWN_CONTEXT)
    if not one.context:
        after = render("lookup.begin" if one.order else "lookup.anywhere")
    return _shown(one), _percent(one.probability), after, f"{one.count:,}", source


def _shown(one: Continuation) -> str:
    """Return a continuation in brackets, its white space drawn, and how it goes on."""
    if one.kind == "end":
        return render("lookup.end_token")
    if one.kind == "label":
        return render("lookup.label", label=one.text)
    if one.kind == "unknown":
        return render("lookup.unknown")
    own, following = "".join(map(_drawn, one.text)), one.following
    if one.kind == "part" and following:
        own = render("lookup.part", text=own[:-1], character=following[0])
        following = following[1:]
    return f"[{own}]{set_cell_size(_one_line(following), _SHOWN_FOLLOWING).rstrip()}"


def _drawn(character: str) -> str:
    if character in _DRAWN:
        return _DRAWN[character]
    return f"U+{ord(character):04X}" if character.isspace() else character


def _one_line(text: str) -> str:
    return visible(text.replace("\n", "⏎"))


def _percent(probability: float) -> str:
    return f"{probability:.1%}" if probability >= _LEAST_SHOWN else render("lookup.tiny")


def _quoted(text: str, width: int) -> str:
    """Return the end of a text on one line, of at most `width` cells, in quotes."""
    line = _one_line(text)
    short = line
    while cell_len(short) > width:
        short = short[1:]
    return f"“{short}”" if short == line else f"“…{short}”"
