"""Classify: from which of two books is a sentence? With baselines that count words, and examples.

The books come with memlm. Any table with a text and a label in each row does in their place.

python examples/classify.py my-workspace
"""

import csv
import random
import re
import sys
from pathlib import Path

import memlm

BOOKS = Path(memlm.__file__).parent / "demo_text"
SENTENCE = re.compile(r"[^.!?]{30,200}[.!?]")


def sentences(book: str) -> list[tuple[str, str]]:
    text = " ".join(path.read_text(encoding="utf-8") for path in sorted((BOOKS / book).iterdir()))
    return [(found.strip(), book) for found in SENTENCE.findall(" ".join(text.split()))]


def main(workspace: str) -> None:
    rows = sentences("alice") + sentences("time-machine")
    random.Random(1).shuffle(rows)
    tables = {"learned": rows[:1200], "asked": rows[1200:1350]}
    for name, part in tables.items():
        with Path(f"{workspace}-{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *part])

    task = memlm.CollectConfig(task="classify")
    memlm.collect_documents(workspace, f"{workspace}-learned.csv", config=task)
    config = memlm.TrainConfig(network="lstm", hidden_width=96, steps=250, threads=1)
    words = memlm.PrepareConfig(tokenizer="word", vocabulary_size=4000)
    report = memlm.train_model(workspace, config=config, prepare=words)
    model = memlm.load_model(workspace, report.model, writes=True)

    (answer,) = memlm.answer_task(model, ["‘Who stole the tarts?’ said the Rabbit."])
    print(f"{answer.text} ({answer.probabilities[answer.text]:.0%})")
    for near in answer.examples:
        print(f"  near: {near.asked[:60]} -> {near.answer}")
    asked = f"{workspace}-asked.csv"
    alone = memlm.evaluate_task(model, asked, memories=[])
    found = memlm.evaluate_task(model, asked)
    for name, finding in found.items():
        interval = f"{finding.low:.3f} to {finding.high:.3f}"
        print(f"{name}: {finding.value:.3f} ({interval}), network alone {alone[name].value:.3f}")
    for name, scores in found.baselines.items():
        print(f"  {name}: {scores}")


if __name__ == "__main__":
    main(*sys.argv[1:])
