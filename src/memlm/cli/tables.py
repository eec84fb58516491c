"""Tables on a terminal of any width: columns where they fit, else one row below the other.

Chinese has no spaces to break a line at, and a library that breaks it anywhere breaks the numbers
in it too. Here a line ends between words or between hanzi, never inside a number or a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from memlm.cli.console import out, visible
from memlm.messages import render

_WIDE = "\u2e80-\uffef"
# A word, or one wide character, with the signs that may not be cut off from it.
_UNBROKEN = re.compile(rf"[（“‘《]*(?:[^\s{_WIDE}]+|\S)[，。、；：！？）”’》]*\s*")
_INDENT, _GAP, _NARROWEST = "  ", 2, 12


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()
) -> None:
    """Print rows below their column titles; `numbers` are the columns that stand to the right."""
    cells = [[visible(cell) for cell in row] for row in rows]
    widths = _fitted([list(column) for column in zip(columns, *cells, strict=True)])
    if widths is None:
        for row in cells:
            _print_stacked(columns, row)
        return
    table = Table.grid(padding=(0, _GAP, 0, 0))
    for at in range(len(columns)):
        table.add_column(justify="right" if at in numbers else "left", no_wrap=True)
    if any(columns):
        table.add_row(*_folded(columns, widths, "bold"))
    for row in cells:
        table.add_row(*_folded(row, widths))
    out.print(table)


def _fitted(columns: Sequence[Sequence[str]]) -> list[int] | None:
    """Return how wide each column may be, the widest folded first; None where nothing helps."""
    widths = [max(map(cell_len, column)) for column in columns]
    least = [
        max(min(width, _NARROWEST), *map(_longest_piece, column))
        for width, column in zip(widths, columns, strict=True)
    ]
    while (excess := sum(widths) + _GAP * (len(widths) - 1) - out.width) > 0:
        at = max(range(len(widths)), key=lambda one: (widths[one] > least[one], widths[one]))
        if widths[at] == least[at]:
            return None
        widths[at] = max(least[at], widths[at] - excess)
    return widths


def _folded(row: Sequence[str], widths: Sequence[int], style: str = "") -> list[Text]:
    pairs = zip(row, widths, strict=True)
    return [Text("\n".join(wrap(cell, width)), style=style) for cell, width in pairs]


def _longest_piece(cell: str) -> int:
    return max((cell_len(piece.rstrip()) for piece in _UNBROKEN.findall(cell)), default=0)


def print_wrapped(text: str, *, indent: str = "", style: str = "") -> None:
    """Print a text, broken where a reader would break it, each line after `indent`."""
    for line in wrap(visible(text), out.width - cell_len(indent)):
        out.print(Text(indent + line, style=style))


def print_items(title: str, items: Sequence[str]) -> None:
    """Print a title and what it lists, no item cut in two if it fits a line."""
    comma = render("list.comma")
    pieces = [
        render("list.title", title=title),
        *(item + comma for item in items[:-1]),
        *items[-1:],
    ]
    for at, line in enumerate(_fill(map(visible, pieces), out.width - len(_INDENT))):
        out.print(Text(line if at == 0 else _INDENT + line))


def wrap(text: str, width: int) -> Iterator[str]:
    """Yield lines of at most `width` cells; what cannot be broken may be wider.

    >>> list(wrap("13,134 篇文档", 8))
    ['13,134', '篇文档']
    """
    return _fill(_UNBROKEN.findall(text), width)


def _fill(pieces: Iterable[str], width: int) -> Iterator[str]:
    line = ""
    for piece in pieces:
        if line and cell_len(line + piece.rstrip()) > width:
            yield line.rstrip()
            line = ""
        line += piece
    if line:
        yield line.rstrip()


def _print_stacked(columns: Sequence[str], row: Sequence[str]) -> None:
    name, *others = row
    if name:
        print_wrapped(name, style="bold")
    for column, cell in zip(columns[1:], others, strict=True):
        if cell:
            line = render("list.title", title=column) + cell
            print_wrapped(line, indent=_INDENT)
