"""CSV, TSV and JSON lines: one row is one text or one problem, and none is lost."""

from __future__ import annotations

import csv
import io
import json
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.collect import CollectConfig, Limits, Reading, normalise_text, read_file
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem, SourceText

Item = SourceText | SourceProblem | SourceNote


def read(tmp_path: Path, data: str | bytes, name: str = "rows.csv", **options: Any) -> list[Item]:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(read_file(path, Reading(config=CollectConfig(**options))))


def texts(items: Iterable[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, SourceText)]


def problems(items: Iterable[Item]) -> list[tuple[str, int | None]]:
    return [(item.code, item.position) for item in items if isinstance(item, SourceProblem)]


def refusal(
    tmp_path: Path, data: str | bytes, name: str = "rows.csv", **options: Any
) -> InputError:
    with pytest.raises(InputError) as caught:
        read(tmp_path, data, name, **options)
    return caught.value


# -- columns ------------------------------------------------------------------------------------


def test_row_becomes_a_text_with_label_key_and_fields(tmp_path: Path) -> None:
    (item,) = read(tmp_path, "id,text,label,stars\n7,a film,good,4\n")
    assert item == SourceText(
        text="a film", position=2, key="7", label="good", fields={"stars": "4"}
    )


@pytest.mark.parametrize("header", ["text", "Text", "TEXT", "content", "review", "文本", "内容"])
def test_text_column_is_known_by_its_name(tmp_path: Path, header: str) -> None:
    assert texts(read(tmp_path, f"number,{header},note\n1,a film,seen long long ago\n")) == [
        "a film"
    ]


def test_byte_order_mark_is_not_part_of_the_first_header(tmp_path: Path) -> None:
    assert texts(read(tmp_path, b'\xef\xbb\xbf"text",label\na,b\n')) == ["a"]


def test_byte_order_mark_is_taken_away_from_a_named_encoding(tmp_path: Path) -> None:
    found = read(tmp_path, b'\xef\xbb\xbf"text",label\na,b\n', encoding="utf-8")
    assert texts(found) == ["a"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_noticed(tmp_path: Path, delimiter: str) -> None:
    rows = [["text", "label", "n"], ["one, two; three", "x", "1"]]
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(rows)
    assert texts(read(tmp_path, file.getvalue())) == ["one, two; three"]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("text;price\na, b, c, d;1,5\nb, c;2,3\n", ["a, b, c, d", "b, c"]),
        ("text\tlabel\na, b\tx\nc, d, e\ty\n", ["a, b", "c, d, e"]),
        ('text,label\n"a;b;c",x\n"d;e",y\n', ["a;b;c", "d;e"]),
        ('"text",label\n"a\n;b;\n",x\nc,y\n', ["a\n;b;\n", "c"]),
    ],
    ids=["decimal commas", "commas in a text", "semicolons in a text", "line ends in quotes"],
)
def test_delimiter_is_the_one_that_all_rows_have(
    tmp_path: Path, rows: str, expected: list[str]
) -> None:
    assert texts(read(tmp_path, rows)) == expected


def test_delimiter_inside_a_quoted_header_does_not_count(tmp_path: Path) -> None:
    found = read(tmp_path, '"the text, in full, as read";label\na;b\n', label_column="label",
                 text_column="the text, in full, as read")  # fmt: skip
    assert texts(found) == ["a"]


def test_only_column_is_the_text(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "anything\na\nb\n")) == ["a", "b"]


def test_longest_column_is_the_text(tmp_path: Path) -> None:
    rows = "x,y\n" + "1,quite a long text stands here\n" * 3
    _, note, *found = read(tmp_path, rows)
    assert len(texts(found)) == 3
    assert note == SourceNote(code="text_guessed", values={"path": "rows.csv", "text": "y"})


def test_text_column_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    error = refusal(tmp_path, "x,y\nabcde,fghij\n")
    assert error.code == "text_column_unknown"
    assert "x, y" in error.message


@pytest.mark.parametrize("option", ["text_column", "label_column", "id_column"])
def test_missing_column_lists_the_columns(tmp_path: Path, option: str) -> None:
    error = refusal(tmp_path, "text,label\na,b\n", **{option: "price"})
    assert error.code == "column_missing"
    assert "text, label" in error.message


