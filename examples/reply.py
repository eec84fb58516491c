"""Reply: questions about the days of the week are answered, by a model trained on dialogues of two.

The pairs are made here; any table of what was said and what was answered does in their place.

python examples/reply.py my-workspace
"""

import csv
import sys
from pathlib import Path

import memlm

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
WAYS = (
    ("What comes after {day}?", 1),
    ("Which day follows {day}?", 1),
    ("It is {day}. What is tomorrow?", 1),
    ("What comes before {day}?", -1),
    ("Which day is before {day}?", -1),
    ("It is {day}. What was yesterday?", -1),
)
UNSEEN = {("Which day follows {day}?", "Friday"), ("It is {day}. What was yesterday?", "Sunday")}


def main(workspace: str) -> None:
    table = Path(f"{workspace}-pairs.csv")
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["message", "reply"])
        for way, distance in WAYS:
            for place, day in enumerate(DAYS):
                if (way, day) not in UNSEEN:
                    reply = DAYS[(place + distance) % len(DAYS)]
                    rows.writerow([way.format(day=day), f"That is {reply}."])

    task = memlm.CollectConfig(task="reply")
    memlm.collect_documents(workspace, table, config=task)
    config = memlm.TrainConfig(network="lstm-attention", hidden_width=64, steps=400, threads=1)
    words = memlm.PrepareConfig(tokenizer="word", held_out_share=0.0)
    report = memlm.train_model(workspace, config=config, prepare=words)
    model = memlm.load_model(workspace, report.model, writes=True)
    likeliest = memlm.GenerateConfig(beams=4)
    for way, day in sorted(UNSEEN):
        (answer,) = memlm.answer_task(model, [way.format(day=day)], config=likeliest)
        near = answer.examples[0]
        print(f"{answer.asked} -> {answer.text}   (nearest: {near.asked} -> {near.answer})")


if __name__ == "__main__":
    main(*sys.argv[1:])
