"""`documents.sqlite`: ids that never change, a digest of everything, deleted text that is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from memlm.documents import (
    DocumentStore,
    MergeCounts,
    Root,
    has_only_lost,
    has_unerased,
    note_erased,
    remove_documents,
)
from memlm.errors import CorruptArtefactError, InputError, ResourceError
from memlm.messages import in_language
from memlm.records import SourceProblem, SourceText, Split

Row = tuple[str, str] | str


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DocumentStore]:
    with DocumentStore(tmp_path / "documents.sqlite") as opened:
        yield opened


@pytest.fixture
def root(store: DocumentStore, tmp_path: Path) -> Root:
    return store.add_root(tmp_path / "rows.csv", is_folder=False)


def merge(
    store: DocumentStore,
    root: Root,
    rows: Iterable[Row],
    *,
    path: str = "",
    split: Split | None = None,
) -> MergeCounts:
    """Merge rows (texts, or key and text) of one file, the first of them in line 2."""
    with store.merging(root, path, bytes_hash="", reading="") as merging:
        for line, row in enumerate(rows, start=2):
            key, text = row if isinstance(row, tuple) else (None, row)
            merging.add(SourceText(text=text, position=line, key=key), split=split)
    return merging.counts


def ids_by_text(store: DocumentStore) -> dict[str, str]:
    return {document.text: document.id for document in store}


# -- merging ------------------------------------------------------------------------------------


def test_merging_the_same_rows_again_changes_nothing(store: DocumentStore, root: Root) -> None:
    merge(store, root, ["a", "b"])
    before = ids_by_text(store), store.digest()
    assert merge(store, root, ["a", "b"]) == MergeCounts(unchanged=2)
    assert (ids_by_text(store), store.digest()) == before


def test_editing_one_row_touches_one_document(store: DocumentStore, root: Root) -> None:
    merge(store, root, ["a", "b", "c"])
    before = ids_by_text(store)
    assert merge(store, root, ["a", "B", "c"]) == MergeCounts(unchanged=2, changed=1)
    after = ids_by_text(store)
    assert (after["a"], after["c"]) == (before["a"], before["c"])


def test_row_with_a_key_keeps_its_id_when_it_is_edited(store: DocumentStore, root: Root) -> None:
    merge(store, root, [("1", "a"), ("2", "b")])
    before = ids_by_text(store)
    assert merge(store, root, [("1", "a"), ("2", "B")]) == MergeCounts(unchanged=1, changed=1)
    assert ids_by_text(store)["B"] == before["b"]


@pytest.mark.parametrize("keyed", [True, False], ids=["with keys", "without"])
def test_rows_keep_their_ids_when_they_move(store: DocumentStore, root: Root, keyed: bool) -> None:
    def rows(text: str) -> list[Row]:
        return [(letter, letter) if keyed else letter for letter in text]

    merge(store, root, rows("abc"))
    before = ids_by_text(store)
    assert merge(store, root, rows("xcab")) == MergeCounts(unchanged=3, added=1)
    assert {text: ids_by_text(store)[text] for text in "abc"} == before
    assert [document.text for document in store] == list("xcab")


def test_rows_that_are_alike_have_ids_of_their_own(store: DocumentStore, root: Root) -> None:
    assert merge(store, root, ["same", "same", "same"]).added == 3
    assert len({document.id for document in store}) == 3
    assert merge(store, root, ["same", "same"]) == MergeCounts(unchanged=2, removed=1)


def test_keys_that_are_alike_have_ids_of_their_own(store: DocumentStore, root: Root) -> None:
    merge(store, root, [("1", "a"), ("1", "b")])
    assert len({document.id for document in store}) == 2


def test_rows_that_are_gone_are_removed(store: DocumentStore, root: Root) -> None:
    merge(store, root, ["a", "b", "c"])
    assert merge(store, root, ["c"]) == MergeCounts(unchanged=1, removed=2)
    assert [document.text for document in store] == ["c"]


def test_other_files_of_the_root_are_left_alone(store: DocumentStore, tmp_path: Path) -> None:
    folder = store.add_root(tmp_path / "notes", is_folder=True)
    merge(store, folder, ["a"], path="one.csv")
    merge(store, folder, ["b"], path="two.csv")
    assert merge(store, folder, [], path="one.csv") == MergeCounts(removed=1)
    assert [document.source for document in store] == ["notes/two.csv:2"]


def test_same_text_in_two_files_is_two_documents(store: DocumentStore, tmp_path: Path) -> None:
    folder = store.add_root(tmp_path / "notes", is_folder=True)
    merge(store, folder, ["a"], path="one.csv")
    merge(store, folder, ["a"], path="two.csv")
    assert len({document.id for document in store}) == 2


def test_others_are_kept_where_that_is_asked(store: DocumentStore) -> None:
    root = store.memory_root()
    for text in ("a", "b"):
        with store.merging(root, "", bytes_hash="", reading="", keeps_others=True) as merging:
            merging.add(SourceText(text=text, position=1))
    assert {document.text for document in store} == {"a", "b"}


@pytest.mark.parametrize(
    "change",
    [
        lambda: SourceText(text="a", position=2, label="other"),
        lambda: SourceText(text="a", position=2, fields={"stars": 4}),
        lambda: SourceText(text="A", position=2),
    ],
    ids=["label", "fields", "text"],
)
def test_everything_of_a_document_is_in_the_digest(
    store: DocumentStore, root: Root, change: Callable[[], SourceText]
) -> None:
    merge(store, root, ["a"])
    before = store.digest()
    with store.merging(root, "", bytes_hash="", reading="") as merging:
        merging.add(change())
    assert store.digest() != before


def test_digest_does_not_depend_on_the_order(tmp_path: Path) -> None:
    digests = []
    for name, rows in [("one", "abcd"), ("other", "dcba")]:
        with DocumentStore(tmp_path / name) as store:
            merge(store, store.memory_root(), rows)
            digests.append(store.digest())
    assert digests[0] == digests[1]


def test_digest_returns_when_the_documents_do(store: DocumentStore, root: Root) -> None:
    empty = store.digest()
    merge(store, root, ["a"])
    before = store.digest()
    merge(store, root, ["a", "b"])
    merge(store, root, ["a"])
    assert store.digest() == before
    merge(store, root, [])
    assert store.digest() == empty


def test_failing_merge_leaves_everything_as_before(store: DocumentStore, root: Root) -> None:
    merge(store, root, ["a", "b"])
    before = list(store), store.digest(), list(store.rejected())

    def rows() -> Iterator[str]:
        yield "a"
        yield "new"
        raise InputError("text_empty")

    with pytest.raises(InputError):
        merge(store, root, rows())
    assert (list(store), store.digest(), list(store.rejected())) == before
    assert merge(store, root, ["a", "b", "c"]) == MergeCounts(unchanged=2, added=1)


def test_document_comes_back_as_it_was_stored(store: DocumentStore, root: Root) -> None:
    fields = {"stars": 4, "作者": "某人", "nested": {"a": [1, None]}}
    found = SourceText(text="灯\0 😀\u2028", position=7, label="好", fields=fields)
    with store.merging(root, "", bytes_hash="", reading="") as merging:
        identity = merging.add(found, split="held_out")
    document = store.get(identity)
    assert document is not None
    assert (document.text, document.label, dict(document.fields)) == (found.text, "好", fields)
    assert (document.source, document.split) == ("rows.csv:7", "held_out")


def test_long_text_is_stored_in_parts(
    store: DocumentStore, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memlm.documents.merge.PART_CHARACTERS", 7)
    text = "灯火阑珊处 and all that 😀"
    merge(store, root, [text])
    assert [document.text for document in store] == [text]
    assert store.characters() == len(text)


def test_counts_by_label_and_by_source(store: DocumentStore, root: Root) -> None:
    with store.merging(root, "", bytes_hash="", reading="") as merging:
        for line, label in enumerate(["yes", "no", "yes", None], start=2):
            merging.add(SourceText(text="text", position=line, label=label))
    assert store.labels() == {"no": 1, "yes": 2}
    assert store.sources() == [("rows.csv", 4, 16)]


def test_unknown_document_is_none(store: DocumentStore) -> None:
    assert store.get("0123") is None
    assert store.source_of("0123") is None


# -- members of archives ------------------------------------------------------------------------


def member(text: str, name: str, position: int | None = None) -> SourceText:
    return SourceText(text=text, member=name, position=position)


def merge_members(store: DocumentStore, root: Root, found: Iterable[SourceText]) -> MergeCounts:
    with store.merging(root, "", bytes_hash="", reading="") as merging:
        for item in found:
            merging.add(item)
    return merging.counts


def test_source_of_a_member_has_its_path(store: DocumentStore, tmp_path: Path) -> None:
    archive = store.add_root(tmp_path / "corpus.zip", is_folder=False)
    merge_members(store, archive, [member("a", "inner/a.csv", 12), member("b", "b.txt")])
    sources = {document.text: document.source for document in store}
    assert sources == {"a": "corpus.zip/inner/a.csv:12", "b": "corpus.zip/b.txt"}
    assert {store.source_of(document.id) for document in store} == set(sources.values())


def test_same_text_in_two_members_is_two_documents(store: DocumentStore, root: Root) -> None:
    rows = [member("same", "a.csv", 2), member("same", "b.csv", 2)]
    merge_members(store, root, rows)
    before = {document.source: document.id for document in store}
    assert merge_members(store, root, reversed(rows)) == MergeCounts(unchanged=2)
    assert {document.source: document.id for document in store} == before


def test_member_keeps_its_id_when_it_is_edited_or_another_comes(
    store: DocumentStore, root: Root
) -> None:
    merge_members(store, root, [member("a", "a.txt")])
    before = next(iter(store)).id
    changed = [member("new", "0.txt"), member("A", "a.txt")]
    assert merge_members(store, root, changed) == MergeCounts(changed=1, added=1)
    assert ids_by_text(store)["A"] == before


def test_member_that_is_gone_is_not_taken_for_a_row_that_changed(
    store: DocumentStore, root: Root
) -> None:
    merge_members(store, root, [member("a", "a.csv", 2)])
    assert merge_members(store, root, [member("b", "b.csv", 2)]) == MergeCounts(added=1, removed=1)


def test_problem_of_a_member_is_listed_with_its_path(store: DocumentStore, root: Root) -> None:
    with store.merging(root, "", bytes_hash="1", reading="") as merging:
        merging.reject(SourceProblem(code="text_empty", values={}, position=3, member="a.csv"))
    assert [(item.source, item.position) for item in store.rejected()] == [("rows.csv/a.csv", 3)]


# -- what could not be read ---------------------------------------------------------------------


def test_sentences_of_a_chinese_reason_have_no_space_between_them(
    store: DocumentStore, root: Root
) -> None:
    problem = SourceProblem(code="ending_unknown", values={"path": "a.mp3", "ending": ".mp3"})
    store.reject_file(root, "a.mp3", problem)
    with in_language("zh"):
        (rejected,) = store.rejected()
    assert "。可读取" in rejected.reason


def test_rejected_row_is_listed_until_the_file_is_read_again(
    store: DocumentStore, root: Root
) -> None:
    with store.merging(root, "", bytes_hash="1", reading="") as merging:
        merging.reject(SourceProblem(code="text_empty", values={}, position=3))
    assert [(item.source, item.position) for item in store.rejected()] == [("rows.csv", 3)]
    merge(store, root, ["a"])
    assert list(store.rejected()) == []


def test_rejected_file_keeps_the_documents_that_it_gave(store: DocumentStore, root: Root) -> None:
    merge(store, root, ["a"])
    store.reject_file(root, "", SourceProblem(code="file_empty", values={"path": "rows.csv"}))
    assert store.count() == 1
    assert [item.position for item in store.rejected()] == [None]


def test_rejected_file_is_read_again_though_its_old_bytes_are_back(
    store: DocumentStore, root: Root
) -> None:
    with store.merging(root, "", bytes_hash="old", reading="r"):
        pass
    assert store.file_is_current(root, "", bytes_hash="old", reading="r")
    store.reject_file(root, "", SourceProblem(code="file_empty", values={"path": "rows.csv"}))
    assert not store.file_is_current(root, "", bytes_hash="old", reading="r")


def test_file_is_rejected_whole_or_not_at_all(
    store: DocumentStore, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.merging(root, "", bytes_hash="old", reading="r"):
        pass
    problem = SourceProblem(code="file_empty", values={"path": "rows.csv"})
    monkeypatch.setattr("memlm.documents.store.json.dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.reject_file(root, "", problem)
    assert store.file_is_current(root, "", bytes_hash="old", reading="r")


def test_problem_may_hold_what_utf8_cannot(store: DocumentStore, root: Root) -> None:
    store.reject_file(root, "", SourceProblem(code="not_readable", values={"path": "\udcff.txt"}))
    assert "\\xff.txt" in next(store.rejected()).reason


# -- roots --------------------------------------------------------------------------------------


def test_root_is_found_by_its_place(store: DocumentStore, root: Root, tmp_path: Path) -> None:
    assert store.find_root(tmp_path / "rows.csv", is_folder=False) == root
    assert store.find_root(tmp_path / "other.csv", is_folder=False) is None


def test_folder_is_not_the_file_that_had_its_name(
    store: DocumentStore, root: Root, tmp_path: Path
) -> None:
    assert store.find_root(tmp_path / "rows.csv", is_folder=True) is None
    assert store.add_root(tmp_path / "rows.csv", is_folder=True).number != root.number


def test_texts_from_memory_have_one_root_wherever_we_are(
    store: DocumentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = store.memory_root()
    folder = store.add_root(tmp_path / "texts", is_folder=True)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert store.memory_root() == first
    assert folder.number != first.number


def test_no_path_is_in_the_file(store: DocumentStore, root: Root, tmp_path: Path) -> None:
    merge(store, root, ["a"])
    assert str(tmp_path).encode() not in store.path.read_bytes()


# -- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [40, 300_000], ids=["short", "many pages"])
def test_deleted_text_is_gone_from_the_bytes_of_the_file(tmp_path: Path, size: int) -> None:
    secret = "the password is swordfish. "
    text = (secret * (size // len(secret) + 1))[: max(size, len(secret))]
    with DocumentStore(tmp_path / "documents.sqlite") as store:
        root = store.memory_root()
        merge(store, root, ["keep", text])
    assert b"swordfish" in store.path.read_bytes()
    with DocumentStore(store.path) as store:
        merge(store, root, ["keep"])
    assert b"swordfish" not in store.path.read_bytes()


def test_reading_does_not_wait_for_a_writer(store: DocumentStore, root: Root) -> None:
    merge(store, root, ["a"])
    with (
        store.merging(root, "other", bytes_hash="", reading=""),
        DocumentStore(store.path) as other,
    ):
        assert other.count() == 1


def test_second_writer_is_told_that_the_workspace_is_busy(
    store: DocumentStore, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda path, **options: connect(path, isolation_level=None, timeout=0)
    )
    with (
        store.merging(root, "", bytes_hash="", reading=""),
        DocumentStore(store.path) as other,
        pytest.raises(InputError) as caught,
    ):
        merge(other, root, ["b"])
    assert caught.value.code == "workspace_busy"


def test_file_that_is_no_database_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "documents.sqlite").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(CorruptArtefactError), DocumentStore(tmp_path / "documents.sqlite"):
        pass


@pytest.mark.parametrize(
    "damaged",
    ["an easily fuund 词 text".encode(), b"an easily found \xff\xaf\x8d text"],
    ids=["a character", "no UTF-8 any more"],
)
def test_changed_text_is_corrupt(tmp_path: Path, damaged: bytes) -> None:
    with DocumentStore(tmp_path / "documents.sqlite") as store:
        merge(store, store.memory_root(), ["an easily found 词 text"])
    data = store.path.read_bytes()
    store.path.write_bytes(data.replace("an easily found 词 text".encode(), damaged))
    with DocumentStore(store.path) as store, pytest.raises(CorruptArtefactError):
        list(store)


def test_truncated_database_is_corrupt(tmp_path: Path) -> None:
    with DocumentStore(tmp_path / "documents.sqlite") as store:
        merge(store, store.memory_root(), ["word " * 20_000])
    data = store.path.read_bytes()
    store.path.write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptArtefactError), DocumentStore(store.path) as store:
        list(store)


def test_database_that_cannot_be_opened_is_a_resource_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceError), DocumentStore(tmp_path / "missing" / "documents.sqlite"):
        pass


def test_full_disk_is_a_resource_error_and_loses_nothing(store: DocumentStore, root: Root) -> None:
    merge(store, root, ["a"])
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(ResourceError):
        merge(store, root, ["a", "long " * 10_000])
    assert [document.text for document in store] == ["a"]


def test_documents_can_be_read_on_another_thread(store: DocumentStore, root: Root) -> None:
    # As the library `tokenizers` reads the texts that it learns from.
    merge(store, root, ["one", "two"])
    with ThreadPoolExecutor(1) as thread:
        assert set(thread.submit(ids_by_text, store).result()) == {"one", "two"}


# -- what was removed and is not erased yet -----------------------------------------------------


def test_removed_document_is_gone_and_the_others_are_as_they_were(store, root):
    merge(store, root, ["a", "b", "c"])
    kept = {text: identity for text, identity in ids_by_text(store).items() if text != "b"}
    assert remove_documents(store, [ids_by_text(store)["b"], "no such id"]) == 1
    assert ids_by_text(store) == kept
    before = store.digest()
    assert merge(store, root, ["a", "c"]) == MergeCounts(unchanged=2)
    assert store.digest() == before


@pytest.mark.parametrize("rows", [["a"], ["a", "b changed"]], ids=["removed", "changed"])
def test_text_that_went_is_noted_until_it_is_erased(store, root, rows):
    merge(store, root, ["a", "b"])
    assert not has_unerased(store)
    merge(store, root, rows)
    assert has_unerased(store)
    note_erased(store)
    assert not has_unerased(store)


def test_what_was_lost_and_what_was_added_are_told_apart(store, root):
    merge(store, root, ["a", "b", "c"])
    before = store.digest()
    assert has_only_lost(store, before)
    remove_documents(store, [ids_by_text(store)["b"]])
    merge(store, root, ["a"])
    assert has_only_lost(store, before)
    merge(store, root, ["a", "d"])
    assert not has_only_lost(store, before)
    note_erased(store)
    assert has_only_lost(store, store.digest())


def test_nobody_knows_what_a_file_of_an_older_memlm_lost(store, root):
    merge(store, root, ["a", "b"])
    store._run("DELETE FROM meta WHERE key='removed'")
    before = store.digest()
    assert has_unerased(store)
    remove_documents(store, [ids_by_text(store)["b"]])
    assert not has_only_lost(store, before)


@pytest.mark.parametrize("build", ["ON", "OFF"])
def test_removed_text_is_overwritten_whatever_the_build_of_sqlite_does(
    tmp_path, monkeypatch, build
):
    """Some builds delete securely by default, others not; memlm says what it wants."""
    connect, secret = sqlite3.connect, "zyxwvqk 秘密 " * 4000  # more than a page

    def as_built(*args, **kwargs):
        connection = connect(*args, **kwargs)
        connection.execute(f"PRAGMA secure_delete={build}")
        return connection

    monkeypatch.setattr(sqlite3, "connect", as_built)
    path = tmp_path / "documents.sqlite"
    with DocumentStore(path) as store:
        merge(store, store.add_root(tmp_path / "x", is_folder=False), ["kept", secret])
        assert "秘密".encode() in path.read_bytes()
        remove_documents(store, [ids_by_text(store)[secret]])
    assert [form for form in ("秘密", "zyxwvqk") if form.encode() in path.read_bytes()] == []
    assert [file.name for file in tmp_path.iterdir()] == ["documents.sqlite"]