@pytest.mark.parametrize("wish", ["txet", "Txt", "LABLE"])
def test_misspelt_column_gets_a_suggestion(tmp_path: Path, wish: str) -> None:
    error = refusal(tmp_path, "Text,Label\na,b\n", text_column=wish)
    assert error.code == "column_misspelt"
    assert error.values["known"] in ("Text", "Label")
    assert str(error.values["known"]) in error.hint


@pytest.mark.parametrize("wish", ["Text", "TEXT", "1", "#1"])
def test_column_is_found_in_any_case_and_by_number(tmp_path: Path, wish: str) -> None:
    assert texts(read(tmp_path, "text,label\na,b\n", text_column=wish)) == ["a"]


def test_repeated_column_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "text,label,text\na,b,c\n").code == "columns_repeated"


def test_unnamed_columns_of_a_spreadsheet_are_numbered(tmp_path: Path) -> None:
    (item,) = read(tmp_path, "text,label,,\na,b,,c\n")
    assert isinstance(item, SourceText)
    assert item.fields == {"#3": "", "#4": "c"}


@pytest.mark.parametrize("data", ["", "\n", "\n\n"], ids=["nothing", "a line end", "two"])
def test_empty_table_is_refused(tmp_path: Path, data: str) -> None:
    assert refusal(tmp_path, data).code == "file_empty"


def test_header_alone_gives_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "text,label\n") == []


def test_table_without_header_numbers_its_columns(tmp_path: Path) -> None:
    data = '"3","Title","a text, with a comma"\n"4","Other","and another"\n'
    first, second = read(tmp_path, data, no_header=True, text_column="3", label_column="#1")
    assert first == SourceText(
        text="a text, with a comma", position=1, label="3", fields={"#2": "Title"}
    )
    assert isinstance(second, SourceText)


def test_label_of_a_table_without_header_is_found_and_said(tmp_path: Path) -> None:
    rows = "".join(f'{n % 2},"a text of some length, number {n}"\n' for n in range(20))
    note, *found = read(tmp_path, rows, no_header=True)
    assert isinstance(note, SourceNote)
    assert note.values == {"path": "rows.csv", "text": "#2", "label": "#1"}
    assert {item.label for item in found if isinstance(item, SourceText)} == {"0", "1"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rows.tsv", "one text\t0\nanother text\t1\n"),
        ("rows.tsv", "to label\tone\nto label\ttwo\nto label\tthree\n"),
        ("rows.csv", '"3","Title","a text"\n"4","Other","and another"\n'),
        ("rows.csv", "x," + "a long text " * 20 + "\ny,b\n"),
        ("rows.csv", 'x,"two\nlines"\ny,b\n'),
    ],
    ids=["number", "repeated", "label first", "long", "lines"],
)
def test_data_in_the_place_of_the_header_is_noticed(tmp_path: Path, name: str, data: str) -> None:
    error = refusal(tmp_path, data, name)
    assert error.code == "header_is_data"
    assert "--no-header" in error.hint


@pytest.mark.parametrize(
    ("data", "column"),
    [("text,2019\na,5\n", None), ("words,2019\na,5\n", "words"), ("words,2019\na,5\n", "2019")],
    ids=["known name", "named", "named number"],
)
def test_header_with_a_number_in_it_is_a_header(
    tmp_path: Path, data: str, column: str | None
) -> None:
    options = {} if column is None else {"text_column": column}
    assert len(texts(read(tmp_path, data, **options))) == 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("Emma went home\nOlivia stayed\nAva left\n", ["header_taken"]),
        ("words,mood\nsome words here,x\nsome more,y\n", ["header_taken", "text_guessed"]),
        ("text\nEmma went home\n", []),
        ("id,words\n1,Emma went home\n", ["text_guessed"]),
    ],
    ids=["one column", "two columns", "known text", "known id"],
)
def test_row_that_is_taken_for_the_header_is_said(
    tmp_path: Path, data: str, expected: list[str]
) -> None:
    found = read(tmp_path, data)
    assert [item.code for item in found if isinstance(item, SourceNote)] == expected


