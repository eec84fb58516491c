"""Recited, recombined, new: a planted copy is found, and chance is not called memory."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.index import Entry, SegmentEntry, SuffixIndex, open_index, refresh_index
from memlm.memory import trace_spans
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
