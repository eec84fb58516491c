"""How a conversation looks: lines are read, answers stream, and get their colours when they stand.

What an answer owes to the documents is known when it is whole. So it streams without colours, and
is then written over itself with them, where it still stands on the screen.
"""

from __future__ import annotations

import locale
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress

from rich.cells import cell_len
from rich.text import Text

from memlm.cli.console import as_shown, coloured, err, out, visible
from memlm.errors import MemlmError
from memlm.messages import join, render
from memlm.records import Answer
from memlm.workflow import text_from_bytes

_SIGN = "> "


def is_interactive() -> bool:
    """Say whether a person sits at both ends."""
    return sys.stdin is not None and sys.stdin.isatty() and out.is_terminal


def typed_lines() -> Iterator[str]:
    """Yield what a person types, until Ctrl-D; the keys of a shell work where readline is."""
    _let_keys_be_utf8()
    with suppress(ImportError):  # Windows has none
        import readline  # noqa: F401  # `input` uses it
    while True:
        try:
            yield input(_SIGN)
        except EOFError:
            out.print()
            return


def _let_keys_be_utf8() -> None:
    """Choose a locale in which readline knows what a character is, where a wrong one is set."""
    if "utf" not in locale.getencoding().lower():
        with suppress(locale.Error):
            locale.setlocale(locale.LC_CTYPE, "C.UTF-8")


def piped_lines() -> Iterator[bytes]:
    """Yield the lines of standard input as they come."""
    if sys.stdin is not None and not sys.stdin.closed:
        yield from sys.stdin.buffer


def decoded(line: bytes) -> str:
    """Return a line that came through a pipe as text; InputError if it is not UTF-8."""
    return text_from_bytes(line).removesuffix("\n")


class AnswerPrinter:
    """Prints an answer as it is written."""

    def __init__(self) -> None:
        self._written = self._held = ""

    def write(self, text: str) -> None:
        """Print the next piece; white space not before something comes after it."""
        text = self._held + text
        sure = text.rstrip()
        self._held = text[len(sure) :]
        self._written += sure
        out.file.write(as_shown(sure))
        out.file.flush()

    def finish(self, answer: Answer, *, with_figures: bool) -> None:
        """End the answer: give it its colours, and say below what it is made of."""
        if answer.trace is not None and self._can_be_overwritten():
            out.file.write(f"\r\x1b[{rows}A" if (rows := self._rows() - 1) else "\r")
            out.file.write("\x1b[J")
            out.print(coloured(answer.trace))
        else:
            out.file.write("\n")
            out.file.flush()
        if not answer.turn.shown:
            _aside(render("chat.silence"))
        if answer.turn.ended_by == "interrupt":
            _aside(render("chat.stopped"))
        if with_figures and answer.turn.shown and (said := said_figures(answer)):
            _aside(said)

    def break_off(self) -> None:
        """End the line in which an answer stopped short."""
        if self._written:
            out.file.write("\n")
            out.file.flush()

    def _can_be_overwritten(self) -> bool:
        """Say whether all of the answer is still on a screen that has colours."""
        has_colours = out.is_terminal and out.color_system is not None and not out.no_color
        return has_colours and bool(self._written) and self._rows() < out.height

    def _rows(self) -> int:
        return sum(rows_of(line, out.width) for line in as_shown(self._written).split("\n"))


def rows_of(line: str, width: int) -> int:
    """Return how many rows of a terminal a line takes: a wide character is never cut in two."""
    rows, column = 1, 0
    for character in line:
        taken = 8 - column % 8 if character == "\t" else cell_len(character)
        if column + taken > width:
            rows, column = rows + 1, 0
        column += taken
    return rows


def said_figures(answer: Answer) -> str:
    """Return what an answer is made of, in one line; nothing where that is not known."""
    parts = []
    if answer.trace is not None:
        trace = answer.trace
        parts.append(
            render(
                "chat.figures",
                recited=trace.recited_share,
                recombined=trace.recombined_share,
                new=trace.new_share,
            )
        )
    if answer.shares:
        parts.append(_said_shares(answer.shares))
    return render("chat.semicolon").join(parts)


def _said_shares(shares: Mapping[str, float]) -> str:
    """Return whose an answer is, as `weights 71%, memory 29%`."""
    weights = shares.get("weights", 0.0)
    parts = {"weights": weights} if "weights" in shares else {}
    if len(shares) > len(parts):
        parts["memory"] = 1.0 - weights
    return render("list.comma").join(
        render("chat.share", expert=render(f"chat.of.{name}"), share=share)
        for name, share in parts.items()
    )


def print_refusal(error: MemlmError) -> None:
    """Say in one line why a line could not be answered, and what to do."""
    err.print(Text(visible(join(error.message, error.hint).replace("\n", " ")), style="red"))


def say_aside(key: str, **values: object) -> None:
    """Say something that is no part of the conversation."""
    _aside(render(key, **values))


def _aside(text: str) -> None:
    err.print(Text(visible(text), style="dim"))
