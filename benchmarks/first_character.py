"""From the command to the first character of a trained model, beside `transformers`' pipeline.

    python benchmarks/first_character.py WORKSPACE MODEL [--repeat N]

The model is exported in the layout of Qwen3, so that both write with the same weights; each is a
process of its own, and the clock stops at the first character that follows the prompt on its
standard output.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import memlm

_PROMPT = "ROMEO:"
_PIPELINE = """
import sys
from transformers import pipeline, TextStreamer
write = pipeline("text-generation", model=sys.argv[1])
write(sys.argv[2], max_new_tokens=50, do_sample=True, streamer=TextStreamer(write.tokenizer))
"""


def seconds_to_first_character(command: list[str]) -> float:
    """Return how long a process takes to its first character."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        found = b""
        while _PROMPT.encode() not in found[:-1]:
            more = process.stdout.read(1)
            assert more, found
            found += more
        seconds = time.perf_counter() - started
        process.kill()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace")
    parser.add_argument("model")
    parser.add_argument("--repeat", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        taken = Path(folder) / "taken"
        memlm.export_model(chosen.workspace, taken, model=chosen.model)
        ours = [sys.executable, "-m", "memlm", "generate", chosen.workspace, _PROMPT]
        ours += ["--model", chosen.model, "--tokens", "50"]
        commands = {
            "memlm, weights and memory": ours,
            "memlm, weights": [*ours, "--no-memory"],
            "transformers, pipeline": [sys.executable, "-c", _PIPELINE, str(taken), _PROMPT],
        }
        for name, command in commands.items():
            seconds_to_first_character(command)  # bytecode, file cache
            found = [seconds_to_first_character(command) for _ in range(chosen.repeat)]
            print(json.dumps({"what": name, "seconds": round(statistics.median(found), 2)}))


if __name__ == "__main__":
    main()
