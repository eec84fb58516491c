"""Words in figures: Chinese segmentation, parts of speech, lemmas, speed. Run this file with names.

    python benchmarks/words.py [segmentation] [parts] [speed] [--half dev|test] [--data FOLDER]

Each figure is one JSON line with its 95 % interval (bootstrap over sentences), n, and beside it the
library alone on the same sentences: rjieba's cut, and for parts of speech the best mapping from one
tag to one part that the *dev* half allows, which no plain use of the library can exceed there.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import rjieba
from HanTa.HanoverTagger import HanoverTagger
from texts import data_beside_checkout

from memlm.prepare.parts_of_speech import Word, jieba_tag, tag_chinese, tag_english, tag_words
from memlm.prepare.words import split_words

Sentence = list[tuple[str, str, str]]  # form, universal part of speech, lemma
_DRAWS, _SEED = 1000, 0


def segmentation(data: Path, half: str) -> Iterator[dict[str, object]]:
    """Cut SIGHAN 2005's test sentences and compare with their gold words."""
    ways: dict[str, Callable[[str], Sequence[str]]] = {
        "split_words": lambda text: list(split_words(text)),
        "tag_words": lambda text: [word.text for word in tag_words(text)],
        "rjieba alone": rjieba.cut,
    }
    for name in ("pku", "msr"):
        sentences = []
        with gzip.open(data / f"nlp/sighan2005/{name}_test_gold.utf8.gz", "rt", "utf-8") as file:
            sentences = [words for line in file if (words := line.split())]
        for way, cut in ways.items():
            rows = np.array([_shared(words, cut("".join(words))) for words in sentences])
            yield {"figure": f"segmentation F, {name}", "way": way, "n": int(rows[:, 1].sum())} | (
                _with_interval(rows, lambda row: 2 * row[0] / (row[1] + row[2]))
            )


def _shared(gold: Sequence[str], found: Sequence[str]) -> tuple[int, int, int]:
    one, two = _spans(gold), _spans(found)
    return len(one & two), len(one), len(two)


def _spans(words: Sequence[str]) -> set[tuple[int, int]]:
    ends = np.cumsum([len(word) for word in words])
    return {(int(end) - len(word), int(end)) for end, word in zip(ends, words, strict=True)}


def parts(data: Path, half: str) -> Iterator[dict[str, object]]:
    """Tag UD's sentences on their gold tokens."""
    hanta = HanoverTagger("morphmodel_en.pgz")

    def plain_chinese(tokens: list[str]) -> list[tuple[str, str]]:
        return [(jieba_tag(token), token) for token in tokens]

    def plain_english(tokens: list[str]) -> list[tuple[str, str]]:
        return [(tag, lemma) for _, lemma, tag in hanta.tag_sent(tokens)]

    yield from _parts(data, half, "zh_gsdsimp", tag_chinese, plain_chinese)
    yield from _parts(data, half, "en_ewt", tag_english, plain_english)


def _parts(
    data: Path,
    half: str,
    bank: str,
    ours: Callable[[list[str]], list[Word]],
    plain: Callable[[list[str]], list[tuple[str, str]]],
) -> Iterator[dict[str, object]]:
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in _read_conllu(data / f"nlp/ud/{bank}-ud-dev.conllu.gz"):
        tags = plain([form for form, _, _ in sentence])
        for (tag, _), (_, part, _) in zip(tags, sentence, strict=True):
            seen[tag][part] += 1
    best = {tag: parts.most_common(1)[0][0] for tag, parts in seen.items()}
    rows = []
    for sentence in _read_conllu(data / f"nlp/ud/{bank}-ud-{half}.conllu.gz"):
        tokens = [form for form, _, _ in sentence]
        row = np.zeros(5)
        for word, (tag, lemma), gold in zip(ours(tokens), plain(tokens), sentence, strict=True):
            row += (
                word.part == gold[1],
                best.get(tag) == gold[1],
                word.lemma == gold[2].lower(),
                lemma.lower() == gold[2].lower(),
                1,
            )
        rows.append(row)
    table = np.array(rows)
    count = int(table[:, 4].sum())
    figures = [("parts of speech", 0)] + ([("lemmas", 2)] if bank == "en_ewt" else [])
    for figure, first in figures:
        for way, column in (("memlm", first), ("library alone", first + 1)):
            pair = table[:, [column, 4]]
            yield {
                "figure": f"{figure}, {bank} {half}",
                "way": way,
                "n": count,
            } | (_with_interval(pair, lambda row: row[0] / row[1]))


def _read_conllu(path: Path) -> Iterator[Sentence]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for block in file.read().strip().split("\n\n"):
            rows = [line.split("\t") for line in block.splitlines() if not line.startswith("#")]
            yield [(row[1], row[3], row[2]) for row in rows if row[0].isdigit()]


def speed(data: Path, half: str) -> Iterator[dict[str, object]]:
    """Tag a novel of each language once, on one core."""
    for name in ("zh-novels/hongloumeng.txt.gz", "en-books/sherlock_holmes_pg1661.txt.gz"):
        text = gzip.decompress((data / name).read_bytes()).decode("utf-8-sig")[:300_000]
        for way, cut in (("tag_words", tag_words), ("split_words", split_words)):
            next(iter(cut("once 一次")))  # the libraries are loaded
            started = time.perf_counter()
            count = sum(1 for _ in cut(text))
            seconds = time.perf_counter() - started
            yield {"figure": "words a second", "text": name, "way": way, "n": count} | {
                "value": round(count / seconds),
                "megabytes_a_second": round(len(text.encode()) / 1e6 / seconds, 2),
            }


def _with_interval(
    rows: np.ndarray, figure: Callable[[np.ndarray], np.ndarray]
) -> dict[str, float]:
    draws = np.random.default_rng(_SEED).integers(0, len(rows), (_DRAWS, len(rows)))
    low, high = np.quantile([figure(rows[draw].sum(axis=0)) for draw in draws], [0.025, 0.975])
    value = figure(rows.sum(axis=0))
    return {"value": round(float(value), 4), "low": round(low, 4), "high": round(high, 4)}


def main() -> None:
    """Run the named figures, all if none is named."""
    jobs = {"segmentation": segmentation, "parts": parts, "speed": speed}
    parser = argparse.ArgumentParser(description=re.split("\n", __doc__ or "")[0])
    parser.add_argument("jobs", nargs="*", choices=[*jobs, []], default=[])
    parser.add_argument("--half", choices=["dev", "test"], default="test")
    parser.add_argument("--data", type=Path, default=data_beside_checkout())
    options = parser.parse_args()
    for name in options.jobs or jobs:
        for line in jobs[name](options.data, options.half):
            print(json.dumps({"job": name} | line), flush=True)


if __name__ == "__main__":
    main()
