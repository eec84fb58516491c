"""How well a memory predicts, alone and beside a network, with PPMd in the same run.

    python benchmarks/remembering.py [--text shakespeare|en|zh] [--minutes M | --peer]
        [--held-out-share S] [--scored N] [--threads N] [--repeat N] [--without-ppmd]
        [--data FOLDER]

The first 90 % of a text are collected, the last 10 % are scored, or the first N characters of them,
in nats per character. Nothing is
chosen on these: smoothing and blend are fitted on text that the training part holds out.

    memory     counts alone, without any training; `reset`: what it reads counts too, and is
               forgotten every 1,024 characters, as PPMd's is in its row of that name
    PPMd       order 6 (pyppmd): the bytes that the end adds to the beginning
    network    trained for M minutes, or for the time that the peer of learning.py takes, its
               weights alone, then with the memories
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from learning import run_peer
from texts import data_beside_checkout, read_text

import memlm
from memlm.workflow.blending import MEMORIES
from memlm.workflow.remembering import memory_model

RESET = 1024


def ppmd(first: str, last: str) -> dict[str, float]:
    """Return what PPMd of order 6 makes of the end, in nats per character, and its seconds."""
    import pyppmd

    def size(text: str) -> int:
        data = text.encode("utf-8")
        return len(pyppmd.compress(data, max_order=6, mem_size=256 << 20))

    started = time.perf_counter()
    learned = size(first)
    seconds = time.perf_counter() - started
    adaptive = size(first + last) - learned
    chunks = [last[start : start + RESET] for start in range(0, len(last), RESET)]
    reset = sum(size(first + chunk) - learned for chunk in chunks)
    scale = 8 * math.log(2) / len(last)
    return {"adaptive": adaptive * scale, "reset": reset * scale, "seconds": seconds}


def reset_score(memory: memlm.Model, last: str) -> float:
    """Return the loss of a memory that counts what it reads, and forgets it every 1,024 tokens."""
    model, tokenizer = memory.predictor.adaptive(), memory.tokenizer
    ids = tokenizer.encode(last).ids.astype(np.int64)
    stream = np.concatenate([[tokenizer.end], ids])
    nats = 0.0
    for start in range(0, len(ids), RESET):
        state = model.start(1)
        if start:  # the context goes on; what was counted does not
            _, before = memory.predictor.read(
                memory.predictor.start(1), stream[None, max(0, start - 64) : start]
            )
            state = model.continued(before)
        block = stream[start : start + RESET]
        wanted = stream[start + 1 : start + 1 + len(block)]
        found, _ = model.read(state, block[None, : len(wanted)])
        nats -= float(found[0, np.arange(len(wanted)), wanted].sum())
    return nats / len(last)


def run(text: str, options: argparse.Namespace, seed: int) -> dict[str, object]:
    """Return every figure of one run."""
    cut = len(text) * 9 // 10
    first, last = text[:cut], text[cut:][: options.scored]
    found: dict[str, object] = {"load_before": os.getloadavg()[0]}
    if not options.without_ppmd and seed == 0:
        found["ppmd"] = ppmd(first, last)
    with tempfile.TemporaryDirectory() as folder:
        source, workspace = Path(folder) / "first.txt", Path(folder) / "ws"
        source.write_text(first, encoding="utf-8")
        memlm.collect_documents(workspace, source)
        config = memlm.PrepareConfig(held_out_share=options.held_out_share)
        memlm.prepare_documents(workspace, config=config)
        started = time.perf_counter()
        memory = memory_model(workspace)
        found["ready_seconds"] = time.perf_counter() - started
        usual = {
            "frozen": memlm.score_text(memory, last).nats_per_character,
            "reset": reset_score(memory, last),
            "adaptive": memlm.score_text(memory, last, adapt=True).nats_per_character,
        }
        found["memory"] = usual
        if options.minutes:
            config = memlm.TrainConfig(minutes=options.minutes, seed=seed, threads=options.threads)
            report = memlm.train_model(workspace, config=config)
            model = memlm.load_model(workspace)
            found["train_seconds"], found["steps"] = report.seconds, report.steps
            found["network"] = {
                name: _score(model, last, memories, adapt=adapt)
                for name, memories, adapt in (
                    ("frozen", (), False),
                    ("frozen + counts", ("counts",), False),
                    ("frozen + counts + cache", ("counts", "cache"), False),
                    ("frozen + counts + cache + vectors", MEMORIES, False),
                    ("adaptive", (), True),
                    ("adaptive + counts + cache", ("counts", "cache"), True),
                    ("adaptive + counts + cache + vectors", MEMORIES, True),
                )
            }
            fitted = memory_model(workspace)
            found["memory, smoothing fitted"] = {
                "frozen": memlm.score_text(fitted, last).nats_per_character,
                "adaptive": memlm.score_text(fitted, last, adapt=True).nats_per_character,
            }
    return found


def _score(
    model: memlm.Model, text: str, memories: tuple[str, ...], *, adapt: bool
) -> dict[str, float]:
    started = time.perf_counter()
    found = memlm.score_text(model, text, memories=memories, adapt=adapt)
    return {
        "nats_per_character": found.nats_per_character,
        "low": found.low,
        "high": found.high,
        "seconds": time.perf_counter() - started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", default="shakespeare")
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--peer", action="store_true", help="train as long as the peer")
    parser.add_argument("--held-out-share", type=float)
    parser.add_argument("--scored", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--without-ppmd", action="store_true")
    parser.add_argument("--data", type=Path, default=data_beside_checkout())
    options = parser.parse_args()
    text = read_text(options.text, options.data)
    if options.peer:
        peer = run_peer(options.text, options.data)
        print(json.dumps(peer), flush=True)
        options.minutes = peer["seconds"] / 60
    runs = []
    for seed in range(options.repeat):
        runs.append(run(text, options, seed))
        print(json.dumps(runs[-1]), flush=True)
    if options.minutes and options.repeat > 1:
        for name in runs[0]["network"]:  # type: ignore[attr-defined]  # JSON
            values = [one["network"][name]["nats_per_character"] for one in runs]  # type: ignore[index]  # JSON
            print(f"{name}: median {median(values):.4f} of {[round(value, 4) for value in values]}")


if __name__ == "__main__":
    main()
