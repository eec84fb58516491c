"""Every question to the index is answered as by looking everywhere, in numpy and compiled alike."""

from __future__ import annotations

import gzip
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from memlm.index import Match, NextCounts, SuffixIndex, maximal_matches, store, suffix_index

Text = str | list[int]
LONGEST = 40


class BruteForce:
    """All stretches of all texts, up to a length, with how often each occurs and what follows."""

    def __init__(self, texts: Sequence[Text], longest: int = LONGEST) -> None:
        self.texts = [self.codes(text) for text in texts]
        self.count: Counter[tuple[int, ...]] = Counter()
        self.following: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for text in self.texts:
            for start in range(len(text)):
                for end in range(start, min(len(text), start + longest) + 1):
                    stretch = text[start:end]
                    self.count[stretch] += 1
                    if end < len(text):
                        self.following[stretch][text[end]] += 1

    @staticmethod
    def codes(text: Text) -> tuple[int, ...]:
        return tuple(map(ord, text)) if isinstance(text, str) else tuple(text)

    def longest_suffix(self, read: tuple[int, ...]) -> tuple[int, ...]:
        return next(read[n:] for n in range(len(read) + 1) if n == len(read) or read[n:] in self)

    def __contains__(self, stretch: tuple[int, ...]) -> bool:
        return stretch in self.count

    def maximal(self, text: tuple[int, ...]) -> list[Match]:
        ends = [max(e for e in range(s, len(text) + 1) if text[s:e] in self or e == s)
                for s in range(len(text))]  # fmt: skip
        passed = -1
        found = []
        for start, end in enumerate(ends):
            if end > max(start, passed):
                found.append(Match(start, end))
            passed = max(passed, end)
        return found


def as_counters(found: NextCounts) -> list[dict[int, int]]:
    return [
        dict(zip(found.symbols[a:b].tolist(), found.counts[a:b].tolist(), strict=True))
        for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)
    ]


def draw_texts(draw: random.Random, alphabet: Sequence[str | int]) -> list[Text]:
    """Texts that are random, that repeat themselves, that repeat others, and empty ones."""
    texts: list[list[str | int]] = [[], [alphabet[0]], [*alphabet][:LONGEST], []]
    texts += [draw.choices(alphabet, k=draw.randrange(1, LONGEST)) for _ in range(60)]
    for _ in range(20):
        texts.append((draw.choices(alphabet, k=draw.randrange(1, 5)) * LONGEST)[:LONGEST])
        start = draw.randrange(20)
        texts.append(texts[draw.randrange(len(texts))][start : start + draw.randrange(1, LONGEST)])
    draw.shuffle(texts)
    return ["".join(map(str, text)) if isinstance(alphabet, str) else list(text) for text in texts]  # type: ignore[arg-type]


def draw_questions(
    draw: random.Random, texts: Sequence[Text], unknown: Text, number: int
) -> Iterator[Text]:
    """Stretches of the texts, some of which are spoilt by a symbol from elsewhere."""
    for _ in range(number):
        text, other = draw.choice(texts), draw.choice(texts)
        start = draw.randrange(len(text) + 1)
        question = text[start : start + draw.choice([0, 1, 1, 2, 3, 4, 7, 8, 9, 16, 17, 30])]
        if draw.random() < 0.3:
            question = question + draw.choice([other[:2], unknown])
        yield question[:LONGEST]


ALPHABETS: dict[str, tuple[str | range, str | list[int], int | None]] = {
    "one letter": ("a", "b", None),
    "two letters": ("ab", "c", None),
    "hanzi and astral": ("天地人😀𠀀\n", "玄\x00", None),
    "300 hanzi": ("".join(map(chr, range(0x4E00, 0x4E00 + 300))), "a\U0010ffff", None),
    "tokens of a byte": (range(5), [9, 7], 10),
    "tokens of two bytes": (range(0, 4000, 37), [1, 2], 4096),
    "tokens of four bytes": (range(0, 70_000, 700), [1, 99_999], 100_000),
}
cases = pytest.mark.parametrize(("alphabet", "unknown", "size"), ALPHABETS.values(), ids=ALPHABETS)
QUESTIONS = 1500  # for each of seven alphabets: 10,500


