"""What is each part of a blend worth? A text scored with all on, and without each of them.

    memlm train ws ptb.train.txt --tokenizer whitespace --held-out ptb.valid.txt ...
    python benchmarks/parts.py ws ptb.test.txt [--characters N]

Blends are fitted on the workspace's held-out text, a blend for each choice of parts. The text must
be in no document. Of each: nats per character with a 95 % interval, perplexity per token, seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import memlm
from memlm.workflow.blending import MEMORIES

ALL = "all on"


def choices() -> dict[str, tuple[tuple[str, ...], bool]]:
    """Return, by what is said of it, the memories and whether the network learns as it reads."""
    found: dict[str, tuple[tuple[str, ...], bool]] = {
        "weights alone": ((), False),
        "weights alone, learning while reading": ((), True),
        ALL: (MEMORIES, True),
        "less learning while reading": (MEMORIES, False),
    }
    for kind in MEMORIES:
        found[f"less {kind}"] = (tuple(other for other in MEMORIES if other != kind), True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--characters", type=int)
    options = parser.parse_args()
    model = memlm.load_model(options.workspace)
    text = options.text.read_text("utf-8")[: options.characters]
    for name, (memories, adapt) in choices().items():
        started, load = time.perf_counter(), os.getloadavg()[0]
        found = memlm.score_text(model, text, memories=memories, adapt=adapt)
        figures = {
            "nats_per_character": found.nats_per_character,
            "low": found.low,
            "high": found.high,
            "perplexity_per_token": found.perplexity_per_token,
            "tokens": found.tokens,
            "seconds": round(time.perf_counter() - started, 1),
            "load_before": load,
        }
        print(json.dumps({"parts": name} | figures), flush=True)


if __name__ == "__main__":
    main()
