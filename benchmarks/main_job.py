"""The main job in figures: learning, tracing, labels. Run: `make bench`, or this file with names.

    python benchmarks/main_job.py [shakespeare] [trace] [sst2] [hotel] [--epochs N] [--repeat N]

Needs the development data (`--data`, by default ../shared/data beside the checkout). Each run is
printed as one JSON line; figures that are kept stand in benchmarks/README.md with their command.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from texts import data_beside_checkout

import memlm

ARTICLE = memlm.TrainConfig(
    embedding_width=100,
    hidden_width=256,
    layers=2,
    dropout=0.5,
    batch_size=64,
    epochs=10,
    weight_decay=0.0,
)


def shakespeare(data: Path, folder: Path) -> dict[str, object]:
    """tinyshakespeare: learn from the first 90 % for two minutes, score the last 10 % twice."""
    text = (data / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    (folder / "first.txt").write_text(text[:cut], encoding="utf-8")
    started = time.perf_counter()
    report = memlm.train_model(
        folder / "ws", folder / "first.txt", config=memlm.TrainConfig(minutes=2)
    )
    wall = time.perf_counter() - started
    model = memlm.load_model(folder / "ws")
    score = memlm.score_text(model, text[cut:], memories=())
    started = time.perf_counter()
    adaptive = memlm.score_text(model, text[cut:], adapt=True, memories=())
    adaptive_seconds = time.perf_counter() - started
    return {
        "adaptive_nats_per_character": adaptive.nats_per_character,
        "adaptive_interval": [adaptive.low, adaptive.high],
        "adaptive_seconds": adaptive_seconds,
        "nats_per_character": score.nats_per_character,
        "interval": [score.low, score.high],
        "characters": score.characters,
        "protocol": score.protocol,
        "train_seconds": report.seconds,
        "wall_seconds": wall,
        "steps": report.steps,
        "parameters": report.parameters,
    }


def trace(data: Path, folder: Path) -> dict[str, object]:
    """Index 10 MB of books, English and Chinese, and trace 1,000 words against them."""
    sources = folder / "books"
    sources.mkdir()
    for path in [*sorted((data / "en-books").iterdir()), *sorted((data / "zh-novels").iterdir())]:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        (sources / path.name.removesuffix(".gz")).write_bytes(raw)
    (sources / "shakespeare.txt").write_bytes((data / "tinyshakespeare/input.txt").read_bytes())
    collected = memlm.collect_documents(folder / "ws", sources)
    started = time.perf_counter()
    memlm.trace_text(folder / "ws", "index me")
    index_seconds = time.perf_counter() - started
    words = (sources / "timemachine.txt").read_text(encoding="utf-8").split()[5000:5500]
    rewritten = [word[::-1] if number % 3 else word for number, word in enumerate(words)]
    text = " ".join(words + rewritten)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        found = memlm.trace_text(folder / "ws", text)
        times.append(time.perf_counter() - started)
    return {
        "bytes": sum(path.stat().st_size for path in sources.iterdir()),
        "characters": collected.characters,
        "index_seconds": index_seconds,
        "trace_seconds": statistics.median(times),
        "words": 1000,
        "recited_share": found.recited_share,
    }


def labels(data: Path, folder: Path, name: str, epochs: int) -> dict[str, object]:
    """The article's project: learn labelled texts, predict the labels of others."""
    memlm.collect_documents(folder / "ws", data / "text-label" / name / "train.csv")
    memlm.prepare_documents(
        folder / "ws", config=memlm.PrepareConfig(tokenizer="word", vocabulary_size=10_000)
    )
    report = memlm.train_model(folder / "ws", config=replace(ARTICLE, epochs=epochs))
    model = memlm.load_model(folder / "ws")
    started = time.perf_counter()
    found = memlm.evaluate_task(model, data / "text-label" / name / "test.csv")
    accuracy = found["accuracy"]
    return {
        "accuracy": accuracy.value,
        "interval": [accuracy.low, accuracy.high],
        "n": accuracy.n,
        "majority": accuracy.baseline,
        "macro_f1": found["macro_f1"].value,
        "train_seconds": report.seconds,
        "best_step": report.best_step,
        "steps": report.steps,
        "evaluate_seconds": time.perf_counter() - started,
    }


JOBS: dict[str, Callable[[Path, Path, int], dict[str, object]]] = {
    "shakespeare": lambda data, folder, epochs: shakespeare(data, folder),
    "trace": lambda data, folder, epochs: trace(data, folder),
    "sst2": lambda data, folder, epochs: labels(data, folder, "en-sst2", epochs),
    "hotel": lambda data, folder, epochs: labels(data, folder, "zh-hotel", epochs),
}


def main() -> None:
    """Run the named jobs, all if none is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="*", choices=[*JOBS, []], default=[])
    parser.add_argument("--data", type=Path, default=data_beside_checkout())
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=10, help="of sst2 and hotel")
    options = parser.parse_args()
    for name in options.jobs or JOBS:
        for number in range(options.repeat):
            with tempfile.TemporaryDirectory() as folder:
                load = os.getloadavg()[0]
                found = JOBS[name](options.data, Path(folder), options.epochs)
            print(json.dumps({"job": name, "run": number, "load_before": load} | found), flush=True)


if __name__ == "__main__":
    main()