@pytest.mark.parametrize("option", [{"no_header": True}, {"text_column": "EMMA WENT HOME"}])
def test_header_that_people_know_of_is_not_said(tmp_path: Path, option: dict[str, Any]) -> None:
    found = read(tmp_path, "Emma went home\nOlivia stayed\n", **option)
    assert not any(isinstance(item, SourceNote) for item in found)


def test_columns_without_end_are_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, "text," + ",".join(map(str, range(10**6))) + "\na\n")
    assert (error.code, error.values["found"]) == ("too_many_columns", 10**6 + 1)


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_row_of_cells_without_end_costs_no_other(tmp_path: Path, ending: str) -> None:
    delimiter = "," if ending == "csv" else "\t"
    wide, long = delimiter * 20_000, f'"{delimiter * 20_000}end"'
    rows = [f"text{delimiter}n", f"one{delimiter}1", wide, f"{long}{delimiter}2", ""]
    found = read(tmp_path, "\n".join(rows), f"rows.{ending}")
    assert [text[-3:] for text in texts(found)] == ["one", "end"]
    assert problems(found) == [("too_many_columns", 3)]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_row_of_cells_without_end_is_not_split(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    delimiter = "," if ending == "csv" else "\t"
    path.write_text(f"text{delimiter}n\none{delimiter}1\n" + delimiter * (1 << 22) + "\n")
    tracemalloc.start()
    found = list(read_file(path, Reading(config=CollectConfig())))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert problems(found) == [("too_many_columns", 3)]
    assert peak < 1 << 26


def test_list_of_columns_is_cut(tmp_path: Path) -> None:
    header = ",".join(f"column {n} " + "x" * 60 for n in range(900))
    assert len(refusal(tmp_path, header + "\n" + ",".join("a" * 900) + "\n").message) < 2000


# -- rows ---------------------------------------------------------------------------------------


def test_quoted_field_may_hold_line_ends_and_quotes(tmp_path: Path) -> None:
    found = read(tmp_path, 'text,label\n"one\r\n""two""\n",x\nthree,y\n')
    assert texts(found) == ['one\n"two"\n', "three"]
    assert [item.position for item in found if isinstance(item, SourceText)] == [2, 5]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_line_ends_of_all_kinds_are_read(tmp_path: Path, end: str) -> None:
    found = read(tmp_path, end.join(["text,label", "a,x", "b,y", ""]))
    assert texts(found) == ["a", "b"]


def test_mixed_line_ends_are_read(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "text,label\r\na,x\nb,y\rc,z\r\n")) == ["a", "b", "c"]


def test_row_twice_is_two_texts(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "text,label\na,x\na,x\n")) == ["a", "a"]


def test_table_without_labels_has_none(tmp_path: Path) -> None:
    (item,) = read(tmp_path, "text,stars\na,5\n")
    assert isinstance(item, SourceText)
    assert item.label is None


def test_table_in_latin_1_is_read(tmp_path: Path) -> None:
    rows = "text,label\nOù êtes-vous allés l'été dernier ? À l'hôtel.,été\n"
    note, item = read(tmp_path, rows.encode("latin-1"))
    assert isinstance(note, SourceNote)
    assert note.values["encoding"] == "cp1252"
    assert item == SourceText(
        text="Où êtes-vous allés l'été dernier ? À l'hôtel.", position=2, label="été"
    )


def test_table_in_two_encodings_is_refused(tmp_path: Path) -> None:
    row = "C'était l'été où nous étions à l'hôtel, près de la forêt,x\n"
    data = b"text,label\n" + row.encode() + row.encode("latin-1")
    assert refusal(tmp_path, data).code == "encodings_mixed"


def test_text_is_normalised(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "text\ncafe\u0301\n")) == ["café"]


def test_line_separator_does_not_end_a_row(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "text,label\na\u2028b\x85c,x\n")) == ["a\u2028b\x85c"]


def test_rows_of_the_wrong_shape_are_problems_of_their_own(tmp_path: Path) -> None:
    found = read(tmp_path, "text,label\na,x\nb\nc,x,y\n\nd,y\n")
    assert texts(found) == ["a", "d"]
    assert problems(found) == [("row_shape", 3), ("row_shape", 4)]


