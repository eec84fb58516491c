"""What `--help` shows, in English and Chinese.

English sentences are the docstrings of the options' fields; Chinese ones, and those of arguments,
stand in `messages/` under `option.`; under `option.COMMAND.` where they mean something else there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cyclopts.help import HelpEntry, HelpPanel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from memlm.messages import find, render


class HelpFormatter:
    """Renders a panel of cyclopts' help as a plain two-column table, in the language in force."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __call__(self, console: Console, options: object, panel: HelpPanel) -> None:
        """Print one panel: the arguments or the options."""
        table = _table()
        is_positional = bool(panel.entries and panel.entries[0].positional_label)
        for entry in panel.entries:
            table.add_row(
                Text(_name(entry), style="bold"), Text(_description(entry, self._command))
            )
        title = render("help_title.arguments" if is_positional else "help_title.options")
        console.print(Text(title, style="bold underline"))
        console.print(table)
        console.print()

    def render_usage(self, console: Console, options: object, usage: Any) -> None:  # Any: cyclopts'
        """Print how the command is called."""
        words = str(usage).partition(":")[2].strip() or str(usage).strip()
        console.print(Text(f"{render('help_title.usage')} {words}"))
        console.print()

    def render_description(self, console: Console, options: object, description: Any) -> None:
        """Print what the command does."""  # Any: cyclopts' own text objects
        console.print(description)


def root_help(commands: Sequence[str]) -> None:
    """Print what `memlm --help` says."""
    console = Console(highlight=False)
    console.print(Text(render("help.memlm")))
    console.print()
    console.print(Text(f"{render('help_title.usage')} memlm COMMAND WORKSPACE ..."))
    console.print()
    table = _table()
    for command in commands:
        table.add_row(Text(command, style="bold"), render(f"help.{command}"))
    console.print(Text(render("help_title.commands"), style="bold underline"))
    console.print(table)
    console.print()
    console.print(Text(render("example.memlm")))


def _table() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _name(entry: HelpEntry) -> str:
    if entry.negative_names:
        return f"--[no-]{entry.positive_names[0].lstrip('-')}"
    return entry.positional_label or ", ".join(entry.display_labels_with_metavar)


def _description(entry: HelpEntry, command: str) -> str:
    name = (entry.positional_label or entry.positive_names[0].lstrip("-")).lower()
    said = find(f"option.{command}.{name}") or find(f"option.{name}")
    text = said or _plain(entry.description)
    extra = []
    if entry.choices:
        extra.append(" | ".join(entry.choices))
    if entry.default not in (None, "", "False", "()", "None"):
        extra.append(render("help_title.default", value=entry.default))
    return f"{text} ({'; '.join(extra)})" if extra else text


def _plain(description: Any) -> str:  # Any: cyclopts' own text objects
    primary = getattr(description, "primary_renderable", description)
    return " ".join(str(primary).split()) if primary is not None else ""
