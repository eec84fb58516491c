"""Collecting: what changes in the documents when sources are read once, again, moved, or broken."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from memlm import collect_documents
from memlm.collect import CollectConfig, Collection, collection, list_files, sources
from memlm.documents import DocumentStore
from memlm.errors import ConfigError, MissingExtraError
from memlm.messages import LANGUAGES, Language, in_language
from memlm.records import CollectReport, SourceNote, Split

Collect = Callable[..., CollectReport]


@pytest.fixture
def store(tmp_path: Path):
    with DocumentStore(tmp_path / "documents.sqlite") as opened:
        yield opened


@pytest.fixture
def notes() -> list[SourceNote]:
    """What `collect` has said."""
    return []


@pytest.fixture
def collect(store: DocumentStore, notes: list[SourceNote]) -> Collect:
    def run(*sources: Path, texts=None, split: Split | None = None, fresh=False, **options):
        collection = Collection(
            store,
            CollectConfig(**options),
            split=split,
            note=notes.append,
            progress=lambda done, total: None,
            fresh=fresh,
        )
        for source in sources:
            collection.read_source(source, list(list_files(source)))
        if texts is not None:
            collection.read_texts(texts)
        return collection.finish()

    return run


def changes(report: CollectReport) -> tuple[int, int, int, int]:
    """Added, unchanged, changed, removed."""
    return (
        report.documents_added,
        report.documents_unchanged,
        report.documents_changed,
        report.documents_removed,
    )


def ids(store: DocumentStore) -> dict[str, str]:
    return {document.text: document.id for document in store}


def codes(report: CollectReport) -> list[str]:
    return [item.source for item in report.rejected]


# -- again --------------------------------------------------------------------------------------


def test_folder_gives_all_its_documents(
    store: DocumentStore, collect: Collect, corpus: Path
) -> None:
    report = collect(corpus)
    assert changes(report) == (7, 0, 0, 0)
    assert report.characters == store.characters() == sum(len(d.text) for d in store)
    assert sorted(document.source for document in store) == [
        "corpus/deep/two.md",
        "corpus/one.txt",
        "corpus/rows.csv:2",
        "corpus/rows.csv:3",
        "corpus/rows.csv:4",
        "corpus/rows.csv:5",
        "corpus/three.txt",
    ]


@pytest.mark.parametrize("option", [{}, {"label_column": "label"}], ids=["same", "other options"])
def test_collecting_twice_adds_nothing(
    store: DocumentStore, collect: Collect, corpus: Path, option: dict[str, str]
) -> None:
    collect(corpus)
    before = list(store), store.digest()
    assert changes(collect(corpus, **option)) == (0, 7, 0, 0)
    assert (list(store), store.digest()) == before


def test_editing_one_row_touches_one_document(
    store: DocumentStore, collect: Collect, corpus: Path
) -> None:
    collect(corpus)
    table = corpus / "rows.csv"
    table.write_text(table.read_text("utf-8").replace("bad film", "worse film"), "utf-8")
    assert changes(collect(corpus)) == (0, 6, 1, 0)


def test_edited_file_keeps_its_id(store: DocumentStore, collect: Collect, corpus: Path) -> None:
    collect(corpus)
    before = ids(store)["A third text, of one line.\n"]
    (corpus / "three.txt").write_text("Other words.\n")
    assert changes(collect(corpus)) == (0, 6, 1, 0)
    assert ids(store)["Other words.\n"] == before


def test_vanished_file_keeps_its_documents(
    store: DocumentStore, collect: Collect, corpus: Path
) -> None:
    collect(corpus)
    (corpus / "one.txt").unlink()
    assert changes(collect(corpus)) == (0, 6, 0, 0)
    assert store.count() == 7


def splits(store: DocumentStore) -> list[str | None]:
    return [document.split for document in store]


def test_held_out_files_are_marked(store: DocumentStore, collect: Collect, corpus: Path) -> None:
    collect(corpus / "one.txt", split="held_out")
    assert splits(store) == ["held_out"]


def test_held_out_file_stays_held_out_when_its_folder_is_collected(
    store: DocumentStore, collect: Collect, corpus: Path
) -> None:
    collect(corpus)
    collect(corpus / "rows.csv", split="held_out")
    assert changes(collect(corpus)) == (0, 7, 0, 0)
    assert sorted(map(str, splits(store))) == ["None"] * 3 + ["held_out"] * 4


def test_held_out_file_that_is_edited_or_grows_stays_held_out(
    store: DocumentStore, collect: Collect, corpus: Path
) -> None:
    collect(corpus / "rows.csv", corpus / "one.txt", split="held_out")
    (corpus / "one.txt").write_text("Another text.\n")
    rows = (corpus / "rows.csv").read_text("utf-8").replace("bad film", "worse film")
    (corpus / "rows.csv").write_text(rows + "one more,no\n", "utf-8")
    collect(corpus / "rows.csv", corpus / "one.txt")
    assert splits(store) == ["held_out"] * 6


def test_file_that_was_learned_from_is_held_out_when_that_is_said(
    store: DocumentStore, collect: Collect, corpus: Path
) -> None:
    collect(corpus)
    before = ids(store)
    assert changes(collect(corpus / "rows.csv", split="held_out")) == (0, 0, 4, 0)
    assert splits(store).count("held_out") == 4
    assert ids(store) == before
    assert changes(collect(corpus / "rows.csv", split="train")) == (0, 0, 4, 0)
    assert splits(store).count("train") == 4


def test_texts_from_python_stay_on_their_side_and_new_ones_are_free(
    store: DocumentStore, collect: Collect
) -> None:
    collect(texts=["one"], split="held_out")
    assert changes(collect(texts=["one", "two"])) == (1, 1, 0, 0)
    assert {document.text: document.split for document in store} == {"one": "held_out", "two": None}


# -- roots --------------------------------------------------------------------------------------


def test_moved_folder_keeps_its_ids(store: DocumentStore, collect: Collect, corpus: Path) -> None:
    (corpus / "picture.png").write_bytes(b"\x89PNG")
    collect(corpus)
    before = ids(store)
    assert changes(collect(corpus.rename(corpus.parent / "moved"))) == (0, 7, 0, 0)
    assert ids(store) == before
    assert next(iter(store)).source.startswith("moved/")


def test_moved_folder_full_of_pictures_keeps_its_ids(
    store: DocumentStore, collect: Collect, corpus: Path
) -> None:
    for number in range(20):
        (corpus / f"{number}.png").write_bytes(bytes([number]))
    collect(corpus)
    assert changes(collect(corpus.rename(corpus.parent / "moved"))) == (0, 7, 0, 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [("a", "b"), ("a", "deep/er/a"), ("deep/a", "a"), ("deep/a", "other/a"), ("deep/a", "b")],
    ids=lambda name: name.replace("/", "-"),
)
def test_folder_that_moved_with_one_file_edited_keeps_its_ids(
    store: DocumentStore,
    collect: Collect,
    notes: list[SourceNote],
    corpus: Path,
    tmp_path: Path,
    old: str,
    new: str,
) -> None:
    first, second = tmp_path / old, tmp_path / new
    first.parent.mkdir(exist_ok=True)
    collect(corpus.rename(first))
    before = set(ids(store).values())
    second.parent.mkdir(parents=True, exist_ok=True)
    first.rename(second)
    (second / "one.txt").write_text("Somebody came.\n")
    assert changes(collect(second)) == (0, 6, 1, 0)
    assert set(ids(store).values()) == before
    said = [note.values for note in notes if note.code == "root_moved"]
    assert said == [{"old": first.name, "new": second.name}]


@pytest.mark.parametrize("place", ["b", "far/off/b", "corpus/../b"])
def test_folder_that_resembles_one_that_is_still_there_overwrites_nothing(
    store: DocumentStore, collect: Collect, corpus: Path, tmp_path: Path, place: str
) -> None:
    twin = Path(shutil.copytree(corpus, tmp_path / place))
    (twin / "one.txt").write_text("Somebody came.\n")
    collect(corpus)
    assert changes(collect(twin)) == (7, 0, 0, 0)
    assert "The lamp was lit.\nNobody came.\n" in ids(store)
    assert changes(collect(corpus)) == (0, 7, 0, 0)


def test_folder_that_moved_out_of_sight_keeps_its_ids_if_nothing_in_it_has_changed(
    store: DocumentStore, collect: Collect, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "one" / "two").mkdir(parents=True)
    collect(corpus.rename(tmp_path / "one" / "two" / "notes"))
    before = ids(store)
    moved = (tmp_path / "one" / "two" / "notes").rename(tmp_path / "other")
    (moved / "new.txt").write_text("One more.\n")
    assert changes(collect(moved)) == (1, 7, 0, 0)
    assert before.items() <= ids(store).items()


def test_folder_that_moved_out_of_sight_and_was_edited_overwrites_nothing(
    store: DocumentStore, collect: Collect, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "one" / "two").mkdir(parents=True)
    collect(corpus.rename(tmp_path / "one" / "two" / "notes"))
    moved = (tmp_path / "one" / "two" / "notes").rename(tmp_path / "other")
    (moved / "one.txt").write_text("Somebody came.\n")
    assert changes(collect(moved)) == (7, 0, 0, 0)
    assert store.count() == 14


def test_copy_of_a_folder_that_is_still_there_is_another_root(
    store: DocumentStore, collect: Collect, corpus: Path, tmp_path: Path
) -> None:
    collect(corpus)
    copy = Path(shutil.copytree(corpus, tmp_path / "copy"))
    assert changes(collect(copy)) == (7, 0, 0, 0)
    assert changes(collect(corpus)) == (0, 7, 0, 0)


def test_link_that_a_moved_folder_left_behind_is_not_the_folder(
    store: DocumentStore, collect: Collect, corpus: Path, tmp_path: Path
) -> None:
    collect(corpus)
    moved = corpus.rename(tmp_path / "moved")
    corpus.symlink_to(moved)
    assert changes(collect(moved)) == (0, 7, 0, 0)


@pytest.mark.parametrize("name", ["rows.csv", "one.txt"])
def test_renamed_file_keeps_its_ids(
    store: DocumentStore, collect: Collect, corpus: Path, name: str
) -> None:
    file = corpus / name
    collect(file)
    before = ids(store)
    renamed = file.rename(corpus.parent / f"renamed{file.suffix}")
    assert changes(collect(renamed)) == (0, len(before), 0, 0)
    assert ids(store) == before


def test_folder_of_the_same_name_elsewhere_is_another(
    store: DocumentStore, collect: Collect, corpus: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "corpus"
    other.mkdir(parents=True)
    (other / "one.txt").write_text("Not the same at all.\n")
    collect(corpus)
    assert changes(collect(other)) == (1, 0, 0, 0)


def test_copy_in_the_same_call_is_another_root(
    store: DocumentStore, collect: Collect, corpus: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(corpus, tmp_path / "copy"))
    assert changes(collect(corpus, copy)) == (14, 0, 0, 0)


@pytest.mark.parametrize("part", ["deep", "one.txt", "deep/two.md"])
def test_part_of_a_collected_folder_adds_nothing(
    store: DocumentStore, collect: Collect, corpus: Path, part: str
) -> None:
    collect(corpus)
    assert changes(collect(corpus / part)) == (0, 1, 0, 0)


@pytest.mark.parametrize("part", ["deep", "one.txt", "rows.csv"])
def test_folder_of_a_collected_part_adds_the_rest_only(
    store: DocumentStore, collect: Collect, corpus: Path, part: str
) -> None:
    first = collect(corpus / part).documents_added
    assert changes(collect(corpus)) == (7 - first, first, 0, 0)
    assert changes(collect(corpus)) == (0, 7, 0, 0)


def test_folder_that_took_the_place_of_a_file_keeps_its_files_apart(
    store: DocumentStore, collect: Collect, corpus: Path, tmp_path: Path
) -> None:
    place = tmp_path / "notes"
    place.write_text("I was a file.")
    collect(place)
    place.unlink()
    corpus.rename(place)
    assert changes(collect(place)) == (7, 0, 0, 0)


def test_texts_from_python_and_a_folder_called_texts_are_apart(
    store: DocumentStore,
    collect: Collect,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus.rename(tmp_path / "texts")
    collect(texts=["from memory"])
    assert changes(collect(Path("texts"))) == (7, 0, 0, 0)
    assert store.count() == 8


def test_texts_of_earlier_calls_stay(store: DocumentStore, collect: Collect) -> None:
    collect(texts=["one", "two"])
    assert changes(collect(texts=["two", "three"])) == (1, 1, 0, 0)
    assert sorted(document.text for document in store) == ["one", "three", "two"]


def test_text_with_an_id_of_its_own_is_replaced_when_it_comes_changed(
    store: DocumentStore, collect: Collect
) -> None:
    collect(texts=[{"id": "a", "text": "one"}, {"id": "b", "text": "two"}])
    before = ids(store)
    assert changes(collect(texts=[{"id": "a", "text": "ONE"}])) == (0, 0, 1, 0)
    assert ids(store) == {"ONE": before["one"], "two": before["two"]}


# -- what cannot be read ------------------------------------------------------------------------


def test_rejected_things_are_listed_with_place_and_reason(
    store: DocumentStore, collect: Collect, corpus: Path
) -> None:
    (corpus / "rows.csv").write_text("text,label\na,x\nb\n")
    (corpus / "empty.txt").write_text("")
    (corpus / "picture.png").write_bytes(b"x")
    report = collect(corpus)
    assert [(item.source, item.position) for item in report.rejected] == [
        ("corpus/empty.txt", None),
        ("corpus/picture.png", None),
        ("corpus/rows.csv", 3),
    ]
    assert report.documents_rejected == 3
    assert list(store.rejected()) == list(report.rejected)


def test_rejected_things_are_listed_again_though_nothing_changed(
    collect: Collect, corpus: Path
) -> None:
    (corpus / "rows.csv").write_text("text,label\na,x\nb\n")
    assert collect(corpus).rejected == collect(corpus).rejected


def test_table_with_an_open_quote_keeps_its_earlier_documents(
    store: DocumentStore, collect: Collect, corpus: Path
) -> None:
    collect(corpus)
    table = corpus / "rows.csv"
    good = table.read_bytes()
    table.write_bytes(good + b'"open,x\n')
    report = collect(corpus)
    assert [(item.source, item.position) for item in report.rejected] == [("corpus/rows.csv", 6)]
    assert store.count() == 7


@pytest.mark.parametrize("name", ["one.txt", "rows.csv"])
def test_text_of_a_file_that_is_now_empty_stays_and_that_is_said(
    store: DocumentStore, collect: Collect, notes: list[SourceNote], corpus: Path, name: str
) -> None:
    count = collect(corpus / name).documents_added
    (corpus / name).write_text("")
    assert codes(collect(corpus / name)) == [name]
    assert store.count() == count
    said = SourceNote(code="earlier_text_stays", values={"source": name, "count": count})
    assert notes.count(said) == 1


@pytest.mark.parametrize("name", ["empty", "head.csv", "some/head.csv"])
def test_source_in_which_nothing_is_found_is_named(
    collect: Collect, notes: list[SourceNote], tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "some").mkdir()
    for table in (tmp_path / "head.csv", tmp_path / "some" / "head.csv"):
        table.write_text("text,label\n")
    source = tmp_path / name.split("/")[0]
    for _ in range(2):
        assert changes(collect(source)) == (0, 0, 0, 0)
    assert notes == [SourceNote(code="nothing_found", values={"source": name})] * 2


def test_files_that_hold_something_are_not_said_to_be_empty(
    collect: Collect, notes: list[SourceNote], corpus: Path
) -> None:
    (corpus / "empty.txt").write_text("")
    (corpus / "more.csv").write_text("body\na\n")
    collect(corpus, text_column="body")
    collect(corpus, text_column="body")
    assert "nothing_found" not in {note.code for note in notes}


def test_reason_says_what_to_do(collect: Collect, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Где вы были прошлым летом?".encode("cp1251"))
    (item,) = collect(tmp_path / "a.txt").rejected
    assert "--encoding" in item.reason


def test_repaired_table_is_no_longer_rejected(
    store: DocumentStore, collect: Collect, corpus: Path
) -> None:
    table = corpus / "rows.csv"
    good = table.read_bytes()
    collect(corpus)
    table.write_bytes(good + b'"open,x\n')
    collect(corpus)
    table.write_bytes(good)
    report = collect(corpus)
    assert (changes(report), report.rejected) == ((0, 7, 0, 0), ())
    assert list(store.rejected()) == []


def test_file_that_cannot_be_opened_is_rejected(
    collect: Collect, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def refuse(self: Path, *args, **options):
        if self.name == "one.txt":
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    report = collect(corpus)
    assert changes(report) == (6, 0, 0, 0)
    assert codes(report) == ["corpus/one.txt"]


def test_disk_that_fails_while_reading_rejects_the_file(
    collect: Collect, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("memlm.collect.files.open_text", fail)
    report = collect(corpus)
    assert changes(report) == (4, 0, 0, 0)
    assert len(report.rejected) == 3


def test_file_whose_reader_fails_costs_no_other_file(
    store: DocumentStore, collect: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_file(path: Path, reading):
        if path.name == "b.txt":
            raise ZeroDivisionError("words of the file")
        return real(path, reading)

    real = collection.read_file
    monkeypatch.setattr(collection, "read_file", read_file)
    (tmp_path / "a").mkdir()
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / "a" / name).write_text(name)
    report = collect(tmp_path / "a")
    assert sorted(document.text for document in store) == ["a.txt", "c.txt"]
    assert codes(report) == ["a/b.txt"]
    assert "ZeroDivisionError" in report.rejected[0].reason
    assert "words" not in report.rejected[0].reason


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, BrokenPipeError])
def test_interruption_is_no_failed_reader(
    collect: Collect, corpus: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def read_file(path: Path, reading):
        raise error

    monkeypatch.setattr(collection, "read_file", read_file)
    with pytest.raises(error):
        collect(corpus)


def test_only_source_that_cannot_be_read_is_rejected_and_listed(
    collect: Collect, tmp_path: Path
) -> None:
    (tmp_path / "a.psd").write_bytes(b"x")
    assert codes(collect(tmp_path / "a.psd")) == ["a.psd"]


def test_password_opens_a_pdf_and_is_stored_nowhere(
    collect: Collect, tmp_path: Path, make_pdf: Callable[..., bytes]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.pdf").write_bytes(make_pdf("The lamp.", password="swordfish"))
    assert codes(collect(tmp_path / "a")) == ["a/a.pdf"]
    assert changes(collect(tmp_path / "a", password="swordfish")) == (1, 0, 0, 0)
    # How it was opened is no manner of reading: without the password it is still known.
    assert changes(collect(tmp_path / "a")) == (0, 1, 0, 0)
    assert changes(collect(tmp_path / "a", password="swordfish")) == (0, 1, 0, 0)
    assert b"swordfish" not in (tmp_path / "documents.sqlite").read_bytes()
    assert "swordfish" not in repr(CollectConfig(password="swordfish"))


def test_name_that_is_not_utf8_is_collected(
    store: DocumentStore, collect: Collect, tmp_path: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"f\xff")
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("x")
    (folder / os.fsdecode(b"bad\xe9.txt")).write_bytes(b"\x81\xe9 \x81")
    report = collect(folder)
    assert [document.source for document in store] == ["f\\xff/caf\\xe9.txt"]
    assert codes(report) == ["f\\xff/bad\\xe9.txt"]


def test_column_that_no_table_has_is_a_wrong_option(collect: Collect, corpus: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        collect(corpus, text_column="txet")
    assert caught.value.code == "column_misspelt"


def test_column_that_one_table_lacks_rejects_that_table(
    store: DocumentStore, collect: Collect, corpus: Path
) -> None:
    (corpus / "more.csv").write_text("body,label\na,x\n")
    report = collect(corpus, text_column="body")
    assert codes(report) == ["corpus/rows.csv"]
    assert report.documents_added == 4


def test_progress_ends_with_all_files(store: DocumentStore, corpus: Path) -> None:
    seen: list[tuple[int, int]] = []
    collection = Collection(
        store,
        CollectConfig(),
        split=None,
        note=lambda note: None,
        progress=lambda done, total: seen.append((done, total)),
    )
    collection.read_source(corpus, list(list_files(corpus)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.shared_data
def test_a_real_book_is_collected_whole(
    store: DocumentStore, collect: Collect, shared_data: Path
) -> None:
    book = shared_data / "tinyshakespeare" / "input.txt"
    report = collect(book)
    assert changes(report) == (1, 0, 0, 0)
    assert next(iter(store)).text == book.read_text("utf-8")


@pytest.fixture
def without_pypdf(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Have no package that reads PDF; `undo` brings it back."""

    def refuse(package: str, *, extra: str) -> None:
        raise MissingExtraError("extra_missing", package=package, extra=extra)

    monkeypatch.setattr("memlm.collect.pdf.require_package", refuse)
    return monkeypatch


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("is_packed", [False, True], ids=["folder", "archive"])
def test_file_whose_package_is_missing_is_listed_with_the_command_that_installs_it(
    collect: Collect,
    without_pypdf: pytest.MonkeyPatch,
    make_pdf: Callable[..., bytes],
    tmp_path: Path,
    language: Language,
    is_packed: bool,
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.pdf").write_bytes(make_pdf("The lamp."))
    (source / "b.txt").write_text("The moon.")
    if is_packed:
        source = Path(shutil.make_archive(str(tmp_path / "in"), "zip", source))
    with in_language(language):
        report = collect(source)
    assert changes(report) == (1, 0, 0, 0)
    (item,) = report.rejected
    assert item.source.endswith("/a.pdf")
    assert "pypdf" in item.reason
    assert "pip install 'memlm[documents]'" in item.reason
    without_pypdf.undo()
    assert changes(collect(source)) == (1, 1, 0, 0)


# -- archives -----------------------------------------------------------------------------------


def zipped(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def test_editing_one_member_of_an_archive_touches_one_document(
    collect: Collect, store: DocumentStore, tmp_path: Path
) -> None:
    path = zipped(tmp_path / "a.zip", {"a.txt": "one", "b.csv": "text\ntwo\nthree\n"})
    assert changes(collect(path)) == (3, 0, 0, 0)
    before = ids(store)
    assert changes(collect(path)) == (0, 3, 0, 0)
    zipped(path, {"new.txt": "new", "a.txt": "ONE", "b.csv": "text\ntwo\nthree\n"})
    assert changes(collect(path)) == (1, 2, 1, 0)
    after = ids(store)
    assert (after["ONE"], after["two"]) == (before["one"], before["two"])


def test_what_is_wrong_in_an_archive_is_listed_by_its_place(
    collect: Collect, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    zipped(tmp_path / "folder" / "a.zip", {"b.png": "x", "c.csv": "text,label\none,x\ntwo\n"})
    report = collect(tmp_path / "folder")
    assert report.documents_added == 1
    assert [(item.source, item.position) for item in report.rejected] == [
        ("folder/a.zip/b.png", None),
        ("folder/a.zip/c.csv", 3),
    ]


def test_documents_of_an_archive_have_one_reading_order(
    collect: Collect, store: DocumentStore, tmp_path: Path
) -> None:
    tables = {name: f"text\n{name} one\n{name} two\n" for name in ("b.csv", "a.csv")}
    collect(zipped(tmp_path / "a.zip", tables))
    order = [document.id for document in store]
    assert [identity for identity, _, _ in store.sizes()] == order
    assert [identity for _, identity, _, _ in store.contents()] == order


@pytest.mark.parametrize("name", ["a.zip", "a.csv.gz"])
def test_table_in_an_archive_is_a_table(collect: Collect, tmp_path: Path, name: str) -> None:
    (tmp_path / "other.csv").write_text("text,label\none,x\n")
    table = "words,label\none,x\n"
    if name == "a.zip":
        zipped(tmp_path / name, {"b.csv": table})
    else:
        (tmp_path / name).write_bytes(gzip.compress(table.encode()))
    report = collect(tmp_path / name, tmp_path / "other.csv", text_column="words")
    assert report.documents_added == 1
    assert codes(report) == ["other.csv"]


def test_member_that_may_be_read_now_is_tried_again(
    collect: Collect, tmp_path: Path, make_pdf: Callable[..., bytes]
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.pdf", make_pdf("The lamp.", password="swordfish"))
        archive.writestr("b.txt", "two")
    assert codes(collect(tmp_path / "a.zip")) == ["a.zip/a.pdf"]
    assert changes(collect(tmp_path / "a.zip", password="swordfish")) == (1, 1, 0, 0)
    again = collect(tmp_path / "a.zip")
    assert (changes(again), again.rejected) == ((0, 2, 0, 0), ())


def test_member_without_its_package_is_read_once_that_is_there(
    collect: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MissingExtraError("extra_missing", package="trafilatura", extra="documents")

    path = zipped(tmp_path / "a.zip", {"a.md": "one", "b.txt": "two"})
    with monkeypatch.context() as without:
        without.setitem(sources.READERS, ".md", fail)
        assert codes(collect(path)) == ["a.zip/a.md"]
    assert changes(collect(path)) == (1, 1, 0, 0)


def test_column_is_known_to_be_in_an_archive_that_has_not_changed(
    collect: Collect, tmp_path: Path
) -> None:
    path = zipped(tmp_path / "a.zip", {"b.csv": "words,label\none,x\n"})
    (tmp_path / "other.csv").write_text("text,label\none,x\n")
    for _ in range(2):
        assert codes(collect(path, tmp_path / "other.csv", text_column="words")) == ["other.csv"]


def test_what_is_rejected_is_listed_though_an_option_is_wrong(corpus: Path, tmp_path: Path) -> None:
    collect_documents(tmp_path / "ws", corpus)
    (corpus / "new.psd").write_bytes(b"x")
    with pytest.raises(ConfigError):
        collect_documents(tmp_path / "ws", corpus, config=CollectConfig(text_column="nowhere"))
    assert "new.psd" in (tmp_path / "ws" / "rejected.jsonl").read_text("utf-8")


# -- damaged files ------------------------------------------------------------------------------


def kept(notes: list[SourceNote]) -> list[object]:
    return [note.values["count"] for note in notes if note.code == "documents_kept"]


def whole_file(path: Path) -> Path:
    """A file with twenty texts, in the format of its ending."""
    texts = {f"{n}.txt": f"text {n} " + "lamp " * 50 for n in range(20)}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, text in texts.items():
                archive.writestr(name, text)
    elif path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            for name, text in texts.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
    elif path.suffix == ".json":
        path.write_text(json.dumps(list(texts.values())))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(text) + "\n" for text in texts.values()))
    return path


@pytest.mark.parametrize("ending", [".zip", ".tar", ".json", ".jsonl"])
def test_a_file_cut_short_removes_no_document(
    collect: Collect, store: DocumentStore, notes: list[SourceNote], tmp_path: Path, ending: str
) -> None:
    path = whole_file(tmp_path / f"a{ending}")
    assert collect(path).documents_added == 20
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])
    report = collect(path)
    assert report.documents_removed == 0
    assert store.count() == 20
    assert kept(notes) == [20 - report.documents_unchanged]
    path.write_bytes(data)
    assert changes(collect(path)) == (0, 20, 0, 0)


def test_the_documents_of_a_rejected_member_stay_and_others_go(
    collect: Collect, store: DocumentStore, notes: list[SourceNote], tmp_path: Path
) -> None:
    table = "id,text\n1,one\n2,two\n"
    path = zipped(tmp_path / "a.zip", {"a.csv": table, "b.csv": "text\nthree\n", "c.txt": "four"})
    assert collect(path).documents_added == 4
    zipped(path, {"a.csv": 'id,text\n1,one\n2,"two\n', "b.csv": "text\nfive\n"})
    assert changes(collect(path)) == (0, 0, 1, 1)
    assert kept(notes) == [2]
    assert sorted(document.text for document in store) == ["five", "one", "two"]


def test_the_documents_of_an_archive_in_a_damaged_archive_stay(
    collect: Collect, store: DocumentStore, notes: list[SourceNote], tmp_path: Path
) -> None:
    inner = zipped(tmp_path / "inner.zip", {"a.txt": "one", "b.txt": "two"}).read_bytes()
    outer = tmp_path / "outer" / "a.zip"
    outer.parent.mkdir()
    for data in (inner, inner[:40]):
        with zipfile.ZipFile(outer, "w") as archive:
            archive.writestr("inner.zip", data)
            archive.writestr("c.txt", "three")
        collect(outer)
    assert kept(notes) == [1]
    assert store.count() == 3


def test_a_row_that_is_bad_now_is_still_removed(
    collect: Collect, notes: list[SourceNote], tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('"one"\n"two"\n')
    collect(path)
    path.write_text('"one"\n{two\n')
    assert changes(collect(path)) == (0, 1, 0, 1)
    assert kept(notes) == []


def test_the_report_counts_all_that_is_rejected_and_lists_the_first(
    collect: Collect, store: DocumentStore, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,n\none,1\n" + "two\n" * 2500)
    for _ in range(2):
        report = collect(path)
        assert report.documents_rejected == store.num_rejected() == 2500
        assert [item.position for item in report.rejected] == list(range(3, 1003))
    assert sum(1 for _ in store.rejected()) == 2500


@pytest.mark.skipif(
    os.name != "posix" or sys.platform == "darwin", reason="names are Unicode there"
)
@pytest.mark.parametrize(
    ("ending", "data"),
    [
        (".txt", b""),
        (".txt", "Кот спит.".encode("cp1251")),
        (".csv", b"a,a\nx,y\n"),
        (".json", b"words"),
        (".png", b"x"),
        (".zip", b"x"),
        (".gz", b"x"),
        (".html", b"<p>"),
    ],
)
def test_file_whose_name_is_not_utf8_is_rejected_by_a_name_that_can_be_written(
    tmp_path: Path, ending: str, data: bytes
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = os.fsencode(folder) + b"/\xff" + ending.encode()
    with open(path, "wb") as file:  # noqa: PTH123  # a name of bytes
        file.write(data)
    report = collect_documents(tmp_path / "ws", folder)
    assert [item.source for item in report.rejected] == [f"folder/\\xff{ending}"]
    listed = (tmp_path / "ws" / "rejected.jsonl").read_text("utf-8")
    assert json.loads(listed)["reason"] == report.rejected[0].reason


def labelled_table(path: Path) -> Path:
    path.write_text("body,kind,text\nthe first text,a,x\nthe second text,b,y\n")
    return path


def test_columns_that_were_named_are_known_when_the_table_is_collected_again(
    store: DocumentStore, collect: Collect, notes: list[SourceNote], tmp_path: Path
) -> None:
    table = labelled_table(tmp_path / "rows.csv")
    collect(table, text_column="body", label_column="kind")
    assert changes(collect(table)) == (0, 2, 0, 0)
    assert (store.labels(), notes[-1].code) == ({"a": 1, "b": 1}, "read_as_before")
    assert notes[-1].values["options"] == "--text-column body --label-column kind"


def test_what_is_said_now_goes_before_what_was_said(
    store: DocumentStore, collect: Collect, tmp_path: Path
) -> None:
    table = labelled_table(tmp_path / "rows.csv")
    collect(table, text_column="body", label_column="kind")
    collect(table, text_column="text")
    assert [(one.text, one.label) for one in store] == [("x", "a"), ("y", "b")]


def test_columns_that_were_named_for_a_table_hold_when_its_folder_is_collected(
    store: DocumentStore, collect: Collect, tmp_path: Path
) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    table = labelled_table(folder / "one.csv")
    (folder / "two.csv").write_text("text\na text\n")
    collect(folder)
    collect(table, text_column="body", label_column="kind")
    assert changes(collect(folder)) == (0, 3, 0, 0)
    assert store.labels() == {"a": 1, "b": 1}


def test_a_wrong_column_is_not_known_the_next_time(
    store: DocumentStore, collect: Collect, tmp_path: Path
) -> None:
    table = labelled_table(tmp_path / "rows.csv")
    collect(table)
    with pytest.raises(ConfigError):
        collect(table, text_column="nowhere")
    assert changes(collect(table)) == (0, 2, 0, 0)


def test_a_fresh_collecting_forgets_the_columns_and_says_that_labels_went(
    store: DocumentStore, collect: Collect, notes: list[SourceNote], tmp_path: Path
) -> None:
    table = labelled_table(tmp_path / "rows.csv")
    collect(table, text_column="body", label_column="kind")
    collect(table, fresh=True)
    assert store.labels() == {}
    assert (notes[-1].code, notes[-1].values["count"]) == ("labels_gone", 2)
    collect(table)
    assert store.labels() == {}


def test_a_file_of_lines_with_an_ending_of_its_own_is_known_again(
    store: DocumentStore, collect: Collect, tmp_path: Path
) -> None:
    file = tmp_path / "train.de"
    file.write_text("eins\nzwei\n")
    collect(file, lines=True)
    report = collect(file)
    assert (changes(report), report.rejected) == ((0, 2, 0, 0), ())


def test_columns_named_for_a_folder_hold_for_a_file_that_was_collected_before_it(
    store: DocumentStore, collect: Collect, tmp_path: Path
) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    table = labelled_table(folder / "one.csv")
    collect(table)
    collect(folder, text_column="body", label_column="kind")
    assert changes(collect(folder)) == (0, 2, 0, 0)
    assert store.labels() == {"a": 1, "b": 1}