@pytest.fixture(params=[2000, 1 << 25], ids=["segments", "one"])
def built(
    request: pytest.FixtureRequest,
    build: Callable[..., SuffixIndex],
    monkeypatch: pytest.MonkeyPatch,
    asked_in: str,
) -> Callable[[Sequence[Text], int | None], SuffixIndex]:
    """Build the index in several segments, or in one."""
    monkeypatch.setattr(store, "LARGEST_SEGMENT", request.param)

    def built(texts: Sequence[Text], size: int | None) -> SuffixIndex:
        index = build(texts, vocabulary_size=size)
        assert (len(index.segments) > 1) == (request.param == 2000)
        return index

    return built


@cases
def test_counts_and_next_counts_are_those_of_looking_everywhere(built, alphabet, unknown, size):
    draw = random.Random(1)
    texts = draw_texts(draw, alphabet)
    index, truth = built(texts * 2, size), BruteForce(texts * 2)
    questions = list(draw_questions(draw, texts, unknown, QUESTIONS))
    keys = [truth.codes(question) for question in questions]
    patterns = [q if isinstance(q, str) else np.array(q, np.int64) for q in questions]
    wanted = [truth.count[key] if key else index.characters for key in keys]
    assert index.counts(patterns).tolist() == wanted
    assert as_counters(index.next_counts(patterns)) == [dict(truth.following[key]) for key in keys]


@cases
def test_longest_suffixes_are_those_of_looking_everywhere(built, alphabet, unknown, size):
    draw = random.Random(2)
    texts = draw_texts(draw, alphabet)
    index, truth = built(texts * 2, size), BruteForce(texts * 2)
    text = [one for part in draw_questions(draw, texts, unknown, 120) for one in truth.codes(part)]
    question = "".join(map(chr, text)) if size is None else np.array(text)
    found = index.longest_suffixes(question)
    wanted = [truth.longest_suffix(tuple(text[: end + 1])) for end in range(len(text))]
    assert found.lengths.tolist() == list(map(len, wanted))
    assert found.counts.tolist() == [truth.count[w] if w else index.characters for w in wanted]
    assert as_counters(found.following) == [dict(truth.following[one]) for one in wanted]
    assert list(maximal_matches(index, question)) == truth.maximal(tuple(text))


@cases
def test_places_are_all_there_are(built, alphabet, unknown, size):
    draw = random.Random(3)
    texts = draw_texts(draw, alphabet)
    index = built(texts, size)
    for question in draw_questions(draw, texts, unknown, 60):
        if not len(question):
            continue
        wanted = {
            (f"d{number}", start)
            for number, text in enumerate(texts)
            for start in range(len(text))
            if text[start : start + len(question)] == question
        }
        pattern = question if isinstance(question, str) else np.array(question)
        count, places = index.places(pattern, limit=10_000)
        assert (count, set(places), len(places)) == (len(wanted), wanted, len(wanted))


@pytest.mark.usefixtures("asked_in")
def test_repeated_text_is_followed_whole(build: Callable[..., SuffixIndex]) -> None:
    lines = "".join(f"line {number}, " for number in range(2000))
    index = build([lines, lines[3000:], "a" * 1000])
    copy = lines[100:9000] + "#" + lines[9001:12_000] + "a" * 1200
    spans = list(maximal_matches(index, copy))
    assert spans[:2] == [Match(0, 8900), Match(8901, 11_900)]
    assert spans[-201:] == [Match(start, start + 1000) for start in range(11_900, 12_101)]
    found = index.longest_suffixes(copy[:9500])
    assert found.lengths[8899] == 8900
    assert found.lengths[8900] == 0
    assert found.counts[8899] == 1


@pytest.mark.usefixtures("asked_in")
def test_empty_index_answers_nothing(build: Callable[..., SuffixIndex]) -> None:
    index = build([])
    assert index.counts(["a", ""]).tolist() == [0, 0]
    assert as_counters(index.next_counts(["a", ""])) == [{}, {}]
    assert index.longest_suffixes("ab").lengths.tolist() == [0, 0]
    assert list(maximal_matches(index, "ab")) == []


