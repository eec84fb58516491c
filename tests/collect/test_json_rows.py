"""JSON files: arrays read value by value, an object with one list, lines; each fault its row's."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.collect import CollectConfig, Limits, Reading, read_file
from memlm.collect.json_rows import JsonStream
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem, SourceText

Items = list[SourceText | SourceProblem | SourceNote]
DEEP = "[" * 100_000 + "]" * 100_000


def read(tmp_path: Path, text: str, *, most: int = 1 << 25, **options: str) -> Items:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    limits = Limits(row_characters=most)
    return list(read_file(path, Reading(config=CollectConfig(**options), limits=limits)))


def texts(found: Items) -> list[str]:
    return [item.text for item in found if isinstance(item, SourceText)]


def problems(found: Items) -> list[tuple[str, int | None]]:
    return [(item.code, item.position) for item in found if isinstance(item, SourceProblem)]


@pytest.mark.parametrize(
    "text",
    [
        '[{"text": "a"}, {"text": "b"}]',
        '["a", "b"]',
        '{"data": [{"text": "a"}, {"text": "b"}]}',
        '{"version": 2, "data": [{"text": "a"}, {"text": "b"}], "tags": ["x"]}',
        '{"data": ["a", "b"]}',
        '{"text": "a"}\n{"text": "b"}\n',
        '"a"\n\n"b"\n',
        '\ufeff[\n {"text": "a"},\n {"text": "b"}\n]\n',
    ],
    ids=["array", "strings", "object", "described", "object of strings", "lines", "string lines",
         "mark"],
)  # fmt: skip
def test_json_file_gives_its_rows(tmp_path: Path, text: str) -> None:
    assert texts(read(tmp_path, text)) == ["a", "b"]


def test_position_in_an_array_is_the_number_of_the_value(tmp_path: Path) -> None:
    found = read(tmp_path, '[{"text": "a"},\n\n\n{"text": "b", "id": 7}]')
    assert [item.position for item in found if isinstance(item, SourceText)] == [1, 2]


def test_object_with_a_text_is_one_text(tmp_path: Path) -> None:
    (item,) = read(tmp_path, '{"text": "a", "tags": ["x", "y"]}')
    assert item == SourceText(text="a", position=1, fields={"tags": ["x", "y"]})


def test_object_with_several_lists_asks_which(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, '{"train": [{"text": "a"}], "test": [{"text": "b"}]}')
    assert caught.value.code == "json_many_lists"
    assert "train, test" in caught.value.message


@pytest.mark.parametrize("text", ["[]", "[ ]", '{"data": []}'])
def test_file_without_values_is_empty(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert caught.value.code == "file_empty"


@pytest.mark.parametrize("text", ['{"text": "a"', "words", '{"a": 1} and more'])
def test_file_that_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert caught.value.code == "json_no_rows"


def test_unknown_keys_are_named(tmp_path: Path) -> None:
    poem = {"id": "a" * 36, "author": "李白", "paragraphs": ["床前明月光", "疑是地上霜"]}
    with pytest.raises(InputError) as caught:
        read(tmp_path, json.dumps([poem]))
    assert caught.value.code == "text_column_unknown"
    assert "author, paragraphs" in caught.value.message


def test_named_list_of_strings_is_one_text_of_lines(tmp_path: Path) -> None:
    (item,) = read(tmp_path, '[{"paragraphs": ["a", "b"], "n": 1}]', text_column="paragraphs")
    assert item == SourceText(text="a\nb", position=1, fields={"n": 1})


@pytest.mark.parametrize("key", ["a", None])
def test_named_key_of_one_object_is_its_text(tmp_path: Path, key: str | None) -> None:
    found = read(
        tmp_path,
        '{"a": ["x", "y"], "list": [{"text": "z"}]}',
        **({"text_column": key} if key else {}),
    )
    assert texts(found) == (["x\ny"] if key else ["z"])


def test_long_string_is_the_text_beside_short_lists(tmp_path: Path) -> None:
    rows = [{"words": "a text of some length", "tags": ["x"], "n": str(n)} for n in range(3)]
    assert len(texts(read(tmp_path, json.dumps(rows)))) == 3


def test_list_of_strings_that_nobody_named_is_a_problem(tmp_path: Path) -> None:
    assert problems(read(tmp_path, '[{"text": ["a", "b"]}]')) == [("text_is_list", 1)]


@pytest.mark.parametrize("value", ["[1, 2]", "[]", '["a", null]'])
def test_list_of_other_things_is_no_text(tmp_path: Path, value: str) -> None:
    found = read(tmp_path, f'[{{"text": {value}}}]', text_column="text")
    assert problems(found) == [("text_is_no_string", 1)]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ('{"text": "a", "text": "b"}', "json_key_repeated"),
        ('{"text": "a", "more": {"k": 1, "k": 2}}', "json_key_repeated"),
        ('{"text": ' + "9" * 4301 + "}", "json_line_bad"),
        ("9" * 4301, "json_line_bad"),
        ('{"text": "x", "more": ' + DEEP + "}", "json_line_bad"),
        ('{"text": "a\\ud800"}', "lone_surrogate"),
        ('{"text": NaN}', "text_is_no_string"),
        ("5", "json_line_no_object"),
        ('{"text": "[,]}\\"\\\\", "n": ' + "9" * 4301 + "}", "json_line_bad"),
    ],
    ids=["key twice", "inner key twice", "4301 digits", "digits alone", "depth 10^5", "surrogate",
         "NaN", "number", "brackets in a string"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["array", "lines"])
def test_fault_of_a_value_costs_no_other(tmp_path: Path, value: str, code: str, form: str) -> None:
    rows = ['{"text": "before"}', value, '{"text": "after"}']
    found = read(tmp_path, "\n".join(rows) if form == "lines" else f"[{', '.join(rows)}]")
    assert (texts(found), problems(found)) == (["before", "after"], [(code, 2)])


@pytest.mark.parametrize(
    "tail",
    ['{"text": "c', '{"text": "c"}', '{"text": "c"},', "", '{"text": c}]', '{"text": "c"}}'],
    ids=["in a string", "no bracket", "after a comma", "nothing", "no value", "wrong bracket"],
)
def test_broken_end_of_an_array_does_not_cost_the_others(tmp_path: Path, tail: str) -> None:
    found = read(tmp_path, '[{"text": "a"}, {"text": "b"}, ' + tail)
    assert texts(found)[:2] == ["a", "b"]
    assert [code for code, _ in problems(found)] == ["json_broken"]


@pytest.mark.parametrize("depth", [101, 900, 970, 990, 1000])
@pytest.mark.parametrize("key", ["text", "words"], ids=["known text", "guessed text"])
def test_field_that_is_nested_too_deep_costs_no_other_row(
    tmp_path: Path, depth: int, key: str
) -> None:
    deep = f'{{"{key}": "a", "more": {"[" * depth}{"]" * depth}}}'
    found = read(tmp_path, f'{deep}\n{{"{key}": "b"}}\n')
    assert texts(found) == ["b"]
    assert {code for code, _ in problems(found)} <= {"field_too_deep", "json_line_bad"}


def test_field_that_is_nested_is_kept(tmp_path: Path) -> None:
    (item,) = read(tmp_path, '{"text": "a", "more": ' + "[" * 99 + "]" * 99 + "}")
    assert isinstance(item, SourceText)


def test_value_that_is_too_long_is_a_problem_of_its_own(tmp_path: Path) -> None:
    rows = ["a", "x" * 300_000, "b"]
    found = read(tmp_path, json.dumps(rows), most=1000)
    assert (texts(found), problems(found)) == (["a", "b"], [("row_too_long", 2)])


def test_object_larger_than_a_row_is_read_from_its_list(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}"} for number in range(9000)]
    value = {"about": {"n": [1, 2]}, "data": rows, "end": None}
    found = read(tmp_path, json.dumps(value, indent=1), most=1000)
    assert texts(found) == [row["text"] for row in rows]


@pytest.mark.parametrize(
    "rest", ['\n["c", "d"]', "\n]", " and more"], ids=["array", "bracket", "words"]
)
def test_what_follows_the_array_is_a_problem(tmp_path: Path, rest: str) -> None:
    found = read(tmp_path, '["a","b"]' + rest)
    assert (texts(found), problems(found)) == (["a", "b"], [("json_broken", 3)])


@pytest.fixture(params=[1 << 25, 50], ids=["read whole", "read in blocks"])
def most(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_keys_beside_the_list_are_named(tmp_path: Path, most: int) -> None:
    text = '{"summary": "a long text", "rows": [{"text": "a"}, {"text": "b"}], "n": 1}'
    found = read(tmp_path, text + " " * 50, most=most)
    assert texts(found) == ["a", "b"]
    (note,) = (item for item in found if isinstance(item, SourceNote))
    assert (note.code, note.values["found"]) == ("keys_left_out", "summary, n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"tags": [1, 2], "rows": [{"text": "a"}]}', ["a"]),
        ('{"rows": [null, {"text": "a"}], "tags": ["x"]}', ["a"]),
        ('{"a": [{"text": "x"}], "b": [{"text": "y"}]}', "json_many_lists"),
        ('{"a": [1], "a": [2], "rows": [{"text": "x"}]}', "json_key_repeated"),
        ('{"rows": [{"text": "a"}], "end": ', ["a"]),
        ('{"rows": [{"text": "a"}, {"text"', ["a"]),
        ('{"rows": [{"text": "a"}]} more', ["a"]),
        ('{"rows": [{"text": "a"}, {"n": 1, "n": 2}]}', ["a"]),
    ],
    ids=["list beside", "list of objects", "two lists", "key twice", "cut after", "cut within",
         "more after", "fault of a row"],
)  # fmt: skip
def test_large_and_small_objects_follow_one_rule(
    tmp_path: Path, most: int, text: str, expected: object
) -> None:
    if isinstance(expected, list):
        assert texts(read(tmp_path, text + "\n" * 50, most=most)) == expected
        return
    with pytest.raises(InputError) as caught:
        read(tmp_path, text + "\n" * 50, most=most)
    assert caught.value.code == expected


def test_text_of_an_object_that_is_too_long_is_said_to_be(tmp_path: Path) -> None:
    found = read(tmp_path, json.dumps({"text": "x" * 300_000}), most=1000)
    assert problems(found) == [("row_too_long", 1)]


def test_stream_holds_a_block_and_not_the_file() -> None:
    class Endless(io.StringIO):
        asked = 0

        def read(self, size: int | None = -1, /) -> str:
            self.asked = max(self.asked, size or 0)
            return '{"text": "word"}, ' * 4000

    file = Endless()
    stream = JsonStream(file, most=1 << 20)
    for _ in range(100_000):
        stream.value()
        stream.take()
    assert file.asked < 1 << 18


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(values=st.lists(json_values, max_size=6), indent=st.sampled_from([None, 1]))
def test_stream_reads_and_skips_what_json_reads(values: list[object], indent: int | None) -> None:
    text = json.dumps(values, indent=indent)
    for skips in (False, True):
        stream = JsonStream(io.StringIO(text), most=10**6)
        assert stream.take() == "["
        found = []
        for number in range(len(values)):
            if skips and number % 2:
                stream.skip()
                found.append(values[number])
            else:
                found.append(stream.value())
            assert stream.take() == ("," if number < len(values) - 1 else "]")
        assert found == values


# -- real files ---------------------------------------------------------------------------------


def test_byte_order_mark_in_a_key_is_taken_away(tmp_path: Path) -> None:
    (item,) = read(tmp_path, '[{"\ufeffexample_id": "1", "text": "a"}]')
    assert isinstance(item, SourceText)
    assert item.fields == {"example_id": "1"}
