"""Article text from web pages, against gold: what memlm keeps, and trafilatura alone, paired.

    python benchmarks/extraction.py [--half tune|report|all] [--data ../shared/data]

Data: documents/html-en (61 news pages, gold article text). Score of a page: F1 of its bag of
4-word shingles, as the benchmark that the pages come from has it, and F1 of its bag of words; the
mean over pages. Intervals: bootstrap over pages, 10,000 draws. What was chosen was chosen on the
first half (`--half tune`, even places by key); figures that are kept come from the other.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import trafilatura
from texts import data_beside_checkout

from memlm.collect.markup import extract_page

Extractor = Callable[[bytes], str]


def pages(data: Path, half: str) -> Iterator[tuple[bytes, str]]:
    """Yield (page, gold text) of the half that is asked for."""
    folder = data / "documents" / "html-en"
    gold = json.loads(gzip.decompress((folder / "ground-truth.json.gz").read_bytes()))
    with zipfile.ZipFile(folder / "html.zip") as archive:
        names = {Path(name).name.partition(".")[0]: name for name in archive.namelist()}
        for number, key in enumerate(sorted(gold)):
            if half == "all" or (number % 2 == 0) == (half == "tune"):
                yield gzip.decompress(archive.read(names[key])), gold[key]["articleBody"]


def with_memlm(page: bytes) -> str:
    """Return what `memlm collect` keeps of a page."""
    found = extract_page(page)
    return found.text if found is not None else ""


def with_trafilatura(page: bytes) -> str:
    """Return what trafilatura gives by itself, asked for the article without its comments."""
    return trafilatura.extract(page, include_comments=False) or ""


def f1(found: str, gold: str, *, width: int) -> float:
    """Return the F1 of two texts as bags of runs of `width` words."""
    first, second = (Counter(_runs(text, width)) for text in (found, gold))
    total = sum(first.values()) + sum(second.values())
    return 2 * sum((first & second).values()) / total if total else 1.0


def _runs(text: str, width: int) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return [tuple(words[at : at + width]) for at in range(max(1, len(words) - width + 1))]


def interval(values: np.ndarray, draws: int = 10_000) -> list[float]:
    """Return the middle 95 % of the means of pages drawn with replacement."""
    generator = np.random.default_rng(0)
    means = values[generator.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    return [round(float(edge), 4) for edge in np.quantile(means, [0.025, 0.975])]


def main() -> None:
    """Print one JSON line for each extractor and each score, and one for each difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=data_beside_checkout())
    parser.add_argument("--half", choices=["tune", "report", "all"], default="report")
    options = parser.parse_args()
    known = list(pages(options.data, options.half))
    extractors: dict[str, Extractor] = {"memlm": with_memlm, "trafilatura": with_trafilatura}
    texts, seconds = {}, {}
    for name, extract in extractors.items():
        started = time.perf_counter()
        texts[name] = [extract(page) for page, _ in known]
        seconds[name] = round(time.perf_counter() - started, 2)
    for score, width in (("shingles of 4 words", 4), ("words", 1)):
        scores = {
            name: np.array(
                [f1(text, gold, width=width) for text, (_, gold) in zip(found, known, strict=True)]
            )
            for name, found in texts.items()
        }
        for name, values in scores.items():
            line = {"extractor": name, "score": score, "half": options.half, "pages": len(known)}
            line |= {"f1": round(float(values.mean()), 4), "interval": interval(values)}
            print(json.dumps(line | {"seconds": seconds[name]}))
        gain = scores["memlm"] - scores["trafilatura"]
        line = {"difference": "memlm - trafilatura", "score": score, "half": options.half}
        line |= {"f1": round(float(gain.mean()), 4), "interval": interval(gain)}
        print(json.dumps(line | {"better": int((gain > 0).sum()), "worse": int((gain < 0).sum())}))


if __name__ == "__main__":
    main()
