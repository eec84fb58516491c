"""Reading ahead: what the memory's guesses save a transformer, beside the same without them.

    python benchmarks/reading_ahead.py WORKSPACE MODEL [--prompt TEXT] [--repeat N]

The text must be the same with and without. Processor seconds a token come from the difference
between 1,200 and 200 tokens. A network of any size can be had in minutes (an untrained one, which
the memory guesses worse, with `--steps 1`):

    memlm train ws input.txt --network transformer --layers 4 --hidden-width 128 --minutes 5
    memlm train ws --network transformer --layers 6 --hidden-width 384 --minutes 5

One JSON line a temperature: tokens written per call of the network, and the ratio of the speeds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import replace

from memlm import GenerateConfig
from memlm.generate.dice import Dice
from memlm.generate.engine import generate_texts
from memlm.generate.reading_ahead import ReadingAhead
from memlm.workflow.listener import Listener
from memlm.workflow.models import Model, load_model
from memlm.workflow.reading_ahead import reading_ahead

SEED, LONG = 3, 1 << 20


def written(model: Model, prompt: str, config: GenerateConfig) -> tuple[str, float, float]:
    """Return a text, the processor seconds it took, and the tokens per call of the network."""
    dice = Dice(SEED)
    predictor = reading_ahead(model.predictor, model, config, dice, Listener())
    predictor.expect(LONG)  # loads and compiles what makes single steps fast
    started = time.process_time()
    found = generate_texts(predictor, model.tokenizer, prompt, config, dice=dice)
    seconds = time.process_time() - started
    per_call = 1.0
    if isinstance(predictor, ReadingAhead):
        per_call = predictor.steps / predictor.reads
    return found[0].text, seconds, per_call


def compared(model: Model, prompt: str, temperature: float) -> dict[str, object]:
    """Return one comparison; AssertionError if the text changes."""
    config = GenerateConfig(seed=SEED, temperature=temperature, ignore_end=True, tokens=1200)
    texts, seconds, per_call = {}, {}, 1.0
    for choice in ("off", "on"):
        long = replace(config, read_ahead=choice)
        _, short_seconds, _ = written(model, prompt, replace(long, tokens=200))
        texts[choice], long_seconds, per_call = written(model, prompt, long)
        seconds[choice] = (long_seconds - short_seconds) / 1000
    assert texts["off"] == texts["on"]
    return {
        "tokens_per_call": per_call,
        "microseconds_without": 1e6 * seconds["off"],
        "microseconds_with": 1e6 * seconds["on"],
        "times_faster": seconds["off"] / seconds["on"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace")
    parser.add_argument("model")
    parser.add_argument("--prompt", default="ROMEO:\n")
    parser.add_argument("--repeat", type=int, default=3)
    chosen = parser.parse_args()
    model = load_model(chosen.workspace, chosen.model, writes=True)
    for temperature in (0.0, 0.8, 1.0):
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        compared(model, chosen.prompt, temperature)  # warms up
        runs = [compared(model, chosen.prompt, temperature) for _ in range(chosen.repeat)]
        medians = {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}
        about = {"temperature": temperature, "load_before": load, "repeat": chosen.repeat}
        print(json.dumps(about | medians), flush=True)


if __name__ == "__main__":
    main()
