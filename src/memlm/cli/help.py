"""What `--help` shows, in English and Chinese.

English sentences are the docstrings of the options' fields; Chinese ones, and those of arguments,
stand in `messages/` under `option.`; under `option.COMMAND.` where they mean something else there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from cyclopts.help import HelpEntry, HelpPanel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from memlm.cli.options import CommonOptions
from memlm.generate.config import GenerateConfig
from memlm.messages import find, render
from memlm.prepare import PrepareConfig
from memlm.train import TrainConfig

_GROUPS = {
    "model": ("model", "memory", "no-memory", "precision", "device"),
    "decoding": (
        "min-tokens", "top-k", "top-p", "min-p", "typical", "repetition-penalty",
        "presence-penalty", "forbid", "allow", "beams", "length-penalty", "ignore-end",
        "read-ahead",
    ),
    "output": tuple(one.name for one in fields(CommonOptions)),
}  # fmt: skip
"""Options that stand under a heading of their own, below those of every day."""
_TRAINING = {
    field.name.replace("_", "-")
    for owner in (TrainConfig, PrepareConfig)
    for field in fields(owner)
} - {field.name.replace("_", "-") for field in fields(GenerateConfig)}
_TRAINS_FIRST = ("generate", "score", "evaluate", "attend")
_WITHOUT = {"chat": ("samples", "beams", "length-penalty", "read-ahead")}
"""What a command would refuse."""


class HelpFormatter:
    """Renders a panel of cyclopts' help as plain two-column tables, in the language in force."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __call__(self, console: Console, options: object, panel: HelpPanel) -> None:
        """Print one panel: the arguments, or the options under their headings."""
        is_positional = bool(panel.entries and panel.entries[0].positional_label)
        groups: dict[str, list[HelpEntry]] = {} if is_positional else _empty_groups()
        for entry in panel.entries:
            group = "arguments" if is_positional else _group_of(_word(entry), self._command)
            groups.setdefault(group, []).append(entry)
        groups.pop("", None)
        for group, entries in groups.items():
            if entries:
                names = [*_GROUPS.get(group, ())]
                entries.sort(key=lambda one: names.index(_word(one)) if names else 0)
                self._print_table(console, group, entries)

    def _print_table(self, console: Console, group: str, entries: Sequence[HelpEntry]) -> None:
        table = _table()
        for entry in entries:
            table.add_row(
                Text(_name(entry), style="bold"), Text(_description(entry, self._command))
            )
        console.print(Text(render(f"help_title.{group}"), style="bold underline"))
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


def _empty_groups() -> dict[str, list[HelpEntry]]:
    """Return the headings of options in their order."""
    return {group: [] for group in ("options", *_GROUPS, "training")}


def _group_of(option: str, command: str) -> str:
    """Return the heading under which an option stands; none where it does not belong."""
    if option in _WITHOUT.get(command, ()):
        return ""
    if command not in (*_TRAINS_FIRST, "chat"):
        return "output" if option in _GROUPS["output"] else "options"
    found = next((group for group, names in _GROUPS.items() if option in names), "options")
    if found == "options" and command in _TRAINS_FIRST and option in _TRAINING:
        return "training"
    return found


def _table() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _name(entry: HelpEntry) -> str:
    if entry.negative_names:
        return f"--[no-]{entry.positive_names[0].lstrip('-')}"
    return entry.positional_label or ", ".join(entry.display_labels_with_metavar)


def _word(entry: HelpEntry) -> str:
    """Return what an argument or option is called in the catalogue of sentences."""
    return (entry.positional_label or entry.positive_names[0].lstrip("-")).lower()


def _description(entry: HelpEntry, command: str) -> str:
    name = _word(entry)
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
