"""Questions to the person at the terminal, before something is lost."""

from __future__ import annotations

import sys

from rich.text import Text

from memlm.cli.console import err, visible
from memlm.errors import ConfigError

_YES = ("y", "yes", "是", "是的")


def ask(question: str, *, otherwise: ConfigError) -> bool:
    """Return whether a person says yes; raise `otherwise` where there is nobody to ask."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise otherwise
    err.print(Text(visible(question)), end=" ")
    return sys.stdin.readline().strip().lower() in _YES
