"""Translate: numbers in English words become Chinese numerals, by a model trained on pairs.

Nothing is fetched: the pairs are made here, and a tenth of them the model never sees. Any table of
two columns does in their place.

python examples/translate.py my-workspace
"""

import csv
import random
import sys
from pathlib import Path

import memlm

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
DIGITS = "零一二三四五六七八九"


def in_english(number: int) -> str:
    if number < 20:
        return ONES[number]
    if number < 100:
        ten = TENS[number // 10 - 2]
        return f"{ten}-{ONES[number % 10]}" if number % 10 else ten
    rest = f" and {in_english(number % 100)}" if number % 100 else ""
    return f"{ONES[number // 100]} hundred{rest}"


def in_chinese(number: int) -> str:
    if number < 10:
        return DIGITS[number]
    if number < 20:
        return "十" + (DIGITS[number % 10] if number % 10 else "")
    if number < 100:
        return DIGITS[number // 10] + in_chinese(10 + number % 10)
    rest = number % 100
    if not rest:
        return DIGITS[number // 100] + "百"
    filled = "零" + DIGITS[rest] if rest < 10 else DIGITS[rest // 10] + in_chinese(10 + rest % 10)
    return DIGITS[number // 100] + "百" + filled


def main(workspace: str) -> None:
    numbers = random.Random(1).sample(range(1000), 1000)
    learned, unseen = numbers[:900], numbers[900:]
    table = Path(f"{workspace}-pairs.csv")
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["en", "zh"])
        rows.writerows([in_english(number), in_chinese(number)] for number in learned)

    memlm.collect_documents(
        workspace,
        table,
        config=memlm.CollectConfig(task="translate", source_column="en", target_column="zh"),
    )
    config = memlm.TrainConfig(network="lstm-attention", hidden_width=128, steps=500, threads=1)
    report = memlm.train_model(workspace, config=config)
    model = memlm.load_model(workspace, report.model, writes=True)

    answers = memlm.answer_task(model, [in_english(number) for number in unseen])
    for answer in answers[:5]:
        near = answer.examples[0]
        print(f"{answer.asked} -> {answer.text}   (nearest: {near.asked} -> {near.answer})")
    pairs = zip(unseen, answers, strict=True)
    right = sum(answer.text == in_chinese(number) for number, answer in pairs)
    print(f"{right} of {len(answers)} unseen numbers right")


if __name__ == "__main__":
    main(*sys.argv[1:])
