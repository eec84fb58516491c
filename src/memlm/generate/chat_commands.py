"""What a person may say in a conversation that is not for the model: `/undo`, `/memory off`.

A line that begins with two slashes is for the model, and begins with one.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from memlm.errors import ConfigError
from memlm.messages import render

COMMANDS = ("undo", "sources", "memory", "remember", "temperature", "help", "quit")
_ARGUMENTS = {"memory": ("on", "off"), "remember": (), "temperature": ()}
"""The commands that take an argument, and what it may be where that can be listed."""


@dataclass(frozen=True)
class Command:
    """A command, and what was said behind it."""

    name: str
    argument: str = ""


def is_command(line: str) -> bool:
    """Say whether a line is a command."""
    return line.startswith("/") and not line.startswith("//")


def unescape(line: str) -> str:
    """Return a line as the model is to read it."""
    return line[1:] if line.startswith("//") else line


def parse_command(line: str) -> Command:
    """Return the command of a line; ConfigError where there is none such, or it lacks something."""
    name, _, argument = line.removeprefix("/").strip().partition(" ")
    name, argument = name.lower(), argument.strip()
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        suggestion = render("chat.suggestion", command=close[0]) if close else ""
        raise ConfigError("chat_command_unknown", command=name, suggestion=suggestion)
    if bool(argument) != (name in _ARGUMENTS):
        raise ConfigError("chat_command_shape", command=name, usage=render(f"chat.usage.{name}"))
    choices = _ARGUMENTS.get(name, ())
    if choices and argument.lower() not in choices:
        raise ConfigError("chat_command_shape", command=name, usage=render(f"chat.usage.{name}"))
    return Command(name, argument.lower() if choices else argument)


def parse_temperature(argument: str) -> float:
    """Return the number that was said behind `/temperature`; ConfigError where it is none."""
    try:
        return float(argument)
    except ValueError:
        usage = render("chat.usage.temperature")
        raise ConfigError("chat_command_shape", command="temperature", usage=usage) from None
