"""Where everything of one workspace lies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memlm.errors import CorruptArtefactError, InputError, NotFoundError, ResourceError
from memlm.storage import seal_files, write_json
from memlm.workspace import SCHEMA_VERSION, Workspace, open_workspace, read_run

HEX = "0123456789abcdef" * 2


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "mylm", create=True)


def test_missing_workspace_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="mylm"):
        open_workspace(tmp_path / "mylm")
    assert not (tmp_path / "mylm").exists()


def test_empty_folder_is_no_workspace_but_can_become_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        open_workspace(tmp_path)
    open_workspace(tmp_path, create=True)
    assert open_workspace(tmp_path).settings() == {"schema_version": SCHEMA_VERSION}


def test_folder_with_other_things_is_never_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError) as caught:
        open_workspace(tmp_path, create=True)
    assert caught.value.code == "workspace_is_another_folder"
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_older_workspace_is_brought_up_to_date(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path, create=True)
    write_json(workspace.settings_file, {"schema_version": 1, "tokenizer": "char"})
    assert open_workspace(tmp_path).settings() == {
        "schema_version": SCHEMA_VERSION,
        "tokenizer": "char",
    }


def test_older_workspace_waits_for_its_writer(tmp_path: Path) -> None:
    workspace = open_workspace(tmp_path, create=True)
    write_json(workspace.settings_file, {"schema_version": 1})
    with workspace.writing(), pytest.raises(InputError) as caught:
        open_workspace(tmp_path)
    assert caught.value.code == "workspace_busy"


@pytest.mark.parametrize("content", ["{}", "[1, 2]", "5", '{"schema_version": "1"}'])
def test_settings_of_another_program_are_no_workspace(tmp_path: Path, content: str) -> None:
    (tmp_path / "workspace.json").write_text(content)
    with pytest.raises(InputError) as caught:
        open_workspace(tmp_path)
    assert caught.value.code == "workspace_is_another_folder"


def test_damaged_settings_are_corrupt(workspace: Workspace) -> None:
    workspace.settings_file.write_text('{"schema_ver')
    with pytest.raises(CorruptArtefactError):
        open_workspace(workspace.path)


def test_newer_workspace_is_refused_with_both_versions(workspace: Workspace) -> None:
    write_json(workspace.settings_file, {"schema_version": SCHEMA_VERSION + 1})
    with pytest.raises(InputError) as caught:
        open_workspace(workspace.path)
    assert caught.value.code == "workspace_is_newer"
    assert caught.value.values["version"] == SCHEMA_VERSION + 1


@pytest.mark.parametrize("create", [True, False], ids=["create", "open"])
def test_file_is_no_workspace(tmp_path: Path, create: bool) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError) as caught:
        open_workspace(tmp_path / "a.txt", create=create)
    assert caught.value.code == "workspace_is_a_file"


def test_workspace_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ResourceError):
        open_workspace(tmp_path / "a.txt" / "mylm", create=True)


def test_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResourceError):
        open_workspace(tmp_path / ("m" * 300), create=True)


@pytest.mark.parametrize("name", ["with space", "工作区", "🗃️", "a'b"])
def test_workspace_may_have_any_name(tmp_path: Path, name: str) -> None:
    open_workspace(tmp_path / name, create=True)
    assert open_workspace(tmp_path / name).tokenizer_names() == []


def test_workspace_can_be_moved(workspace: Workspace, tmp_path: Path) -> None:
    workspace.remember(tokenizer="char")
    (workspace.prepared("char")).mkdir(parents=True)
    (workspace.prepared("char") / "store.json").write_text("{}")
    workspace.path.rename(tmp_path / "elsewhere")
    moved = open_workspace(tmp_path / "elsewhere")
    assert moved.settings()["tokenizer"] == "char"
    assert moved.tokenizer_names() == ["char"]


def test_choices_are_remembered_beside_the_others(workspace: Workspace) -> None:
    workspace.remember(tokenizer="char")
    workspace.remember(other=1)
    assert open_workspace(workspace.path).settings() == {
        "schema_version": SCHEMA_VERSION,
        "tokenizer": "char",
        "other": 1,
    }


def test_writing_is_for_one_workspace_object_at_a_time(workspace: Workspace) -> None:
    other = open_workspace(workspace.path)
    with workspace.writing(), pytest.raises(InputError, match="writing"), other.writing():
        pass
    with other.writing():
        pass


def test_nested_writing_keeps_the_lock_until_the_outer_ends(workspace: Workspace) -> None:
    other = open_workspace(workspace.path)
    with workspace.writing():
        with workspace.writing():
            pass
        with pytest.raises(InputError), other.writing():
            pass
    with other.writing():
        pass


def test_exception_gives_the_lock_back(workspace: Workspace) -> None:
    with pytest.raises(ZeroDivisionError), workspace.writing():
        raise ZeroDivisionError
    with open_workspace(workspace.path).writing():
        pass


def test_failed_tidying_gives_the_lock_back(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr("memlm.workspace.clean_leftovers", fail)
        with pytest.raises(ResourceError), workspace.writing():
            pass
    with workspace.writing():
        pass


@pytest.mark.parametrize(
    "place", [".", "index/characters", "prepared", "models", "models/one", "models/one/checkpoints"]
)
def test_writer_removes_what_a_crash_left(workspace: Workspace, place: str) -> None:
    leftover = workspace.path / place / f"thing.tmp-{HEX}"
    leftover.parent.mkdir(parents=True, exist_ok=True)
    leftover.write_text("half")
    with workspace.writing():
        assert not leftover.exists()


@pytest.mark.parametrize(
    ("files", "is_taken"),
    [
        ([], False), (["tokenizer.json"], False), ([f"run.json.tmp-{HEX}"], False),
        (["run.json"], True), (["model.safetensors", "tokenizer.json"], True), (["mine"], True),
    ],
    ids=["empty", "a tokenizer", "half a record", "a record", "weights", "somebody's own"],
)  # fmt: skip
def test_name_is_taken_where_there_is_more_than_a_start_that_failed(
    workspace: Workspace, files: list[str], is_taken: bool
) -> None:
    assert not workspace.has_model("big")
    workspace.model("big").mkdir(parents=True)
    for name in files:
        (workspace.model("big") / name).write_text("{}")
    assert workspace.has_model("big") == is_taken


def test_models_are_named_oldest_first(workspace: Workspace) -> None:
    for name, started in [("b", "2024-01-01"), ("a", "2025-01-01"), ("a.tmp-b", "2023-01-01")]:
        write_json(workspace.model(name) / "run.json", {"started": started})
    write_json(workspace.path / "models" / f"c.tmp-{HEX}" / "run.json", {"started": "2020"})
    assert workspace.model_names() == ["a.tmp-b", "b", "a"]


@pytest.mark.parametrize("content", [{}, [], {"started": 1}], ids=json.dumps)
def test_damaged_record_of_a_run_is_named(workspace: Workspace, content: object) -> None:
    write_json(workspace.model("one") / "run.json", content)
    with pytest.raises(CorruptArtefactError, match="one"):
        read_run(workspace.model("one"))


@pytest.mark.parametrize("content", [{}, [], {"started": 1}], ids=json.dumps)
def test_model_with_a_damaged_record_counts_as_the_oldest(
    workspace: Workspace, content: object
) -> None:
    write_json(workspace.model("sound") / "run.json", {"started": "2024-01-01"})
    write_json(workspace.model("torn") / "run.json", content)
    assert workspace.model_names() == ["torn", "sound"]


@pytest.mark.parametrize("name", ["lstm-1", "我的模型", "a.b_c-d", "v1.tmp-2"])
def test_model_may_be_named(workspace: Workspace, name: str) -> None:
    assert workspace.model(name).parent == workspace.path / "models"


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a b", "a\0"])
def test_model_may_not_be_named(workspace: Workspace, name: str) -> None:
    with pytest.raises(InputError) as caught:
        workspace.model(name)
    assert caught.value.code == "model_name"


def test_weights_in_several_parts_are_told_apart_by_what_is_in_them(workspace: Workspace) -> None:
    names = ["huggingface/model-00001-of-00002.safetensors"]
    names += ["huggingface/model-00002-of-00002.safetensors", "huggingface/config.json"]
    names += ["huggingface/model.safetensors.index.json"]  # which says where a name is, no more
    for number, model in enumerate(("one", "two")):
        folder = workspace.model(model)
        (folder / "huggingface").mkdir(parents=True)
        for name in names:
            is_weights = name.endswith(".safetensors")
            (folder / name).write_text(f"{number if is_weights else 0}", encoding="utf-8")
        seal_files(folder, names, made_from={})
    assert workspace.weights_hash("one") != workspace.weights_hash("two")
