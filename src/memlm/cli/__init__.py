"""The command line: one thin file a command, each of which parses, calls `workflow`, and prints."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `memlm` with the arguments of this process, and end it with the exit code."""
    from memlm.cli.app import run

    sys.exit(run(sys.argv[1:]))