@pytest.mark.parametrize("text", ["", " ", "\t", "\u3000"], ids=repr)
def test_row_without_text_is_a_problem(tmp_path: Path, text: str) -> None:
    assert problems(read(tmp_path, f'text,label\n"{text}",x\n')) == [("text_empty", 2)]


def test_rare_nul_is_kept_for_the_cleaning(tmp_path: Path) -> None:
    rows = "text,label\na\0b,x\n" + "word word word,y\n" * 20
    assert texts(read(tmp_path, rows))[0] == "a\0b"


def test_large_field_is_read(tmp_path: Path) -> None:
    text = "word " * 60_000  # past the limit that csv has by itself
    assert texts(read(tmp_path, f'text,label\n"{text}",x\n')) == [text]


def test_empty_label_and_key_are_none(tmp_path: Path) -> None:
    (item,) = read(tmp_path, "id,text,label\n,a,\n")
    assert isinstance(item, SourceText)
    assert (item.key, item.label) == (None, None)


def test_formula_is_text(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "text,label\n=cmd(),x\n")) == ["=cmd()"]


def test_quotes_in_tsv_are_ordinary_characters(tmp_path: Path) -> None:
    found = read(tmp_path, 'text\tlabel\n"so he said\tx\n5" pipe\ty\n', "rows.tsv")
    assert texts(found) == ['"so he said', '5" pipe']
    assert [item.code for item in found if isinstance(item, SourceNote)] == ["quotes_kept"]


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_quoted_cells_of_a_spreadsheets_tsv_are_read(tmp_path: Path, end: str) -> None:
    rows = ["text\tlabel", '"one""s\tcell', 'on two lines"\tx', "plain\ty", ""]
    found = read(tmp_path, end.join(rows), "rows.tsv")
    assert texts(found) == ['one"s\tcell\non two lines', "plain"]
    assert [item.position for item in found if isinstance(item, SourceText)] == [2, 4]


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "\ufeffSEP=;", "sep=\t"])
def test_line_that_says_the_delimiter_is_no_row(tmp_path: Path, first: str) -> None:
    cells = first.strip('"')[-1]
    found = read(tmp_path, f"{first}\r\ntext{cells}label\r\n1, 2, 3, 4{cells}x\r\n")
    assert texts(found) == ["1, 2, 3, 4"]
    assert [item.position for item in found if isinstance(item, SourceText)] == [3]


def test_encoding_that_people_do_not_expect_is_noted(tmp_path: Path) -> None:
    data = "文本,标签\n这是一部很好看的电影,好\n".encode("gb18030")
    note, *rest = read(tmp_path, data)
    assert isinstance(note, SourceNote)
    assert (note.code, note.values["encoding"]) == ("encoding_found", "gb18030")
    assert texts(rest) == ["这是一部很好看的电影"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "gb18030", "big5"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_tables_are_read_in(tmp_path: Path, name: str, encoding: str) -> None:
    text = (
        "這是一部很好看的電影，我們都喜歡。"
        if encoding == "big5"
        else "这是一部很好看的电影，我们都喜欢。"
    )
    row = json.dumps({"text": text, "label": "好"}, ensure_ascii=False)
    rows = f"text,label\n{text},好\n" if name.endswith("csv") else f"{row}\n"
    assert texts(read(tmp_path, rows.encode(encoding), name)) == [text]


# -- quotes -------------------------------------------------------------------------------------

GOOD = "one,x\n"
MANY = '"line\nline\nline",x\n'


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        pytest.param('"abc,x\n' + GOOD * 3, 2, id="first line"),
        pytest.param(GOOD * 2 + '"abc,x\n' + GOOD * 2, 4, id="middle"),
        pytest.param(GOOD * 2 + '"abc', 4, id="last line"),
        pytest.param(GOOD * 2 + 'a,"', 4, id="last character"),
        pytest.param(MANY * 2 + '"abc,x\n' + GOOD, 8, id="after fields of many lines"),
        pytest.param(GOOD + '"abc,x\n' + '"def",y\n' * 2, 3, id="closed by the next row's"),
        pytest.param(GOOD + 'abc,"x\n' + 'd,"e"\n', 3, id="second field"),
        pytest.param(GOOD + '"abc"d,x\n' + GOOD, 3, id="letters behind a closing quote"),
        pytest.param(GOOD + '"he said ""no"",x\n' + GOOD * 3, 3, id="doubled quotes inside"),
        pytest.param(GOOD + '"abc\nsaid ""no"" twice\n', 3, id="doubled quotes further on"),
        pytest.param(GOOD + '"abc ""q""\nx,"y\n', 3, id="doubled quotes and a field's begin"),
        pytest.param('"a\nb","c\nd\n' + GOOD, 3, id="opened in a later line of its row"),
        pytest.param(GOOD + '"abc\r\n' + "d,e\r\n" * 3, 3, id="CRLF"),
    ],
)
def test_unbalanced_quote_names_the_line_that_opened_it(
    tmp_path: Path, rows: str, line: int
) -> None:
    error = refusal(tmp_path, "text,label\n" + rows)
    assert (error.code, error.values["line"]) == ("quote_unbalanced", line)


