"""`memlm do`: from a table of pairs to answers, as people and programs read them."""

from __future__ import annotations

import pytest

TRAIN = ("--task", "translate", "--tokenizer", "word", "--network", "lstm", "--hidden-width", "8")


@pytest.fixture
def pairs(tmp_path):
    table = tmp_path / "pairs.csv"
    rows = [f"dog number {number},Hund Nummer {number}" for number in range(30)]
    table.write_text("\n".join(["en,de", *rows]) + "\n", encoding="utf-8")
    return table


@pytest.fixture
def known(memlm, tmp_path, pairs):
    columns = ("--source-column", "en", "--target-column", "de")
    found = memlm("train", tmp_path / "ws", pairs, *TRAIN, *columns, "--steps", "3")
    assert found.code == 0, found.err
    return tmp_path / "ws"


def test_json_has_every_answer_with_its_examples(memlm, known):
    found = memlm("do", known, "dog number 3", "dog", "--json", "--examples", "2").json
    assert (found["task"], found["model"]) == ("translate", "lstm-1")
    assert [one["asked"] for one in found["answers"]] == ["dog number 3", "dog"]
    for one in found["answers"]:
        assert one.keys() >= {"text", "probabilities", "others", "examples", "left_out"}
        assert len(one["examples"]) == 2
        assert one["examples"][0].keys() == {
            "document_id", "source", "asked", "answer", "score"
        }  # fmt: skip


def test_people_see_the_answer_and_where_it_may_be_from(memlm, known):
    found = memlm("do", known, "dog number 3")
    assert found.code == 0
    assert "Nearest training examples" in found.out
    assert "pairs.csv:" in found.out
    assert "→ Hund Nummer" in found.out
    chinese = memlm("do", known, "dog number 3", "--language", "zh")
    assert "最接近的训练例子" in chinese.out


def test_a_batch_is_read_by_its_column_and_bad_rows_are_said(memlm, known, tmp_path):
    batch = tmp_path / "batch.csv"
    batch.write_text("id,en\n1,dog\n2,\n3,number\n", encoding="utf-8")
    found = memlm("do", known, "--batch", batch, "--json")
    assert [one["asked"] for one in found.json["answers"]] == ["dog", "number"]
    assert "3" in found.err


def test_standard_input_has_a_question_a_line(memlm, known, say):
    say("dog\n\nnumber\n")
    found = memlm("do", known, "--json")
    assert [one["asked"] for one in found.json["answers"]] == ["dog", "number"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("dog", "--batch", "x.csv"), "options_exclude"),
        (("dog", "--examples", "-1"), "value_outside"),
        (("dog", "--recall", "1000"), "value_outside"),
        ((" ",), "source_empty"),
        (("--batch", "nowhere.csv"), "source_missing"),
    ],
)
def test_mistakes_are_one_line(memlm, known, arguments, code):
    found = memlm("do", known, *arguments, "--json")
    assert found.code == 2
    assert found.error["code"] == code


def test_a_column_that_is_not_there_is_no_training(memlm, tmp_path, pairs):
    found = memlm("train", tmp_path / "ws", pairs, *TRAIN, "--source-column", "fr", "--json")
    assert found.code == 2
    assert found.error["code"] == "column_missing"


def test_a_training_says_what_to_do_with_its_task(memlm, tmp_path, pairs):
    columns = ("--source-column", "en", "--target-column", "de")
    found = memlm("train", tmp_path / "ws", pairs, *TRAIN, *columns, "--steps", "2")
    assert "memlm do" in found.out
    assert "memlm generate" not in found.out
    assert not (tmp_path / "ws" / "models" / "lstm-1" / "blend.json").exists()
