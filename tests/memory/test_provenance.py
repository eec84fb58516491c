"""Recited, recombined, new: a planted copy is found, and chance is not called memory."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.index import Entry, SegmentEntry, SuffixIndex, open_index, refresh_index
from memlm.memory import shares_of, trace_spans
from memlm.records import Trace

COMMON = """
the of and to a in that he was it his with is for as had you not be her on at by which have or from
this him but all she they were my are me one their so an said them we who would been
"""
WORDS = COMMON.split()
HANZI = (
    "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可"
)
PLANTED = "Nobody expects a purple elephant in the vestibule."
POEM = "床前明月光疑是地上霜举头"


def write(rng: random.Random, words: list[str], number: int, glue: str) -> str:
    return glue.join(rng.choice(words) for _ in range(number))


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    rng = random.Random(1)
    english = {f"en{n}": write(rng, WORDS, 800, " ") for n in range(4)}
    chinese = {f"zh{n}": write(rng, list(HANZI), 1500, "") for n in range(4)}
    english["en1"] += f" {PLANTED} " + write(rng, WORDS, 50, " ")
    chinese["zh2"] += POEM + "然后"
    lines = {"lines": ("-" * 60 + "\n" + write(rng, WORDS, 8, " ") + "\n") * 20}
    return english | chinese | lines


@pytest.fixture(scope="module")
def index(texts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> SuffixIndex:
    folder: Path = tmp_path_factory.mktemp("index")
    refresh_index(
        folder,
        digest="1",
        entries={identity: Entry("c", len(text)) for identity, text in texts.items()},
        read=lambda ids: (SegmentEntry(identity, "c", texts[identity]) for identity in ids),
    )
    return open_index(folder)


def trace(index: SuffixIndex, text: str, **options: int) -> Trace:
    return trace_spans(index, text, source_of=lambda identity: f"{identity}.txt", **options)


def kinds(found: Trace) -> set[str]:
    return {span.kind for span in found.spans}


def test_planted_copy_is_one_recited_span_with_its_place(
    index: SuffixIndex, texts: dict[str, str]
) -> None:
    text = f"XYZ {PLANTED[:-1]}! XYZ"
    (span,) = [span for span in trace(index, text).spans if span.kind == "recited"]
    assert PLANTED[:-1] in span.text
    assert text[span.start : span.end] == span.text
    assert span.count == 1
    (source,) = span.sources
    assert (source.document_id, source.source) == ("en1", "en1.txt")
    assert texts["en1"][source.start : source.end] == span.text


def test_wholly_copied_text_is_wholly_recited(index: SuffixIndex) -> None:
    found = trace(index, PLANTED)
    assert (found.recited_share, found.recombined_share, found.new_share) == (1.0, 0.0, 0.0)


def test_text_of_other_characters_is_wholly_new(index: SuffixIndex) -> None:
    found = trace(index, "ЖЗИЙКЛМНОПРСТУФХЦЧШЩ" * 3)
    assert (found.new_share, found.spans) == (1.0, ())


def test_empty_text_is_new(index: SuffixIndex) -> None:
    found = trace(index, "")
    assert (found.characters, found.new_share, found.spans) == (0, 1.0, ())


@pytest.mark.parametrize("number", [3, 24, 40, 60])
def test_run_of_dashes_is_not_recited(index: SuffixIndex, number: int) -> None:
    assert "recited" not in kinds(trace(index, "-" * number))


def test_common_words_are_not_recited(index: SuffixIndex) -> None:
    assert "recited" not in kinds(trace(index, "of the and to a in that"))


def test_twelve_hanzi_count_as_twenty_four_characters(index: SuffixIndex) -> None:
    assert len(POEM) == 12
    assert kinds(trace(index, POEM)) == {"recited"}


def test_eleven_hanzi_are_too_few(index: SuffixIndex) -> None:
    assert kinds(trace(index, POEM[:11])) == {"recombined"}


def test_twenty_four_letters_are_enough_and_twenty_three_are_not(index: SuffixIndex) -> None:
    assert kinds(trace(index, PLANTED[:24])) == {"recited"}
    assert kinds(trace(index, PLANTED[:23])) == {"recombined"}


def test_recited_weighs_more_where_spans_overlap(index: SuffixIndex) -> None:
    found = trace(index, f"purple elephant {PLANTED} purple elephant")
    recited = [span for span in found.spans if span.kind == "recited"]
    covered = {place for span in recited for place in range(span.start, span.end)}
    assert found.recited_share == pytest.approx(len(covered) / found.characters)


def test_number_of_sources_is_bounded_and_of_places_is_not(index: SuffixIndex) -> None:
    words = "-" * 10 + "\n"
    found = trace(index, PLANTED + "\n" + words, sources_per_span=2)
    assert all(len(span.sources) <= min(2, span.count) for span in found.spans)


def test_expectation_falls_as_a_span_grows(index: SuffixIndex) -> None:
    longer, shorter = (trace(index, PLANTED[:length]).spans[0] for length in (40, 12))
    assert longer.expected_by_chance < shorter.expected_by_chance


@given(
    st.lists(
        st.sampled_from([*WORDS[:8], PLANTED, POEM, "-" * 30, "他们", "zzz", "😀", "\n", " "]),
        max_size=8,
    )
)
def test_shares_sum_to_one_and_spans_are_true(
    index: SuffixIndex, texts: dict[str, str], words: list[str]
) -> None:
    text = "".join(words)
    found = trace(index, text)
    assert found.recited_share + found.recombined_share + found.new_share == pytest.approx(1)
    assert min(found.recited_share, found.recombined_share, found.new_share) >= 0
    for span in found.spans:
        assert text[span.start : span.end] == span.text
        assert span.count >= len(span.sources) >= 1
        for source in span.sources:
            assert texts[source.document_id][source.start : source.end] == span.text


# -- against the slow plain twins ----------------------------------------------------------------


def occurrences(texts: dict[str, str], words: str) -> list[tuple[str, int]]:
    return [
        (identity, place)
        for identity, text in texts.items()
        for place in range(len(text) - len(words) + 1)
        if text.startswith(words, place)
    ]


def maximal_spans(texts: dict[str, str], text: str) -> list[tuple[int, int]]:
    """Return what no longer span around it replaces, by trying them all."""
    longest: list[tuple[int, int]] = []
    for start in range(len(text)):
        ends = range(len(text), start, -1)
        end = next((e for e in ends if any(text[start:e] in own for own in texts.values())), start)
        if end > start and end > max((reached for _, reached in longest), default=0):
            longest.append((start, end))
    return longest


def expected_by_chance(texts: dict[str, str], words: str) -> float:
    """Return N * prod p(c | the three before it), count by count."""

    def count(part: str) -> int:
        return len(occurrences(texts, part)) if part else sum(map(len, texts.values()))

    total = float(count(""))
    symbols = len(set("".join(texts.values())))
    for place, character in enumerate(words):
        probability = 1 / (symbols + 1)
        for order in range(min(3, place) + 1):
            context = words[place - order : place]
            probability = (count(context + character) + 4 * probability) / (count(context) + 4)
        total *= probability
    return total


SMALL = {
    "a": "the cat sat on the mat, and the cat saw the rat: " + PLANTED,
    "b": "明月几时有，把酒问青天。" + POEM + "the cat sat",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SuffixIndex:
    folder = tmp_path_factory.mktemp("small")
    refresh_index(
        folder,
        digest="1",
        entries={identity: Entry("c", len(text)) for identity, text in SMALL.items()},
        read=lambda ids: (SegmentEntry(identity, "c", SMALL[identity]) for identity in ids),
    )
    return open_index(folder)


@given(
    st.lists(
        st.sampled_from(["the cat ", "sat on", "明月", POEM, PLANTED, "x", "a purple", "\n", "酒"]),
        min_size=1,
        max_size=6,
    )
)
def test_spans_counts_places_and_chance_equal_brute_force(
    small: SuffixIndex, words: list[str]
) -> None:
    text = "".join(words)
    found = {(span.start, span.end): span for span in trace(small, text).spans}
    chances = {
        (start, end): expected_by_chance(SMALL, text[start:end])
        for start, end in maximal_spans(SMALL, text)
    }
    assert set(found) == {place for place, chance in chances.items() if chance < 1}
    for place, span in found.items():
        places = occurrences(SMALL, span.text)
        assert span.count == len(places)
        listed = {(source.document_id, source.start) for source in span.sources}
        assert listed <= set(places)
        assert len(listed) == min(5, span.count)
        assert span.expected_by_chance == pytest.approx(chances[place])


RARE = {
    "en": re.split(" ", "zebra quietly judge oil hinge winter frozen kettle lamp ivory puzzle no"),
    "zh": list("鲸鱼敲门邮差旧雨伞寄给北极星没签收灯塔锈铃铛"),
}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_planted_copies_are_found_with_precision_and_recall_one(
    index: SuffixIndex, tmp_path: Path, language: str
) -> None:
    """Twenty sentences, each in one document, stand among other words of a text: and only they."""
    rng = random.Random(2)
    glue, words = (" ", WORDS) if language == "en" else ("", list(HANZI))
    sentences = [glue.join(rng.sample(RARE[language], k=12)) for _ in range(20)]
    texts = {}
    for number, sentence in enumerate(sentences):
        before, behind = (write(rng, words, 300, glue) for _ in range(2))
        texts[f"d{number}"] = f"{before}▲{sentence}▼{behind}"
    refresh_index(
        tmp_path,
        digest="1",
        entries={identity: Entry("c", len(text)) for identity, text in texts.items()},
        read=lambda ids: (SegmentEntry(identity, "c", texts[identity]) for identity in ids),
    )
    text, planted = "", set()
    for number, sentence in enumerate(sentences):
        text += f"{write(rng, ['qx', 'vj', 'zw'], 6, '-')}|"
        start = texts[f"d{number}"].index(sentence)
        planted.add((len(text), len(text) + len(sentence), f"d{number}", start))
        text += f"{sentence}|"
    found = {
        (span.start, span.end, source.document_id, source.start)
        for span in trace(open_index(tmp_path), text).spans
        if span.kind == "recited"
        for source in span.sources
    }
    assert found == planted


def test_shares_count_a_character_once_for_its_strongest_kind(index: SuffixIndex) -> None:
    found = trace(index, f"purple elephant {PLANTED} purple elephant ЖЖЖ")
    kinds_of = ["new"] * found.characters
    for kind in ("recombined", "recited"):
        for span in found.spans:
            if span.kind == kind:
                kinds_of[span.start : span.end] = [kind] * (span.end - span.start)
    expected = [kinds_of.count(kind) / found.characters for kind in ("recited", "recombined")]
    assert shares_of(found.spans, found.characters) == pytest.approx(tuple(expected))
    assert found.new_share == pytest.approx(kinds_of.count("new") / found.characters)