def test_unbalanced_quote_in_the_header_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, 'text,"label\na,b\n').values["line"] == 1


@pytest.mark.parametrize(
    ("field", "limits"),
    [
        ("line\n" * 1500, {}),
        ("word " * 250_000, {}),
        ("word " * 100, {"field_characters": 300}),
        ("word word word\n" * 30, {"field_characters": 300}),
        ("a\n" * 30, {"field_lines": 20}),
    ],
    ids=["1,500 lines", "1 MB", "one line", "many lines", "short lines"],
)
@pytest.mark.parametrize("closes", [True, False])
def test_field_without_end_names_the_line_that_opened_it(
    tmp_path: Path, field: str, limits: dict[str, int], closes: bool
) -> None:
    rows = "text,label\n" + GOOD * 3 + f'"{field}' + ('",x\n' if closes else "\n") + GOOD * 3
    (tmp_path / "rows.csv").write_text(rows)
    reading = Reading(config=CollectConfig(), limits=Limits(**limits))
    with pytest.raises(InputError) as caught:
        list(read_file(tmp_path / "rows.csv", reading))
    assert (caught.value.code, caught.value.values["line"]) == ("field_too_long", 5)


def test_many_fields_of_many_lines_are_one_long_row(tmp_path: Path) -> None:
    rows = "text,label,a,b,c\n" + ",".join(['"' + "line\n" * 15 + '"'] * 5) + "\n"
    (tmp_path / "rows.csv").write_text(rows)
    reading = Reading(config=CollectConfig(), limits=Limits(field_lines=20))
    assert texts(read_file(tmp_path / "rows.csv", reading)) == ["line\n" * 15]


def test_line_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,b\n" + "x" * 5000)
    reading = Reading(config=CollectConfig(), limits=Limits(row_characters=1000))
    with pytest.raises(InputError) as caught:
        list(read_file(tmp_path / "rows.csv", reading))
    assert (caught.value.code, caught.value.values["line"]) == ("line_too_long", 3)


@pytest.mark.parametrize("name", ["rows.tsv", "rows.jsonl"])
def test_row_without_end_costs_no_other(tmp_path: Path, name: str) -> None:
    row = '{"text": "%s"}' if name.endswith("jsonl") else "%s"
    rows = [row % text for text in ("text", "a", "x" * 5000, "b")]
    (tmp_path / name).write_text("\n".join(rows))
    reading = Reading(config=CollectConfig(), limits=Limits(row_characters=1000))
    found = list(read_file(tmp_path / name, reading))
    assert (texts(found)[-2:], problems(found)) == (["a", "b"], [("row_too_long", 3)])


def write_200_mb(path: Path, head: str, tail: str) -> None:
    with path.open("w") as file:
        file.write(head)
        file.writelines("word " * 200_000 for _ in range(200))
        file.write(tail)


