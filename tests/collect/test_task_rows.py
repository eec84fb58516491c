"""Rows of a task become examples; which columns they have is found, or said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memlm.collect import CollectConfig, Reading, read_file
from memlm.errors import ConfigError, InputError
from memlm.records import SourceNote, SourceProblem, SourceText


@pytest.fixture
def read(tmp_path: Path):
    def read(text: str, name: str = "pairs.csv", **config: object):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return list(read_file(path, Reading(config=CollectConfig(**config))))

    return read


def texts(items) -> list[str]:
    return [item.text for item in items if isinstance(item, SourceText)]


@pytest.mark.parametrize(
    ("header", "config"),
    [
        ("source,target", {"task": "translate"}),
        ("target,source", {"task": "translate", "source_column": "1", "target_column": "2"}),
        ("en,zh", {"task": "translate", "source_column": "en", "target_column": "zh"}),
        ("en,zh", {"task": "translate", "target_column": "zh"}),
        ("text,summary", {"task": "summarise"}),
        ("text,label", {"task": "classify"}),
        ("Text,Category", {"task": "classify"}),
        ("文本,标签", {"task": "classify"}),
        ("text,reply", {"task": "reply"}),
    ],
)
def test_columns_are_found_by_name_or_said(read, header, config):
    assert texts(read(f"{header}\na dog,one\na cat,two\n", **config)) == ["a dog␟one", "a cat␟two"]


def test_other_columns_are_fields_and_the_label_is_none_of_the_document(read):
    found = read("text,label,stars\ngood,yes,5\nbad,no,1\n", task="classify")
    assert [(item.label, item.fields) for item in found] == [
        (None, {"stars": "5"}),
        (None, {"stars": "1"}),
    ]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (",x", "source_empty"),
        ("x,", "target_empty"),
        ("a␟b,x", "mark_in_text"),
        ("x,y,z", "row_shape"),
    ],
)
def test_a_bad_row_is_a_problem_of_its_own(read, row, code):
    found = read(f"source,target\ngood,fine\n{row}\nbad,poor\n", task="translate")
    problems = [(item.code, item.position) for item in found if isinstance(item, SourceProblem)]
    assert problems == [(code, 3)]
    assert texts(found) == ["good␟fine", "bad␟poor"]


@pytest.mark.parametrize("missing", ["--source-column", "--target-column"])
def test_a_column_that_nothing_tells_is_asked_for(read, missing):
    header = "a,b,target" if missing == "--source-column" else "source,b,c"
    with pytest.raises(InputError) as caught:
        read(f"{header}\n1 x,2 y,3 z\n", task="translate")
    assert caught.value.code == "task_column_unknown"
    assert missing in caught.value.message


def test_a_column_that_is_not_there_is_said(read):
    with pytest.raises(InputError) as caught:
        read("en,zh\na,b\n", task="translate", source_column="fr", target_column="zh")
    assert caught.value.code == "column_missing"


def test_lists_in_json_are_lines_and_numbers_are_labels(read):
    rows = [{"text": ["one", "two"], "label": 3}, {"text": "three", "label": None}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    found = read(lines, "rows.jsonl", task="classify")
    assert texts(found) == ["one\ntwo␟3"]
    assert [item.code for item in found if isinstance(item, SourceProblem)] == ["target_empty"]


def test_a_label_that_is_no_number_is_none(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"text": ["one", "two"], "label": [1.5, float("nan")]}), path)
    found = list(read_file(path, Reading(config=CollectConfig(task="classify"))))
    assert texts(found) == ["one␟1.5"]
    assert [item.code for item in found if isinstance(item, SourceProblem)] == ["target_empty"]


@pytest.mark.parametrize("header", ["src,tgt", "prompt,response"])
def test_a_header_that_a_task_knows_is_not_said_to_be_taken(read, header):
    found = read(f"{header}\na dog,one\na cat,two\n", task="reply", target_column="2")
    assert [item.code for item in found if isinstance(item, SourceNote)] == []


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"source_column": "a"}, "task_unsaid"),
        ({"target_column": "a"}, "task_unsaid"),
        ({"task": "reply", "text_column": "a"}, "options_exclude"),
        ({"task": "reply", "label_column": "a"}, "options_exclude"),
    ],
)
def test_options_that_do_not_go_together_are_refused(config, code):
    with pytest.raises(ConfigError) as caught:
        CollectConfig(**config).check()
    assert caught.value.code == code
