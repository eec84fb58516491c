"""Parquet, Arrow and Feather files, and folders of data sets; pyarrow reads them in batches."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from memlm.collect import CollectConfig, Reading, list_files, read_file
from memlm.errors import InputError, MissingExtraError
from memlm.records import SourceNote, SourceText

pa = pytest.importorskip("pyarrow")
import pyarrow.feather  # noqa: E402
import pyarrow.parquet  # noqa: E402

Items = list[Any]
ROWS = [{"text": f"text {n}", "label": "even" if n % 2 == 0 else "odd", "n": n} for n in range(600)]


def write(path: Path, table: Any) -> Path:
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(table, path)
    elif "file" in path.name:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    else:
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    return path


def read(path: Path, **options: str) -> Items:
    return list(read_file(path, Reading(config=CollectConfig(**options))))


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "stream.arrow", "file.arrow"])
def test_columnar_file_gives_its_rows(tmp_path: Path, name: str) -> None:
    found = read(write(tmp_path / name, pa.Table.from_pylist(ROWS)))
    assert len(found) == 600
    assert found[599] == SourceText(text="text 599", position=600, label="odd", fields={"n": 599})


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "stream.arrow", "file.arrow"])
@pytest.mark.parametrize("damage", ["cut short", "empty", "other bytes"])
def test_damaged_file_is_one_clear_problem(tmp_path: Path, name: str, damage: str) -> None:
    path = write(tmp_path / name, pa.Table.from_pylist(ROWS))
    data = path.read_bytes()
    damaged = {"cut short": data[: len(data) // 2], "empty": b"", "other bytes": b"x" * 999}
    path.write_bytes(damaged[damage])
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.code == "table_damaged"


@pytest.mark.parametrize("name", ["a.feather", "stream.arrow", "file.arrow"])
def test_damaged_offset_does_not_lead_out_of_the_file(tmp_path: Path, name: str) -> None:
    table = pa.table({"text": ["a text", "another text", "a third"]})
    path = tmp_path / name
    if name.endswith("feather"):
        pyarrow.feather.write_feather(table, path, compression="uncompressed")
    else:
        write(path, table)
    offset, damaged = (18).to_bytes(4, "little"), (1 << 30).to_bytes(4, "little")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\x06\0\0\0" + offset, b"\x06\0\0\0" + damaged))
    assert path.read_bytes() != data
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.code == "table_damaged"


@pytest.mark.parametrize("name", ["a.parquet", "stream.arrow"])
def test_file_without_rows_is_empty(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        read(write(tmp_path / name, pa.Table.from_pylist(ROWS[:0], schema=pa.schema([
            ("text", pa.string())
        ]))))  # fmt: skip
    assert caught.value.code == "file_empty"


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00+00:00"),
        (Decimal("1.50"), "1.50"),
        (float("nan"), None),
        ([1, 2], [1, 2]),
        ({"a": [1.5]}, {"a": [1.5]}),
        (None, None),
        (True, True),
    ],
    ids=["day", "time", "decimal", "NaN", "list", "struct", "null", "truth"],
)
def test_cell_of_any_type_is_kept_as_json_has_it(
    tmp_path: Path, cell: object, kept: object
) -> None:
    (item,) = read(write(tmp_path / "a.parquet", pa.table({"text": ["a"], "cell": [cell]})))
    assert item.fields == {"cell": kept}
    assert json.loads(json.dumps(item.fields, allow_nan=False)) == {"cell": kept}


def notes_of_labels(**names: object) -> dict[bytes, bytes]:
    features = {name: {"names": found, "_type": "ClassLabel"} for name, found in names.items()}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


@pytest.mark.parametrize("name", ["a.parquet", "stream.arrow"])
def test_label_of_a_data_set_has_its_name(tmp_path: Path, name: str) -> None:
    table = pa.table({"text": ["a", "b", "c", "d", "e"], "label": [0, 1, -1, 7, None]})
    table = table.replace_schema_metadata(notes_of_labels(label=["bad", "good"], other=["x"]))
    found = read(write(tmp_path / name, table))
    assert [item.label for item in found] == ["bad", "good", None, "7", None]


@pytest.mark.parametrize(
    "notes", [b"", b"{", b"[]", b'{"info": 5}', b'{"info": {"features": {"label": 1}}}',
              b'{"info": {"features": {"label": {"_type": "ClassLabel"}}}}']
)  # fmt: skip
def test_notes_of_another_make_leave_the_numbers(tmp_path: Path, notes: bytes) -> None:
    table = pa.table({"text": ["a"], "label": [1]}).replace_schema_metadata({b"huggingface": notes})
    (item,) = read(write(tmp_path / "a.parquet", table))
    assert item.label == "1"


def test_columns_of_bytes_are_left_out_with_a_word(tmp_path: Path) -> None:
    table = pa.table({"text": ["a"], "picture": [{"bytes": b"\x89PNG", "path": "a.png"}]})
    note, item = read(write(tmp_path / "a.parquet", table))
    assert isinstance(note, SourceNote)
    assert (note.code, note.values["found"]) == ("columns_left_out", "picture")
    assert item.fields == {}


@pytest.mark.parametrize("name", ["a.parquet", "a.feather"])
def test_missing_package_is_named_with_what_installs_it(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / name, pa.Table.from_pylist(ROWS))
    monkeypatch.setattr("memlm.runtime.is_installed", lambda package: False)
    with pytest.raises(MissingExtraError) as caught:
        read(path)
    assert "memlm[documents]" in caught.value.hint


def test_misspelt_column_of_parquet_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(write(tmp_path / "a.parquet", pa.Table.from_pylist(ROWS)), text_column="txt")
    assert (caught.value.code, caught.value.values["known"]) == ("column_misspelt", "text")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (pa.timestamp("us"), 2**62, 2**62),
        (pa.timestamp("us", tz="Mars/Olympus"), 5, 5),
        (pa.date32(), 2**30, 2**30),
        (pa.duration("s"), 2**62, 2**62),
        (pa.list_(pa.timestamp("us")), [2**62, None], [2**62, None]),
        (pa.struct({"at": pa.date32()}), {"at": 2**30}, {"at": 2**30}),
        (pa.timestamp("us"), 0, "1970-01-01T00:00:00"),
    ],
    ids=["timestamp", "time zone", "day", "duration", "list", "struct", "ordinary"],
)
def test_moment_that_python_cannot_hold_is_its_number(
    tmp_path: Path, kind: pa.DataType, value: object, expected: object
) -> None:
    table = pa.table({"text": ["a", "b"], "when": pa.array([value, None], kind)})
    first, second = read(write(tmp_path / "a.parquet", table))
    assert isinstance(first, SourceText)
    assert isinstance(second, SourceText)
    assert (first.fields, second.fields) == ({"when": expected}, {"when": None})


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("{bad", "{bad"), ("[1]", [1]), ("[" * 5000, "[" * 5000), (7, 7)],
    ids=["no JSON", "JSON", "deep", "number"],
)
def test_cell_that_is_marked_as_json_and_is_none_is_itself(
    tmp_path: Path, cell: object, expected: object
) -> None:
    marked = pa.field("m", pa.array([cell]).type, metadata={b"memlm": b"json"})
    schema = pa.schema([pa.field("text", pa.string()), marked])
    table = pa.table({"text": ["a"], "m": [cell]}, schema=schema)
    (item,) = read(write(tmp_path / "a.parquet", table))
    assert isinstance(item, SourceText)
    assert item.fields == {"m": expected}


def test_folder_of_a_data_set_is_its_tables(tmp_path: Path) -> None:
    for split in ("train", "test"):
        folder = tmp_path / split
        folder.mkdir()
        write(folder / "data-00000-of-00001.arrow", pa.Table.from_pylist(ROWS[:5]))
        for name in ("dataset_info.json", "state.json"):
            (folder / name).write_text("{}")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    found = {file.relative: file.problem.code if file.problem else None
             for file in list_files(tmp_path)}  # fmt: skip
    assert found == {
        "dataset_dict.json": "dataset_notes",
        "test/data-00000-of-00001.arrow": None,
        "test/dataset_info.json": "dataset_notes",
        "test/state.json": "dataset_notes",
        "train/data-00000-of-00001.arrow": None,
        "train/dataset_info.json": "dataset_notes",
        "train/state.json": "dataset_notes",
    }


def test_copies_beside_the_tables_of_a_data_set_are_left_alone(tmp_path: Path) -> None:
    for name in ("data-00000-of-00001.arrow", "cache-0123456789abcdef.arrow"):
        write(tmp_path / name, pa.Table.from_pylist(ROWS[:5]))
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (tmp_path / "state.json").write_text(json.dumps(state))
    found = {file.relative: file.problem.code if file.problem else None
             for file in list_files(tmp_path)}  # fmt: skip
    assert found == {
        "cache-0123456789abcdef.arrow": "dataset_copy",
        "data-00000-of-00001.arrow": None,
        "state.json": "dataset_notes",
    }


@pytest.mark.parametrize("state", ["[]", "{", '{"_data_files": [{"filename": "gone.arrow"}]}'])
def test_tables_are_read_where_a_state_does_not_name_them(tmp_path: Path, state: str) -> None:
    write(tmp_path / "a.arrow", pa.Table.from_pylist(ROWS[:5]))
    (tmp_path / "state.json").write_text(state)
    assert {file.relative for file in list_files(tmp_path) if not file.problem} == {"a.arrow"}


def test_state_of_another_program_is_read(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('["a text"]')
    assert [file.problem for file in list_files(tmp_path)] == [None]


def test_data_set_as_the_library_saves_it_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.Dataset.from_list(ROWS[:9]).save_to_disk(tmp_path / "set")
    files = [file.path for file in list_files(tmp_path / "set") if file.problem is None]
    assert [item.text for path in files for item in read(path)] == [f"text {n}" for n in range(9)]


@pytest.mark.parametrize("name", ["a.parquet", "a.feather"])
def test_value_that_is_written_once_and_repeated_without_end_stops_the_reading(
    tmp_path: Path, name: str
) -> None:
    places = pa.array([0] * 256, pa.int32())
    column = pa.DictionaryArray.from_arrays(places, pa.array(["x" * 10**6]))
    path = write(tmp_path / name, pa.table({"text": column}))
    assert path.stat().st_size < 10**6
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.code == "unpacks_too_far"