@contextmanager
def bounded_time_and_memory() -> Iterator[None]:
    started = time.monotonic()
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("name", "head", "tail", "line"),
    [
        ("rows.tsv", "text\tlabel\n", "\tx\nafter\ty\n", 2),
        ("rows.jsonl", '{"text": "', '"}\n{"text": "after"}\n', 1),
        ("rows.json", '[{"text": "', '"}, {"text": "after"}]', 1),
    ],
    ids=["TSV", "JSON lines", "JSON"],
)
def test_field_of_200_mb_costs_no_other_row_and_little_memory(
    tmp_path: Path, name: str, head: str, tail: str, line: int
) -> None:
    write_200_mb(tmp_path / name, head, tail)
    with bounded_time_and_memory():
        found = list(read_file(tmp_path / name, Reading(config=CollectConfig())))
    (tmp_path / name).unlink()
    assert (texts(found), problems(found)) == (["after"], [("row_too_long", line)])


def test_quoted_field_of_200_mb_is_refused_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_200_mb(path, 'text,label\n"', '",x\nafter,y\n')
    with bounded_time_and_memory(), pytest.raises(InputError) as caught:
        list(read_file(path, Reading(config=CollectConfig())))
    path.unlink()
    assert (caught.value.code, caught.value.values["line"]) == ("line_too_long", 2)


def test_quote_inside_a_plain_field_is_a_character(tmp_path: Path) -> None:
    assert texts(read(tmp_path, 'text,label\n5" pipe,x\n')) == ['5" pipe']


# -- JSON lines ---------------------------------------------------------------------------------


def read_lines(tmp_path: Path, *lines: str, **options: str) -> list[Item]:
    return read(tmp_path, "\n".join(lines), "rows.jsonl", **options)


def test_object_becomes_a_text(tmp_path: Path) -> None:
    (item,) = read_lines(tmp_path, '{"id": 7, "text": "a", "label": 1, "more": [1, null]}')
    assert item == SourceText(text="a", position=1, key="7", label="1", fields={"more": [1, None]})


def test_string_is_a_text(tmp_path: Path) -> None:
    assert texts(read_lines(tmp_path, '"one"', "", '"two"')) == ["one", "two"]


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "half',
        "not json",
        '{"text": "a"} {"text": "b"}',
        '{"text": ' + "9" * 4301 + "}",
        '{"text": "a", "more": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
    ids=["half-written", "words", "two values", "4301 digits", "depth 10^5"],
)
def test_bad_line_is_a_problem_of_its_own(tmp_path: Path, line: str) -> None:
    found = read_lines(tmp_path, '{"text": "before"}', line, '{"text": "after"}')
    assert texts(found) == ["before", "after"]
    assert problems(found) == [("json_line_bad", 2)]


@pytest.mark.parametrize(
    "line", ['{"text": "a", "text": "b"}', '{"text": "a", "more": {"k": 1, "k": 1}}']
)
def test_key_twice_is_a_problem_of_its_row(tmp_path: Path, line: str) -> None:
    found = read_lines(tmp_path, line, '{"text": "c"}')
    assert (texts(found), problems(found)) == (["c"], [("json_key_repeated", 1)])


def test_half_written_last_line_does_not_cost_the_others(tmp_path: Path) -> None:
    found = read_lines(tmp_path, '{"text": "a"}', '{"text": "b"}', '{"text": "c')
    assert (texts(found), problems(found)) == (["a", "b"], [("json_line_bad", 3)])


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.tsv", "rows.json"])
def test_file_cut_within_a_character_does_not_cost_the_rows_before(
    tmp_path: Path, name: str
) -> None:
    rows = {
        "rows.jsonl": '{"text": "月"}\n{"text": "月亮',
        "rows.json": '[{"text": "月"},{"text": "月亮',
        "rows.csv": "text,label\n月,x\n月亮",
        "rows.tsv": "text\tlabel\n月\tx\n月亮",
    }
    note, *found = read(tmp_path, rows[name].encode()[:-1], name)
    assert isinstance(note, SourceNote)
    assert note.code == "character_cut"
    assert (texts(found), len(problems(found))) == (["月"], 1)


@pytest.mark.parametrize("line", ["5", "null", '["a"]', "true"])
def test_line_that_is_no_object_is_a_problem(tmp_path: Path, line: str) -> None:
    assert problems(read_lines(tmp_path, line, '{"text": "a"}')) == [("json_line_no_object", 1)]


@pytest.mark.parametrize("value", ["5", "null", '["a", 1]', '{"a": 1}', "NaN"])
def test_text_that_is_no_string_is_a_problem(tmp_path: Path, value: str) -> None:
    found = read_lines(tmp_path, '{"text": "a"}', f'{{"text": {value}}}')
    assert problems(found) == [("text_is_no_string", 2)]


