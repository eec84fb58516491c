"""What a collection is made of, measured in one walk over its documents.

Memory is bounded: words by `word_counts.py`, characters by one table, and sixteen bytes a document
for its length and its hash. What costs more than counting is done to a random sample of fixed size:
parts of speech and lemmas to passages, languages to documents. `sampled` says how large it was;
of a small collection it is everything.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from memlm.prepare.character_counts import CharacterCounts
from memlm.prepare.parts_of_speech import PARTS, tag_words
from memlm.prepare.sample import Sample, passages
from memlm.prepare.word_counts import PowerLaw, WordCounts
from memlm.prepare.words import is_hanzi, words_of
from memlm.records import Document, PersonalData

_SAMPLED_CHARACTERS = 300_000
_SAMPLED_DOCUMENTS = 5_000
_HEAD_CHARACTERS = 1_000
_SHOWN_WORDS, _SHOWN_LEMMAS = 30, 12
_PARTS_WITH_LEMMAS = ("NOUN", "VERB", "ADJ", "PROPN")
_SOME_SHARE = 0.05  # of the documents, for the stop words of a language to count
_MOST_BINS, _WIDE = 12, 20
_ROUND = (1, 2, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the neighbours of this file do, handed in."""

    language_of: Callable[[str], tuple[str, float]]
    """Text -> code of its language and how likely that is."""
    stop_words: Callable[[str], frozenset[str]]
    """Code of a language -> its stop words, in small letters; none where it is not known."""
    find_personal_data: Callable[[str], Sequence[PersonalData]]
    """Text -> where it holds addresses, numbers and secrets, in order and without overlaps."""


@dataclass(frozen=True, kw_only=True)
class WordGroup:
    """The words that are written in hanzi, or those that are written in letters."""

    count: int
    distinct: int
    once: int
    """Words that occur a single time."""
    stop_word_share: float
    """Share of the running words that are stop words."""
    stop_words_of: tuple[str, ...]
    """The languages whose stop words these are."""
    common: tuple[tuple[str, int], ...]
    common_without_stop_words: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Characters of the documents."""

    shortest: int
    quartiles: tuple[float, float, float]
    longest: int
    mean: float
    histogram: tuple[tuple[int, int, int], ...]
    """(from, below, documents), between round numbers."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What a collection is made of; as JSON, the value of `statistics` in `info --statistics`."""

    documents: int
    characters: int
    bytes: int
    """Of all texts as UTF-8."""
    distinct_characters: int
    characters_by_script: Mapping[str, int]
    words: Mapping[str, WordGroup]
    """`hanzi` and `letters`, those of the two that occur."""
    most_missed: int
    """Word counts are exact (0) or too low by at most so much (see `word_counts.py`)."""
    zipf: PowerLaw
    heaps: PowerLaw
    parts_of_speech: Mapping[str, Mapping[str, int]]
    """Language (zh, en) -> universal part of speech -> words of the sampled passages."""
    common_lemmas: Mapping[str, Mapping[str, tuple[tuple[str, int], ...]]]
    """Language -> NOUN, VERB, ADJ, PROPN -> the commonest in the sampled passages."""
    lengths: Lengths
    languages: Mapping[str, int]
    """Code of a language -> sampled documents in it."""
    labels: Mapping[str, int]
    exact_duplicates: int
    """Documents whose text and label an earlier one has already."""
    personal_data: Mapping[str, int]
    """Kind -> how many."""
    sampled: Mapping[str, int]
    """How much was looked at for parts of speech (passages, passage_characters) and for languages
    (documents), and whether that was all: `is_all_passages`, `is_all_documents` (1 or 0)."""


def measure_documents(
    documents: Iterable[Document],
    tools: Tools,
    *,
    seed: int = 0,
    progress: Callable[[int], None] = lambda characters: None,
) -> Statistics:
    """Walk the documents once and return what they are made of; `progress` counts characters.

    Raises MissingExtraError where the words of the text need a library that is not installed.
    """
    walk = _Walk(tools, seed)
    done = 0
    for document in documents:
        walk.add(document)
        done += len(document.text)
        progress(done)
    return walk.finish()


@dataclass
class _Walk:
    """What is known after some documents."""

    tools: Tools
    seed: int
    words: WordCounts = field(default_factory=WordCounts)
    characters: CharacterCounts = field(default_factory=CharacterCounts)
    labels: Counter[str] = field(default_factory=Counter)
    personal_data: Counter[str] = field(default_factory=Counter)
    lengths: array[int] = field(default_factory=lambda: array("Q"))
    hashes: array[int] = field(default_factory=lambda: array("Q"))

    def __post_init__(self) -> None:
        self.passages: Sample[str] = Sample(_SAMPLED_CHARACTERS, seed=self.seed, size=len)
        self.heads: Sample[str] = Sample(_SAMPLED_DOCUMENTS, seed=self.seed)

    def add(self, document: Document) -> None:
        text = document.text
        self.characters.add(text)
        self.lengths.append(len(text))
        self.hashes.append(_hash(document))
        if document.label is not None:
            self.labels[document.label] += 1
        self.heads.offer(text[:_HEAD_CHARACTERS])
        found = self.tools.find_personal_data(text)
        self.personal_data.update(item.kind for item in found)
        text = _without(text, found)
        self.words.add(words_of(text))
        for start, end in passages(text):
            self.passages.offer(text[start:end])

    def finish(self) -> Statistics:
        languages = Counter(self.tools.language_of(head)[0] for head in self.heads)
        parts, lemmas = _tag(self.passages)
        lengths = np.asarray(self.lengths, dtype=np.int64)
        return Statistics(
            documents=len(lengths),
            characters=int(lengths.sum()),
            bytes=self.characters.size_bytes,
            distinct_characters=self.characters.distinct,
            characters_by_script=self.characters.by_script(),
            words=_word_groups(self.words, languages, self.tools),
            most_missed=self.words.most_missed,
            zipf=self.words.zipf(),
            heaps=self.words.heaps(),
            parts_of_speech=parts,
            common_lemmas=lemmas,
            lengths=_lengths(lengths),
            languages=dict(languages.most_common()),
            labels=dict(self.labels.most_common()),
            exact_duplicates=len(lengths) - len(np.unique(np.asarray(self.hashes))),
            personal_data=dict(self.personal_data.most_common()),
            sampled={
                "passages": len(self.passages),
                "passage_characters": sum(map(len, self.passages)),
                "documents": len(self.heads),
                "is_all_passages": int(self.passages.is_whole),
                "is_all_documents": int(self.heads.is_whole),
            },
        )