@pytest.mark.usefixtures("asked_in")
def test_no_question_is_no_answer(build: Callable[..., SuffixIndex]) -> None:
    index = build(["a"])
    assert index.counts([]).tolist() == []
    assert as_counters(index.next_counts([])) == []
    assert index.longest_suffixes("").lengths.tolist() == []
    assert list(maximal_matches(index, "")) == []


@pytest.mark.usefixtures("asked_in")
def test_entries_without_text_are_asked_like_others(build: Callable[..., SuffixIndex]) -> None:
    index = build(["", ""])
    assert (index.characters, index.count("a"), index.count("")) == (0, 0, 0)


def test_compact_layout_answers_alike(build: Callable[..., SuffixIndex], asked_in: str) -> None:
    draw = random.Random(4)
    texts = draw_texts(draw, "abc")
    fast, compact = build(texts, "fast"), build(texts, "compact", layout="compact")
    assert compact.segments[0].keys is None
    assert fast.segments[0].keys is not None
    questions = list(draw_questions(draw, texts, "d", 500))
    assert fast.counts(questions).tolist() == compact.counts(questions).tolist()
    text = "".join(map(str, questions))
    assert fast.longest_starts(text).tolist() == compact.longest_starts(text).tolist()


def test_layouts_take_the_bytes_that_they_promise(
    build: Callable[..., SuffixIndex], tmp_path: Path
) -> None:
    text = "".join(map(chr, np.random.default_rng(0).integers(97, 123, 100_000)))
    for layout, most in (("compact", 4.0), ("fast", 9.0)):
        index = build([text], layout, layout=layout)
        names = ("suffixes.bin", "keys.bin", "alphabet.bin")
        files = [index.segments[0].folder / name for name in names]
        size = sum(file.stat().st_size for file in files if file.exists())
        assert size <= most * index.segments[0].positions + 200


def test_small_question_waits_for_no_compiler(
    build: Callable[..., SuffixIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled() -> None:
        raise AssertionError("asked for compiled loops")

    monkeypatch.setattr(suffix_index, "_compiled", compiled)
    monkeypatch.delitem(__import__("sys").modules, "memlm.index.kernels", raising=False)
    index = build(["the cat sat on the mat"])
    assert index.counts(["at"] * 1000).tolist() == [3] * 1000
    assert index.longest_suffixes("a cat " * 1000).lengths.max() == 5


def test_without_numba_large_questions_are_answered_too(
    build: Callable[..., SuffixIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suffix_index, "_compiled", lambda: None)
    monkeypatch.setattr(suffix_index, "WORTH_COMPILING", 0)
    assert build(["the cat"]).counts(["t"] * 10).tolist() == [2] * 10


# -- real text ----------------------------------------------------------------------------------


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["en-books/alice_pg11.txt", "zh-novels/hongloumeng.txt.gz"])
def test_questions_about_a_real_book_are_answered_as_by_looking(
    build, shared_data, asked_in, monkeypatch, name
):
    raw = (shared_data / name).read_bytes()
    whole = (gzip.decompress(raw) if name.endswith("gz") else raw).decode("utf-8-sig")
    parts = [whole[start : start + 4000] for start in range(0, 24_000, 4000)]
    monkeypatch.setattr(store, "LARGEST_SEGMENT", 10_000)
    index, truth = build(parts), BruteForce(parts, 20)
    draw = random.Random(5)
    questions = [q[:20] for q in draw_questions(draw, parts, "\x00", 10_000)]
    keys = [truth.codes(question) for question in questions]
    wanted = [truth.count[key] if key else index.characters for key in keys]
    assert index.counts(questions).tolist() == wanted
    some = slice(0, 1000)
    assert as_counters(index.next_counts(questions[some])) == [
        dict(truth.following[key]) if len(key) < 20 else found
        for key, found in zip(
            keys[some], as_counters(index.next_counts(questions[some])), strict=True
        )
    ]
    text = whole[30_000:31_000] + "".join(questions[:50])
    for match in maximal_matches(index, text):
        words = text[match.start : match.end]
        longer = (text[max(0, match.start - 1) : match.end], text[match.start : match.end + 1])
        assert any(words in part for part in parts)
        assert not any(one in part for one in longer if one != words for part in parts)
