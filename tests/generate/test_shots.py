"""Few-shot prompts: one pattern for the examples and what is asked."""

from __future__ import annotations

import pytest

from memlm.generate import Shot, parse_shots, write_few_shot

ENGLISH = "English: cat\nFrench: chat\n\nEnglish: dog\nFrench: chien\n"
CHINESE = "问：明月何处\n答：床前\n\n\n问：霜在何处\n答：地上\n"


def test_blank_lines_stand_between_examples_and_the_last_line_is_the_output():
    assert parse_shots("\n a\nb\nc\n \n\nd\ne\n") == [Shot("a\nb", "c"), Shot("d", "e")]


def test_an_example_of_one_line_is_none():
    assert parse_shots("a\nb\n\nc\n") == [Shot("a", "b"), None]


def test_a_text_of_nothing_has_no_examples():
    assert parse_shots(" \n\n") == []


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        pytest.param(
            ENGLISH,
            "bird",
            "English: cat\nFrench: chat\n\nEnglish: dog\nFrench: chien\n\nEnglish: bird\nFrench:",
            id="English",
        ),
        pytest.param(
            CHINESE,
            "故乡何处",
            "问：明月何处\n答：床前\n\n问：霜在何处\n答：地上\n\n问：故乡何处\n答：",
            id="Chinese",
        ),
        pytest.param("2+2\n4\n\n3+4\n7", "1+5", "2+2\n4\n\n3+4\n7\n\n1+5\n", id="without leads"),
        pytest.param(
            "Q: a\nyes\n\nR: b\nno", "c", "Q: a\nyes\n\nR: b\nno\n\nc\n", id="leads that differ"
        ),
    ],
)
def test_the_prompt_is_written_as_the_examples_are(text, asked, expected):
    shots = [shot for shot in parse_shots(text) if shot is not None]
    assert write_few_shot(shots, asked).prompt == expected


@pytest.mark.parametrize("asked", ["English: bird", "English:bird"])
def test_a_lead_that_the_prompt_has_is_not_written_twice(asked):
    shots = [shot for shot in parse_shots(ENGLISH) if shot is not None]
    assert write_few_shot(shots, asked).prompt.endswith(f"\n\n{asked}\nFrench:")


def test_an_answer_of_one_line_ends_with_it():
    assert write_few_shot([Shot("a\nb", "c")], "d").stop == "\n"


def test_an_answer_of_several_lines_ends_before_a_blank_one():
    assert write_few_shot([Shot("a", "b\nc"), Shot("d", "e")], "f").stop == "\n\n"


def test_blank_lines_within_a_prompt_do_not_end_its_example():
    few_shot = write_few_shot([Shot("a\n\nb", "c\n \nd")], "e\n\n\nf")
    assert few_shot.prompt == "a\nb\nc\nd\n\ne\nf\n"
