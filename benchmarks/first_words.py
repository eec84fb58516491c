"""From a text to the first words written, without any training. No peer: the clock of a new user.

    python benchmarks/first_words.py [--data FOLDER] [--repeat N]

Two processes, `memlm collect` and `memlm generate --model memory`, on tinyshakespeare (1.1 MB).
Warm: everything was run before on this machine. Cold: Python finds no compiled bytecode of
anything, as right after installing. Printed as one JSON line: medians in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from texts import data_beside_checkout


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the seconds until a command's first byte of output, and until its end."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "memlm", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env=environment,
    )
    assert process.stdout is not None
    process.stdout.read(1)
    first = time.perf_counter() - started
    process.stdout.read()
    if process.wait() != 0:
        raise SystemExit(f"memlm {command[0]} failed")
    return first, time.perf_counter() - started


def from_text_to_words(text: Path, *, is_cold: bool) -> dict[str, float]:
    """Return the seconds of both commands on a fresh workspace."""
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        if is_cold:
            environment["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
        workspace = str(Path(folder) / "ws")
        _, collecting = timed(["collect", workspace, str(text)], environment)
        first, writing = timed(["generate", workspace, "--model", "memory"], environment)
        again, _ = timed(["generate", workspace, "--model", "memory"], environment)
        return {
            "collect": collecting,
            "generate_first_words": first,
            "generate_200_characters": writing,
            "both_until_first_words": collecting + first,
            "both": collecting + writing,
            "second_generate_first_words": again,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=data_beside_checkout())
    parser.add_argument("--repeat", type=int, default=5)
    chosen = parser.parse_args()
    text = chosen.data / "tinyshakespeare" / "input.txt"
    from_text_to_words(text, is_cold=False)
    for name, is_cold in (("warm", False), ("cold", True)):
        runs = [from_text_to_words(text, is_cold=is_cold) for _ in range(chosen.repeat)]
        medians = {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}
        print(json.dumps({"state": name, "repeat": chosen.repeat, **medians}), flush=True)


if __name__ == "__main__":
    main()
