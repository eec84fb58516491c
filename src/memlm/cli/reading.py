"""Texts that commands are given to look at: files read whole, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from memlm.workflow import read_whole_text, text_from_bytes

STANDARD_INPUT = Path("-")


def read_whole(file: Path, *, encoding: str | None = None) -> str:
    """Return the text of a file, or of standard input for `-`."""
    return read_standard_input() if file == STANDARD_INPUT else read_whole_text(file, encoding)


def read_standard_input() -> str:
    """Return standard input as text; empty if there is none."""
    if sys.stdin is None or sys.stdin.closed:
        return ""
    return text_from_bytes(sys.stdin.buffer.read())