def test_missing_text_is_a_problem(tmp_path: Path) -> None:
    found = read_lines(tmp_path, '{"text": "a"}', '{"txet": "b"}')
    assert problems(found) == [("text_is_no_string", 2)]


@pytest.mark.parametrize("value", ['["a"]', '{"a": 1}'])
def test_label_that_is_no_word_is_a_problem(tmp_path: Path, value: str) -> None:
    found = read_lines(tmp_path, f'{{"text": "a", "label": {value}}}')
    assert problems(found) == [("label_is_no_word", 1)]


def test_number_as_a_label_is_a_word(tmp_path: Path) -> None:
    found = read_lines(tmp_path, '{"text": "a", "label": 1.5}', '{"text": "b", "label": true}')
    assert [item.label for item in found if isinstance(item, SourceText)] == ["1.5", "True"]


@pytest.mark.parametrize("value", ["null", "NaN", '""', '" "'])
def test_missing_label_is_none(tmp_path: Path, value: str) -> None:
    (item,) = read_lines(tmp_path, f'{{"text": "a", "label": {value}}}')
    assert isinstance(item, SourceText)
    assert item.label is None


@pytest.mark.parametrize(
    "line",
    [
        '{"text": "a\\ud800"}',
        '{"text": "a", "label": "\\ud800"}',
        '{"text": "a", "id": "\\ud800"}',
        '{"text": "a", "more": "\\udfff"}',
        '{"text": "a", "\\udfff": 1}',
    ],
    ids=["text", "label", "key", "field", "name of a field"],
)
def test_lone_surrogate_is_a_problem(tmp_path: Path, line: str) -> None:
    found = read_lines(tmp_path, line, '{"text": "b"}')
    assert (texts(found), problems(found)) == (["b"], [("lone_surrogate", 1)])


def test_surrogate_pair_is_a_character(tmp_path: Path) -> None:
    assert texts(read_lines(tmp_path, '{"text": "\\ud83d\\ude00"}')) == ["😀"]


def test_column_that_the_first_line_lacks_is_found(tmp_path: Path) -> None:
    first, second = read_lines(tmp_path, '{"text": "a"}', '{"text": "b", "label": "x", "id": 3}')
    assert isinstance(first, SourceText)
    assert isinstance(second, SourceText)
    assert (first.label, second.label, second.key) == (None, "x", "3")


def test_first_line_without_text_does_not_cost_the_others(tmp_path: Path) -> None:
    found = read_lines(tmp_path, '{"version": 2}', '{"text": "a"}')
    assert (texts(found), problems(found)) == (["a"], [("text_is_no_string", 1)])


def test_line_separator_does_not_end_a_json_line(tmp_path: Path) -> None:
    assert texts(read_lines(tmp_path, '{"text": "a\u2028b"}')) == ["a\u2028b"]


def test_json_lines_without_any_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "\n\n", "rows.jsonl").code == "file_empty"


# -- nothing is lost ----------------------------------------------------------------------------

# Surrogates cannot be written; rows of one empty field are what csv writes for no row at all.
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(rows=st.lists(st.tuples(words, words), max_size=8), delimiter=st.sampled_from(",;\t|"))
def test_every_row_of_a_table_is_a_text_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows([("text", "label"), *rows])
    data = b"\xef\xbb\xbf" + file.getvalue().encode()
    found = read(tmp_path_factory.mktemp("table"), data)
    assert len(found) == len(rows)
    assert texts(found) == [normalise_text(text) for text, _ in rows if text.strip()]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
lines = values.map(json.dumps) | st.dictionaries(
    st.sampled_from(["text", "label", "id", "more"]), values
).map(json.dumps)  # fmt: skip


@given(lines=st.lists(lines, min_size=1, max_size=6))
def test_every_json_line_is_a_text_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    rows = ['{"text": "first"}', *lines]
    found = read(tmp_path_factory.mktemp("lines"), "\n".join(rows), "rows.jsonl")
    assert [item.position for item in found if not isinstance(item, SourceNote)] == list(
        range(1, len(rows) + 1)
    )
