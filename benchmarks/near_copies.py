"""How many planted near copies are found among 20,000 documents, and how many finds are true?

    python benchmarks/near_copies.py [--half report|tune] [--show 20] [--data FOLDER]

The documents: paragraphs of the Brown corpus, the inaugural addresses and the Declaration of Human
Rights; Tang and Song poems, the Book of Songs, chapters of old prose. Copies are planted with 0, 2,
5 and 10 % of their words changed (at least one where the share is not 0), each into a word drawn
from the same language's documents; words of Chinese are those of rjieba. No document has two
copies. Originals are split into halves by the hash of their text: parameters were chosen looking at
the one half, the other is reported.

A planted copy is found if it and its original are not both kept. A reported pair is true if it was
planted, or if it is natural and at least 80 % of the longer one's words are in the other in the
same order (difflib, which shares nothing with what is measured). The words of old Chinese are not
sure: where one hanzi is written differently in two prints of a poem, rjieba cuts the line anew; so
precision is given with hanzi as words, too. One JSON line for each share, language and length: long
from 200 characters on; tiny under 30 words, of which none may be changed; short between.
Then precision and times.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import random
import re
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import sqrt
from pathlib import Path

import numpy as np
import rjieba

from memlm.prepare.duplicates import FEWEST_WORDS, Copies, find_copies, sign_texts

DOCUMENTS, COPIES_OF_EACH = 20_000, 500
SHARES = (0.0, 0.02, 0.05, 0.1)
SHORT = 200
LEAST_WORDS = 8
IN_ORDER = 0.8
HANZI = re.compile("[\u3400-\u9fff]")
CHAPTERS = ("lunyu", "mengzi", "daxue", "zhongyong", "guwenguanzhi", "qianziwen")


@dataclass(frozen=True)
class Planted:
    """A copy and the document that it was made of."""

    row: int
    original: int
    share: float
    length: str


def wilson(hits: int, n: int) -> dict[str, object]:
    """Return a share with its 95 % interval after Wilson (1927)."""
    if n == 0:
        return {"value": None, "n": 0}
    z, p = 1.959964, hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {
        "value": round(p, 4),
        "low": round(middle - half, 4),
        "high": round(middle + half, 4),
        "n": n,
    }


# -- documents ----------------------------------------------------------------------------------


def english(data: Path) -> Iterator[str]:
    """Yield paragraphs."""
    with zipfile.ZipFile(data / "nlp/nltk/brown.zip") as brown:
        for name in brown.namelist():
            if re.fullmatch(r"brown/c[a-r]\d\d", name):
                for block in re.split(r"\n\s*\n\s*\n", brown.read(name).decode("utf-8")):
                    yield " ".join(pair.rpartition("/")[0] for pair in block.split())
    for archive, names in (("inaugural", r".*/\d.*\.txt"), ("udhr2", r".*/eng\.txt")):
        with zipfile.ZipFile(data / f"nlp/nltk/{archive}.zip") as held:
            for name in held.namelist():
                if re.fullmatch(names, name):
                    text = held.read(name).decode("utf-8", "replace")
                    yield from (" ".join(block.split()) for block in re.split(r"\n\s*\n", text))


def chinese(data: Path) -> Iterator[str]:
    """Yield poems and paragraphs."""
    with zipfile.ZipFile(data / "zh-poetry/chinese-poetry.zip") as held:
        for name in sorted(held.namelist()):
            yield from _texts(json.loads(held.read(name)))
    with zipfile.ZipFile(data / "nlp/nltk/udhr2.zip") as held:
        for name in ("udhr2/cmn_hans.txt", "udhr2/cmn_hant.txt"):
            text = held.read(name).decode("utf-8")
            yield from ("".join(block.split()) for block in re.split(r"\n\s*\n", text))


def _texts(value: object) -> Iterator[str]:
    """Yield each list of paragraphs (or of a poem's lines) in what a JSON file holds."""
    if isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key in ("paragraphs", "content") and all(isinstance(line, str) for line in one):
                yield "\n".join(one)
            else:
                yield from _texts(one)


def pieces(text: str, language: str) -> list[str]:
    """Cut a text into words and what is between them."""
    return rjieba.cut(text) if language == "zh" else re.split(r"(\s+)", text)


def is_word(piece: str, language: str) -> bool:
    if language == "zh":
        return bool(HANZI.search(piece))
    return any(character.isalnum() for character in piece)


def words_of(text: str, language: str) -> list[str]:
    return [piece for piece in pieces(text, language) if is_word(piece, language)]


def change(draw: random.Random, text: str, share: float, language: str, words: list[str]) -> str:
    """Return a text with a share of its words changed, at least one."""
    found = pieces(text, language)
    places = [place for place, piece in enumerate(found) if is_word(piece, language)]
    for place in draw.sample(places, max(1, round(share * len(places)))):
        found[place] = next(word for word in iter(lambda: draw.choice(words), None)
                            if word != found[place])  # fmt: skip
    return "".join(found)


def length_of(text: str, language: str) -> str:
    # As preparing counts words: a hanzi is one.
    count = HANZI.findall(text) if language == "zh" else words_of(text, language)
    if len(count) < FEWEST_WORDS:
        return "tiny"
    return "long" if len(text) >= SHORT else "short"


def make_documents(data: Path) -> tuple[list[str], list[str], list[Planted]]:
    """Return all documents, the language of each, and which were planted."""
    draw = random.Random(0)
    texts: list[str] = []
    languages: list[str] = []
    planted: list[Planted] = []
    num_copies = len(SHARES) * COPIES_OF_EACH
    for language, source in (("en", english), ("zh", chinese)):
        found = dict.fromkeys(text for text in source(data))
        held = [text for text in found if len(words_of(text, language)) >= LEAST_WORDS]
        draw.shuffle(held)
        first, held = len(texts), held[: DOCUMENTS // 2 - num_copies]
        vocabulary = [word for text in held for word in words_of(text, language)]
        # As many of the short as of the long, as far as there are any.
        short = [n for n, text in enumerate(held) if len(text) < SHORT]
        long = [n for n, text in enumerate(held) if len(text) >= SHORT]
        chosen = long[: num_copies // 2]
        chosen += short[: num_copies - len(chosen)]
        draw.shuffle(chosen)
        texts += held
        for number, original in enumerate(chosen):
            share, text = SHARES[number % len(SHARES)], held[original]
            length = length_of(text, language)
            planted.append(Planted(len(texts), first + original, share, length))
            texts.append(change(draw, text, share, language, vocabulary) if share else text)
        languages += [language] * (len(texts) - len(languages))
    return texts, languages, planted


# -- measuring ----------------------------------------------------------------------------------


def find(texts: list[str]) -> tuple[Copies, dict[str, float]]:
    gc.collect()
    start = time.perf_counter()
    keys = np.concatenate([sign_texts(texts[at : at + 64]) for at in range(0, len(texts), 64)])
    signed = time.perf_counter()
    digests = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
    copies = find_copies(
        np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 2),
        np.zeros(len(texts), dtype=np.uint64),
        np.arange(len(texts)),
        band=lambda number: keys[:, number],
        read=lambda row: texts[row],
    )
    return copies, {"sign": signed - start, "find": time.perf_counter() - signed}


def in_half(text: str, half: str) -> bool:
    is_even = hashlib.sha256(text.encode()).digest()[0] % 2 == 0
    return is_even == (half == "tune")


def shared_in_order(words: Sequence[list[str]]) -> float:
    """Return the share of the longer text's words that are in the other in the same order."""
    matcher = SequenceMatcher(None, *words, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / max(map(len, words))


def report_recall(
    texts: list[str], languages: list[str], planted: list[Planted], copies: Copies, half: str
) -> None:
    stands = copies.kept == np.arange(len(texts))
    for language in ("en", "zh"):
        for length in ("tiny", "short", "long"):
            for share in SHARES:
                hits = [
                    not (stands[one.row] and stands[one.original])
                    for one in planted
                    if one.share == share
                    and languages[one.row] == language
                    and one.length == length
                    and in_half(texts[one.original], half)
                ]
                recall = wilson(sum(map(int, hits)), len(hits))
                line = {"language": language, "length": length, "changed": share, "recall": recall}
                print(json.dumps(line), flush=True)


def report_precision(
    texts: list[str],
    languages: list[str],
    planted: list[Planted],
    copies: Copies,
    half: str,
    show: int,
) -> None:
    source = list(range(len(texts)))
    for one in planted:
        source[one.row] = one.original
    natural: list[tuple[float, int, int]] = []
    for language in ("en", "zh"):
        num_planted = num_true = num_true_hanzi = num_natural = 0
        for row, kept in enumerate(copies.kept.tolist()):
            if kept == row or languages[row] != language or not in_half(texts[source[row]], half):
                continue
            if source[row] == source[kept]:
                num_planted += 1
                continue
            pair = texts[row], texts[kept]
            share = shared_in_order([words_of(text, language) for text in pair])
            num_natural += 1
            num_true += share >= IN_ORDER
            if language == "zh":
                num_true_hanzi += (
                    shared_in_order([HANZI.findall(text) for text in pair]) >= IN_ORDER
                )
            natural.append((share, row, kept))
        pairs = num_planted + num_natural
        line = {
            "language": language,
            "precision": wilson(num_planted + num_true, pairs),
            "planted": num_planted,
            "natural": num_natural,
            "natural_true": num_true,
        }
        if language == "zh":
            line |= {
                "natural_true_by_hanzi": num_true_hanzi,
                "precision_by_hanzi": wilson(num_planted + num_true_hanzi, pairs),
            }
        print(json.dumps(line), flush=True)
    for share, row, kept in sorted(natural)[:show]:
        found = {"in_order": round(share, 3), "similarity": round(float(copies.similarity[row]), 3)}
        print(json.dumps(found | {"texts": [texts[row], texts[kept]]}, ensure_ascii=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--half", choices=("report", "tune"), default="report")
    parser.add_argument("--show", type=int, default=0, help="least alike natural pairs to print")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    wish = parser.parse_args()
    texts, languages, planted = make_documents(wish.data)
    copies, seconds = find(texts)
    report_recall(texts, languages, planted, copies, wish.half)
    report_precision(texts, languages, planted, copies, wish.half, wish.show)
    line = {
        "half": wish.half,
        "documents": len(texts),
        "characters": sum(map(len, texts)),
        "short": {
            name: sum(
                len(text) < SHORT for text, own in zip(texts, languages, strict=True) if own == name
            )
            for name in ("en", "zh")
        },
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
