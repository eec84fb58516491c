"""Summarise: of a report of the weather only what matters is kept, by a model trained on pairs.

The reports are made here; any table of texts and their summaries does in their place. What was made
is measured beside the first sentence, which is what a summary has to beat.

python examples/summarise.py my-workspace
"""

import csv
import random
import sys
from pathlib import Path

import memlm

TOWNS = ["Bath", "York", "Leeds", "Dover", "Truro", "Derby", "Luton", "Ripon"]
SKIES = {"sun": "The sun shone all day.", "rain": "It rained without end.", "snow": "Snow fell."}
PADDING = (
    "The trains ran on time.", "Many people were out.", "The market was open.",
    "Nobody complained.", "The river was calm.",
)  # fmt: skip


def report(random_: random.Random) -> tuple[str, str]:
    town, (sky, said) = random_.choice(TOWNS), random_.choice(list(SKIES.items()))
    degrees = random_.randrange(1, 30)
    told = [*random_.sample(PADDING, 2), said, f"{town} had {degrees} degrees."]
    random_.shuffle(told)
    return " ".join(told), f"{town}: {sky}, {degrees}"


def main(workspace: str) -> None:
    dice = random.Random(1)
    rows = [report(dice) for _ in range(900)]
    for name, part in {"learned": rows[:850], "asked": rows[850:]}.items():
        with Path(f"{workspace}-{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "summary"), *part])

    task = memlm.CollectConfig(task="summarise")
    memlm.collect_documents(workspace, f"{workspace}-learned.csv", config=task)
    config = memlm.TrainConfig(network="lstm-attention", hidden_width=96, steps=400, threads=1)
    words = memlm.PrepareConfig(tokenizer="word")
    trained = memlm.train_model(workspace, config=config, prepare=words)
    model = memlm.load_model(workspace, trained.model, writes=True)
    for answer in memlm.answer_task(model, [asked for asked, _ in rows[850:853]]):
        print(f"{answer.asked} -> {answer.text}")
    found = memlm.evaluate_task(model, f"{workspace}-asked.csv")
    for name, finding in found.items():
        print(f"{name}: {finding.value:.3f}, of the first sentence {finding.baseline:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