def _without(text: str, found: Sequence[PersonalData]) -> str:
    """Return the text with blanks for what is personal, which must be in no list of words."""
    parts, reached = [], 0
    for item in found:
        parts += [text[reached : item.start], " " * (item.end - item.start)]
        reached = item.end
    return "".join([*parts, text[reached:]])


def _hash(document: Document) -> int:
    """Return 64 bits of a hash: two of ten million documents share one with chance 3 in 10^6."""
    label = "" if document.label is None else f"={document.label}"
    data = f"{label}\0{document.text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _tag(texts: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:  # Any: see Statistics
    parts: dict[str, Counter[str]] = {}
    lemmas: dict[tuple[str, str], Counter[str]] = {}
    for text in texts:
        for word in tag_words(text):
            parts.setdefault(word.language, Counter())[word.part] += 1
            if word.part in _PARTS_WITH_LEMMAS:
                lemmas.setdefault((word.language, word.part), Counter())[word.lemma] += 1
    ordered = {
        language: {part: counts[part] for part in PARTS if counts[part]}
        for language, counts in parts.items()
        if language != "other"
    }
    common = {
        language: {
            part: tuple(lemmas[language, part].most_common(_SHOWN_LEMMAS))
            for part in _PARTS_WITH_LEMMAS
            if (language, part) in lemmas
        }
        for language in ordered
    }
    return ordered, common


def _word_groups(words: WordCounts, languages: Counter[str], tools: Tools) -> dict[str, WordGroup]:
    spoken = [code for code, n in languages.items() if n >= _SOME_SHARE * languages.total()]
    found = {
        "letters": tuple(sorted(set(spoken) - {"zh", "unknown"})) or ("en",),
        "hanzi": ("zh",),
    }
    groups = {
        name: _word_group(words, codes, tools, is_hanzi_group=name == "hanzi")
        for name, codes in found.items()
    }
    return {name: group for name, group in groups.items() if group.count}


def _word_group(
    words: WordCounts, codes: tuple[str, ...], tools: Tools, *, is_hanzi_group: bool
) -> WordGroup:
    stop_words = frozenset[str]().union(*map(tools.stop_words, codes))
    counts = {w: n for w, n in words.counts.items() if is_hanzi(w) == is_hanzi_group}
    total = sum(counts.values())
    stopped = sum(n for word, n in counts.items() if word in stop_words)
    return WordGroup(
        count=total,
        distinct=len(counts),
        once=sum(n == 1 for n in counts.values()),
        stop_word_share=stopped / total if total else 0.0,
        stop_words_of=codes,
        common=tuple(words.common(_SHOWN_WORDS, counts.__contains__)),
        common_without_stop_words=tuple(
            words.common(_SHOWN_WORDS, lambda word: word in counts and word not in stop_words)
        ),
    )


def _lengths(lengths: np.ndarray[Any, np.dtype[np.int64]]) -> Lengths:  # Any: its shape
    if not len(lengths):
        return Lengths(shortest=0, quartiles=(0, 0, 0), longest=0, mean=0, histogram=())
    edges = np.array(_edges(int(lengths.min()), int(lengths.max()), len(lengths)))
    counts, _ = np.histogram(lengths, bins=edges)
    quartiles = np.quantile(lengths, [0.25, 0.5, 0.75])
    return Lengths(
        shortest=int(lengths.min()),
        quartiles=(float(quartiles[0]), float(quartiles[1]), float(quartiles[2])),
        longest=int(lengths.max()),
        mean=float(lengths.mean()),
        histogram=tuple(
            (int(edges[at]), int(edges[at + 1]), int(n)) for at, n in enumerate(counts)
        ),
    )


def _edges(low: int, high: int, count: int) -> list[int]:
    """Return round numbers that enclose the lengths: evenly apart, or by times where they differ.

    Few documents get few bins.
    """
    num_bins = min(_MOST_BINS, max(3, round(2 * count**0.5)))
    if high > _WIDE * max(1, low):
        decades = range(len(str(max(1, low))) - 1, len(str(high)) + 1)
        edges = [0] * (low == 0) + [step * 10**decade for decade in decades for step in _ROUND[:3]]
        first = max((edge for edge in edges if edge <= low), default=0)
        last = min(edge for edge in edges if edge > high)
        return [edge for edge in edges if first <= edge <= last]
    wish = (high - low + 1) / num_bins
    decade = 10 ** max(0, len(str(int(wish))) - 1)
    step = next(step * decade for step in _ROUND if step * decade >= wish)
    return list(range(low // step * step, high + step + 1, step))
