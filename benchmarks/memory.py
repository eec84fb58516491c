"""Peak memory of collecting and preparing, for corpora of several sizes. Linux only.

    python benchmarks/memory.py [--mb 10 100 1000] [--tokenizer bpe] [--words 310] [--without STEP]

The corpus is generated: JSON lines, documents of made-up words, about 2,000 bytes each if not said.
The peak is of all processes together, seen every 20 ms: resident memory, less the pages of files
that are mapped (the system takes those back as it likes), which are given beside it.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def make_corpus(path: Path, size_bytes: int, *, num_words: int) -> int:
    """Write the corpus; return the number of documents."""
    draw = random.Random(0)
    words = [
        "".join(draw.choices("abcdefghijklmnoprstuvwy", k=draw.randint(2, 9))) for _ in range(9000)
    ]
    size = number = 0
    with path.open("w", encoding="utf-8") as file:
        while size < size_bytes:
            text = " ".join(draw.choices(words, k=num_words))
            size += file.write(json.dumps({"id": number, "text": text}) + "\n")
            number += 1
    return number


def peak_of(command: list[str]) -> dict[str, float]:
    """Run a command; return its seconds and the peak memory of it and its children, in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    own = mapped = 0
    while process.poll() is None:
        anonymous, files = memory_of(process.pid)
        own, mapped = max(own, anonymous), max(mapped, files)
        time.sleep(0.02)
    assert process.returncode == 0, command
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_mb": own / 1e6, "mapped_mb": mapped / 1e6}


def memory_of(process: int) -> tuple[int, int]:
    """Return (own, mapped) resident bytes of a process and all below it."""
    own = mapped = 0
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("RssAnon", "RssShmem"):
                own += int(value.split()[0]) * 1024
            elif name == "RssFile":
                mapped += int(value.split()[0]) * 1024
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                more = memory_of(int(child))
                own, mapped = own + more[0], mapped + more[1]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return own, mapped


def main() -> None:
    """Measure every size and print JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=float, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--tokenizer", default="byte")
    parser.add_argument("--words", type=int, default=310, help="of each document")
    parser.add_argument("--without", nargs="*", default=[], help="steps of cleaning to leave out")
    options = parser.parse_args()
    for size in options.mb:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            num = make_corpus(folder / "corpus.jsonl", int(size * 1e6), num_words=options.words)
            steps = [word for step in options.without for word in ("--without", step)]
            memlm = [sys.executable, "-m", "memlm"]
            workspace = str(folder / "ws")
            found = {
                "collect": peak_of([*memlm, "collect", workspace, str(folder / "corpus.jsonl")]),
                "prepare": peak_of(
                    [*memlm, "prepare", workspace, "--tokenizer", options.tokenizer, *steps]
                ),
            }
        print(json.dumps({"mb": size, "documents": num} | found), flush=True)


if __name__ == "__main__":
    main()
