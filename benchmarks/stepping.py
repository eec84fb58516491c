"""Tokens a second, one after the other: memlm without torch beside eager torch and other engines.

    python benchmarks/stepping.py [lstm 1M 11M] [--threads 1 2] [--batches 1 32] [--repeat N]

Random weights, the same for all; every engine writes greedily, and what it writes is compared with
what memlm does. A speed is the difference between writing 1,200 and 200 tokens, the best of some
rounds in which engines take turns: of the wall, and of the processor's time, which others' work
changes less but which counts threads that only wait too, as llama.cpp's server has. The limit is
what this machine reads: the bytes of the weights that a step needs (and of the keys and values
halfway), at the speed at which it sums a table of that size. llama.cpp keeps keys and values in 16
bits, as it does by default: in 32 it is several times slower. Peers that are not installed are left
out, and named: `transformers`, `xllamacpp`, `ctranslate2`. One JSON line each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

CASES = {
    "lstm": {"kind": "lstm", "embedding_width": 512, "hidden_width": 512, "layers": 2},
    "1M": {"kind": "transformer", "embedding_width": 128, "hidden_width": 128, "layers": 5,
           "heads": 4},
    "11M": {"kind": "transformer", "embedding_width": 384, "hidden_width": 384, "layers": 6,
            "heads": 6},
}  # fmt: skip
VOCABULARY = 256
FEW, MANY = 200, 1200
_COMPARED = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=list(CASES), choices=[*CASES, []])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        run_case(chosen.cases[0], chosen.threads[0], chosen.batches[0], chosen.repeat)
        return
    for case in chosen.cases:
        for threads in chosen.threads:
            for batch in chosen.batches:
                run_process(case, threads, batch, chosen.repeat)


def run_process(case: str, threads: int, batch: int, repeat: int) -> None:
    """Run one case in a process of its own: threads are told to a library before it is loaded."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = os.environ | {name: str(threads) for name in names}
    options = ["--threads", str(threads), "--batches", str(batch), "--repeat", str(repeat)]
    command = [sys.executable, __file__, case, "--inside", *options]
    subprocess.run(command, env=environment, check=False)


def run_case(case: str, threads: int, batch: int, repeat: int) -> None:
    import torch

    from memlm.models import describe_network
    from memlm.models.network import build_network

    torch.set_num_threads(threads)
    network = build_network(describe_network(vocabulary_size=VOCABULARY, **CASES[case]), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if not name.endswith(("norm.weight", "output.bias")):
                weights.normal_(std=1.5 * weights.shape[-1] ** -0.5, generator=generator)
        if network.config.has_output_bias:
            network.output.bias.zero_()
    weights = {name: value.numpy() for name, value in network.weights().items()}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        writers = dict(engines(case, network.config, weights, Path(folder), threads, batch))
        expected = writers["memlm float32"](_COMPARED, batch)
        best: dict[str, tuple[float, float]] = {}
        for _ in range(repeat):
            for name, write in writers.items():
                now = seconds_a_token(write, batch)
                before = best.get(name, now)
                best[name] = min(now[0], before[0]), min(now[1], before[1])
        for name, write in writers.items():
            precision = "int8" if "int8" in name else "float32"
            limit = seconds_of_reading(bytes_read(network.config, precision))
            agrees = (write(_COMPARED, batch)[:, :_COMPARED] == expected).all(axis=0)
            same = int(np.argmin(agrees)) if not agrees.all() else _COMPARED
            line = {
                "case": case, "engine": name, "threads": threads, "batch": batch,
                "tokens_per_second": round(batch / best[name][0], 1),
                "tokens_per_processor_second": round(batch / best[name][1], 1),
                "share_of_limit": round(limit / best[name][1], 3),
                "first_tokens_equal": f"{same} of {_COMPARED}",
                "parameters": network.config.num_parameters, "load_before": round(load, 2),
            }  # fmt: skip
            print(json.dumps(line), flush=True)


def engines(
    case: str, config: object, weights: dict, folder: Path, threads: int, batch: int
) -> Iterator[tuple[str, Callable[[int, int], np.ndarray]]]:
    """Yield the name of everyone who is here and how they write."""
    from stepping_peers import ctranslate2_generator, hugging_face, llama_cpp, torch_lstm

    from memlm.models.stepping import SteppingModel

    for precision in ("float32", "int8"):
        model = SteppingModel(config, weights, precision=precision)
        yield f"memlm {precision}", _writer(model)
    if case == "lstm":
        yield "torch nn.LSTM", torch_lstm(config, weights)
        yield "torch nn.LSTM without oneDNN", torch_lstm(config, weights, onednn=False)
        return
    peers = {
        "transformers": lambda: hugging_face(config, weights, folder),
        "ctranslate2": lambda: ctranslate2_generator(config, folder, threads=threads),
        "xllamacpp": lambda: llama_cpp(config, weights, folder, threads=threads),
    }
    for package, make in peers.items():
        reason = "not installed" if find_spec(package) is None else ""
        if package == "xllamacpp" and batch > 1:
            reason = "its server takes one text at a time here"
        if reason:
            print(json.dumps({"case": case, "engine": package, "left_out": reason}), flush=True)
        else:
            yield package, make()


def _writer(model: object) -> Callable[[int, int], np.ndarray]:
    model.expect(1 << 20)

    def write(count: int, batch: int) -> np.ndarray:
        state, token, found = model.start(batch), np.zeros(batch, dtype=np.int64), []
        for _ in range(count):
            said, state = model.advance(state, token)
            token = said.argmax(axis=1)
            found.append(token)
        return np.stack(found, axis=1)

    write(2, 1)  # what is compiled is compiled now
    return write


def seconds_a_token(write: Callable[[int, int], np.ndarray], batch: int) -> tuple[float, float]:
    """Return the seconds of the wall, and of the processor, that one token of each text takes."""
    few, many = (FEW, MANY) if batch == 1 else (FEW // 10, MANY // 10)
    times = []
    for count in (few, many):
        started = time.perf_counter(), time.process_time()
        write(count, batch)
        times.append((time.perf_counter() - started[0], time.process_time() - started[1]))
    wall, processor = ((late - soon) / (many - few) for soon, late in zip(*times, strict=True))
    return wall, processor


def bytes_read(config: object, precision: str) -> int:
    """Return the bytes that one step reads: all weights but the embedding's, keys and values."""
    skipped = config.vocabulary_size * config.embedding_width
    first = config.blocks[0]
    if not first.attends:  # what a token brings to the first block is looked up
        skipped += 4 * first.width * config.input_width
    size = 1 if precision == "int8" else 4
    seen = sum(2 * block.width * (FEW + MANY) // 2 for block in config.blocks if block.attends)
    return size * (config.num_parameters - skipped) + 4 * seen


def seconds_of_reading(size: int) -> float:
    """Return how long one core takes to read so many bytes, again and again."""
    table = np.ones(size // 4, dtype=np.float32)
    times = []
    for _ in range(50):
        started = time.perf_counter()
        table.dot(table)
        times.append(time.perf_counter() - started)
    return min(times)


if __name__ == "__main__":
    main()
