"""Which files a source has; nothing is left alone without a word."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memlm.collect import CollectConfig, Reading, list_files, read_file
from memlm.collect.sources import READERS
from memlm.errors import InputError, NotFoundError
from memlm.messages import LANGUAGES, Language, catalogue
from memlm.records import SourceText

EXAMPLES = int(os.environ.get("MEMLM_FUZZ_EXAMPLES", "30"))
# Bytes that many formats begin with, so that their readers are not done at the first look.
BEGINNINGS = [
    b"", b"<html><p>", b"%PDF-1.7\n", b"PK\3\4", b"\x1f\x8b\x08", b"WARC/1.0\r\n", b"PAR1", b"[{",
    b"ARROW1\0\0", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"text,label\n", b"\xff\xfe",
]  # fmt: skip


def listed(source: Path) -> dict[str, str | None]:
    return {
        file.relative: file.problem.code if file.problem else None for file in list_files(source)
    }


def test_folder_is_walked_in_a_fixed_order(corpus: Path) -> None:
    assert list(listed(corpus)) == ["deep/two.md", "one.txt", "rows.csv", "three.txt"]


def test_file_is_its_own_source(corpus: Path) -> None:
    assert listed(corpus / "one.txt") == {"one.txt": None}


def test_source_that_does_not_exist_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing"):
        list(list_files(tmp_path / "nothing"))


def test_hidden_file_is_left_alone_with_a_word(corpus: Path) -> None:
    (corpus / ".secret.txt").write_text("x")
    (corpus / ".git").mkdir()
    found = listed(corpus)
    assert (found[".secret.txt"], found[".git"]) == ("hidden", "hidden")


def test_hidden_folder_that_was_named_is_read(corpus: Path) -> None:
    hidden = corpus.rename(corpus.parent / ".corpus")
    assert listed(hidden)["one.txt"] is None


@pytest.mark.parametrize("name", ["a.png", "a.psd", "a.tar.lz"])
def test_unknown_ending_is_left_alone_with_a_word(corpus: Path, name: str) -> None:
    (corpus / name).write_bytes(b"x")
    assert listed(corpus)[name] == "ending_unknown"


@pytest.mark.parametrize("name", ["README", "a.TXT", "a.Md", "A.CSV"])
def test_file_with_a_known_ending_or_none_is_read(corpus: Path, name: str) -> None:
    (corpus / name).write_bytes(b"x")
    assert listed(corpus)[name] is None


def test_unknown_ending_is_named_with_where_the_known_ones_are_listed(tmp_path: Path) -> None:
    (tmp_path / "a.psd").write_bytes(b"x")
    with pytest.raises(InputError, match=r"\.psd.*memlm collect --help"):
        list(read_file(tmp_path / "a.psd", Reading(config=CollectConfig())))


@pytest.mark.parametrize("ending", READERS)
@settings(max_examples=EXAMPLES)
@given(data=st.tuples(st.sampled_from(BEGINNINGS), st.binary(max_size=400)).map(b"".join))
@example(data=b"[" * 400)
@example(data=b'{"a":' * 60)
@example(data=b"PAR1" * 20)
@example(data=b"ARROW1" * 20)
def test_any_bytes_are_read_or_refused_in_our_own_words(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, ending: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{ending}"
    path.write_bytes(data)
    started = time.monotonic()
    with suppress(InputError):
        for item in read_file(path, Reading(config=CollectConfig())):
            assert not isinstance(item, SourceText) or item.text.strip()
    assert time.monotonic() - started < 10  # the first document starts a process


@given(text=st.text(alphabet='ab,;"\'\n\r\t[]{}:\\ \ufeff中é', max_size=60),
       ending=st.sampled_from([".csv", ".tsv", ".txt", ".json", ".jsonl"]),
       no_header=st.booleans(), lines=st.booleans())  # fmt: skip
def test_any_words_are_read_or_refused_in_our_own_words(
    tmp_path_factory: pytest.TempPathFactory, text: str, ending: str, no_header: bool, lines: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any{ending}"
    path.write_text(text, encoding="utf-8", newline="")
    config = CollectConfig(no_header=no_header, lines=lines)
    with suppress(InputError):
        for item in read_file(path, Reading(config=config)):
            assert not isinstance(item, SourceText) or item.text.strip()


def test_linked_folder_is_left_alone_so_that_no_loop_is_walked(corpus: Path) -> None:
    (corpus / "deep" / "up").symlink_to(corpus, target_is_directory=True)
    assert listed(corpus)["deep/up"] == "linked_folder"


@pytest.mark.parametrize("target", ["itself", "nothing"])
def test_link_that_leads_nowhere_is_left_alone(corpus: Path, target: str) -> None:
    (corpus / "itself").symlink_to(corpus / target)
    assert listed(corpus)["itself"] == "not_a_file"


def test_linked_file_is_read(corpus: Path) -> None:
    (corpus / "link.txt").symlink_to(corpus / "one.txt")
    assert listed(corpus)["link.txt"] is None


def test_pipe_is_left_alone(corpus: Path) -> None:
    os.mkfifo(corpus / "pipe.txt")
    assert listed(corpus)["pipe.txt"] == "not_a_file"


def test_pipe_that_was_named_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(InputError) as caught:
        list(list_files(tmp_path / "pipe.txt"))
    assert caught.value.code == "not_a_file"


def make_workspace(folder: Path) -> None:
    folder.mkdir()
    for name in ("workspace.json", "documents.sqlite", "notes.txt"):
        (folder / name).write_text("{}")


def test_workspace_inside_the_folder_is_left_alone(corpus: Path) -> None:
    make_workspace(corpus / "mylm")
    found = listed(corpus)
    assert found["mylm"] == "is_workspace"
    assert "mylm/notes.txt" not in found


def test_workspace_is_no_source(tmp_path: Path) -> None:
    make_workspace(tmp_path / "mylm")
    with pytest.raises(InputError) as caught:
        list(list_files(tmp_path / "mylm"))
    assert caught.value.code == "is_workspace"


def test_settings_of_another_program_make_no_workspace(corpus: Path) -> None:
    (corpus / "deep" / "workspace.json").write_text("{}")
    assert listed(corpus)["deep/two.md"] is None


def test_folder_that_cannot_be_listed_is_left_alone(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = listed(corpus)
    assert (found["deep"], found["one.txt"]) == ("not_readable", None)


@pytest.fixture
def shut(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose entries may not be looked at, as if by a user who is not root."""
    real, folder = os.stat, corpus / "deep"

    def refuse(path, *args, **options):
        if isinstance(path, str | Path) and folder in Path(path, "x").parents[1:]:
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **options)

    monkeypatch.setattr(os, "stat", refuse)
    return folder


def test_folder_that_may_not_be_entered_is_left_alone_and_the_rest_is_listed(
    corpus: Path, shut: Path
) -> None:
    found = listed(corpus)
    assert (found["deep"], found["one.txt"]) == ("not_readable", None)


def test_source_that_may_not_be_entered_is_all_that_is_left_alone(shut: Path) -> None:
    (found,) = list_files(shut)
    assert found.problem is not None
    assert (found.relative, found.problem.values) == ("", {"path": "deep"})


def test_source_in_a_folder_that_may_not_be_entered_may_not_be_read(shut: Path) -> None:
    with pytest.raises(InputError) as caught:
        list(list_files(shut / "two.md"))
    assert caught.value.code == "not_readable"


def test_name_that_is_not_utf8_is_spelt_out(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    assert list(listed(tmp_path)) == ["caf\\xe9.txt"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_ending_that_is_read_is_in_the_help(language: Language) -> None:
    help_of_collect = catalogue(language)["example.collect"].split()
    assert {ending for ending in READERS if ending.count(".") == 1} <= {*help_of_collect}


def test_every_ending_that_is_read_is_in_the_guide() -> None:
    guide = Path(__file__).parents[2] / "docs" / "collecting.md"
    words = guide.read_text(encoding="utf-8").replace("`", " ").replace(",", " ").split()
    assert {ending for ending in READERS if ending.count(".") == 1} <= {*words}
