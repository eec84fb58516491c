"""Cleaned documents: every document has its fate, and the way back to the collected text."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm import CleanConfig, DocumentStore, collect_documents
from memlm.errors import CorruptArtefactError
from memlm.prepare import CleanedDocuments, Draft, clean_documents, is_clean, survey_parts
from memlm.prepare import cleaning as module
from memlm.prepare.cleaned import pack_origin, unpack_origin

Clean = Callable[..., CleanedDocuments]
WORDS = [
    "the",
    "river",
    "ran",
    "past",
    "a",
    "mill",
    "where",
    "nobody",
    "had",
    "ground",
    "any",
    "corn",
    "for",
    "sixty",
    "years",
]
LONG = " ".join(WORDS * 3)


@pytest.fixture
def clean(tmp_path: Path) -> Clean:
    def run(texts: list[object], name: str = "ws", **options: object) -> CleanedDocuments:
        collect_documents(tmp_path / name, texts=texts)  # type: ignore[arg-type]
        database = tmp_path / name / "documents.sqlite"
        config = CleanConfig(**options)  # type: ignore[arg-type]
        return clean_documents(tmp_path / name / "cleaned", database, config)

    return run


def drafts(cleaned: CleanedDocuments) -> list[Draft]:
    return [draft for part in cleaned.parts() for draft in part.drafts()]


def test_unchanged_text_is_not_kept_twice(clean: Clean) -> None:
    cleaned = clean(["nothing to do", "a\x07 bell"])
    sizes = [path.stat().st_size for path in cleaned.folder.glob("part-*/texts.bin")]
    assert sizes == [len("a bell")]
    assert [draft.text for draft in drafts(cleaned)] == ["nothing to do", "a bell"]


def test_each_character_knows_where_it_was(clean: Clean) -> None:
    (draft,) = drafts(clean(["\x07one\x07\x07 two 三\x00四"]))
    assert draft.origin is not None
    assert [draft.document.text[place] for place in draft.origin] == list(draft.text)


@given(st.lists(st.integers(0, 3), max_size=50))
def test_origin_survives_packing(steps: list[int]) -> None:
    origin = np.cumsum(steps, dtype=np.int64)
    assert unpack_origin(pack_origin(origin), len(origin)).tolist() == origin.tolist()


def test_every_document_is_kept_or_dropped_with_a_reason(clean: Clean) -> None:
    texts = ["kept", "\x07\x07", LONG, LONG, LONG + " more", "another"]
    cleaned = clean(texts)
    dropped = list(cleaned.dropped())
    assert len(drafts(cleaned)) + len(dropped) == len(texts)
    assert [one["reason"] for one in dropped] == ["empty", "exact_copy", "near_copy"]


def test_copy_names_the_document_that_was_kept(clean: Clean) -> None:
    cleaned = clean([LONG, LONG + " more"])
    (dropped,) = cleaned.dropped()
    (kept,) = drafts(cleaned)
    assert dropped["values"]["kept"] == kept.document.id
    assert 0.5 < dropped["values"]["similarity"] < 1


def test_copies_that_are_wanted_stay_together(clean: Clean) -> None:
    found = drafts(clean([LONG, LONG + " more", "alone"], without=("duplicates",)))
    groups = [draft.group for draft in found]
    assert groups[0] == groups[1] is not None
    assert groups[2] is None


def test_documents_of_other_labels_or_targets_are_no_copies(clean: Clean) -> None:
    texts = [
        {"text": LONG, "label": "a"}, {"text": LONG, "label": "b"},
        {"text": LONG, "label": "a", "target": "x"}, {"text": LONG, "label": "a", "other": "x"},
    ]  # fmt: skip
    cleaned = clean(texts)
    assert len(drafts(cleaned)) == 3
    assert [one["reason"] for one in cleaned.dropped()] == ["exact_copy"]


def test_texts_that_differ_in_normal_form_alone_are_copies(clean: Clean) -> None:
    words = "Où êtes-vous allés l'été dernier, près de la forêt ?"
    forms = [unicodedata.normalize(form, words) for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    assert [one["reason"] for one in clean(forms).dropped()] == ["exact_copy"]


def test_texts_that_only_look_alike_are_no_copies(clean: Clean) -> None:
    # NFKC would make them one, but full width, ligatures and raised digits are what was written.
    cleaned = clean(["ＡＢＣ ﬁne x²", "ABC fine x2"])
    assert [draft.text for draft in drafts(cleaned)] == ["ＡＢＣ ﬁne x²", "ABC fine x2"]


def test_copy_gives_way_to_the_document_whose_side_is_given(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text(LONG, encoding="utf-8")
    collect_documents(tmp_path / "ws", texts=[LONG, "another"])
    collect_documents(tmp_path / "ws", tmp_path / "test.txt", split="held_out")
    cleaned = clean_documents(
        tmp_path / "ws" / "cleaned", tmp_path / "ws" / "documents.sqlite", CleanConfig()
    )
    assert [draft.document.split for draft in drafts(cleaned)] == [None, "held_out"]


def test_any_number_of_processes_writes_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_CHARACTERS", 400)
    texts = [f"{LONG} {number}\x07 {'x' * number}" for number in range(30)]
    collect_documents(tmp_path / "ws", texts=texts)
    folders = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        database = tmp_path / "ws" / "documents.sqlite"
        cleaned = clean_documents(folder, database, CleanConfig(), processes=processes)
        assert len(cleaned.parts()) > 3
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        folders.append({str(path.relative_to(folder)): path.read_bytes() for path in files})
    assert folders[0] == folders[1]


def test_only_what_changed_is_cleaned_again(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART_CHARACTERS", 400)
    texts: list[object] = [{"id": str(n), "text": f"{LONG} {n}"} for n in range(20)]
    before = clean(texts)
    stamps = {path.name: path.stat().st_mtime_ns for path in before.folder.glob("part-*")}
    after = clean(["one more"])
    kept = {path.name: path.stat().st_mtime_ns for path in after.folder.glob("part-*")}
    assert len(stamps.keys() & kept.keys()) >= len(stamps) - 1
    assert all(kept[name] == stamps[name] for name in stamps.keys() & kept.keys())


def test_parts_of_a_cleaning_that_was_killed_are_not_done_again(
    clean: Clean, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_CHARACTERS", 400)
    done: list[object] = []
    most, run_job = [3], module.run_job

    def die_after_some(**given: object) -> dict[str, object]:
        done.append(given["folder"])
        if len(done) > most[0]:
            raise KeyboardInterrupt
        return run_job(**given)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "run_job", die_after_some)
    texts: list[object] = [f"{LONG} {number}" for number in range(20)]
    with pytest.raises(KeyboardInterrupt):
        clean(texts)
    before = set(done[:3])
    done.clear()
    most[0] = 1000
    clean([])
    assert not before & set(done)
    assert done


def test_part_has_a_bounded_number_of_documents_however_short_they_are(
    clean: Clean, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_CHARACTERS", 400)
    cleaned = clean([str(number) for number in range(35)])
    assert [len(list(part.drafts())) for part in cleaned.parts()] == [10, 10, 10, 5]


def test_change_of_documents_or_config_makes_it_stale(clean: Clean) -> None:
    cleaned = clean(["text"])
    with DocumentStore(cleaned.folder.parent / "documents.sqlite") as store:
        digest = store.digest()
    assert is_clean(cleaned.folder, digest=digest, config=CleanConfig())
    assert not is_clean(cleaned.folder, digest="0", config=CleanConfig())
    other = CleanConfig(without=("duplicates",))
    assert not is_clean(cleaned.folder, digest=digest, config=other)


def test_dropped_documents_are_listed_as_json(clean: Clean) -> None:
    cleaned = clean(["\x07", "text"])
    lines = (cleaned.folder / "dropped.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line).keys() for line in lines] == [{"id", "step", "reason", "values"}]


def test_document_that_comes_back_in_another_row_keeps_its_own_text(tmp_path: Path) -> None:
    """Rows of a database are given out again: a document is known by its id alone."""
    database, folder = tmp_path / "ws" / "documents.sqlite", tmp_path / "ws" / "cleaned"

    def collect(*names: str) -> None:
        for name in names:
            path = tmp_path / f"{name[0]}.jsonl"
            path.write_text(json.dumps({"id": name, "text": f"\x07{name} of \x07it"}), "utf-8")
            collect_documents(tmp_path / "ws", path)

    collect("P", "Q")
    before = [draft.text for draft in drafts(clean_documents(folder, database, CleanConfig()))]
    collect("P2", "Q2", "Q", "P")
    after = drafts(clean_documents(folder, database, CleanConfig()))
    assert [draft.text for draft in after] == before == ["P of it", "Q of it"]
    for draft in after:
        assert draft.origin is not None
        assert [draft.document.text[place] for place in draft.origin] == list(draft.text)


@pytest.mark.parametrize("column", ["Answer", "SUMMARY", " output ", "Completion", "答案", "译文"])
def test_target_is_known_however_its_column_is_written(clean: Clean, column: str) -> None:
    cleaned = clean([{"text": LONG, column: f"no. {number}"} for number in range(5)])
    assert len(drafts(cleaned)) == 5


def test_copy_that_differs_in_another_column_says_in_which(clean: Clean) -> None:
    cleaned = clean([{"text": LONG, "author": name, "year": 1} for name in ("Ann", "Bo", "Ann")])
    found = [one["values"].get("differs_in") for one in cleaned.dropped()]
    assert found == [["author"], None]


def test_documents_that_differ_in_stop_words_are_no_copies(clean: Clean) -> None:
    texts: list[object] = ["the cat sat on a mat", "a cat sat under the mat", "the"]
    cleaned = clean(texts, remove_stop_words=True)
    assert [draft.text for draft in drafts(cleaned)] == ["cat sat mat", "cat sat mat"]
    assert [one["reason"] for one in cleaned.dropped()] == ["empty"]


def test_near_copies_are_told_by_the_text_before_stop_words_go(clean: Clean) -> None:
    cleaned = clean([LONG, LONG + " more"], remove_stop_words=True)
    (dropped,) = cleaned.dropped()
    assert dropped["values"]["similarity"] == 0.938  # 15 of 16 shingles


def test_one_text_under_two_labels_is_kept_together(clean: Clean) -> None:
    texts: list[object] = [
        {"text": LONG, "label": "a"}, {"text": LONG, "label": "b"}, {"text": LONG, "label": "b"},
        {"text": "alone", "label": "a"}, {"text": "twice"}, {"text": "twice"},
    ]  # fmt: skip
    groups = [draft.group for draft in drafts(clean(texts))]
    assert groups[0] == groups[1] is not None
    assert groups[2:] == [None, None]  # whose copy is gone is alone


@pytest.mark.parametrize(
    "name",
    ["part-*/texts.bin", "part-*/fates.bin", "copies.bin", "cuts.bin", "dropped.jsonl",
     "personal.jsonl"],
)  # fmt: skip
def test_changed_byte_is_said_before_anything_is_cut(clean: Clean, name: str) -> None:
    texts = ["\x07bell", LONG, LONG, "mail to ann@example.org"]
    passage = " ".join(f"word{number}" for number in range(60))
    cleaned = clean([*texts, f"{passage}\nand again\n{passage}"], redact=True, drop_repeats=True)
    (path,) = cleaned.folder.glob(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptArtefactError) as caught:
        drafts(cleaned)
    assert caught.value.values["path"] == path


def test_only_documents_that_are_kept_count_as_masked_and_cleaned(clean: Clean) -> None:
    text = "\x07Mail to ann@example.org today"
    cleaned = clean([text, text, f"{text} or tomorrow"], redact=True)
    assert cleaned.header["masked"] == {"email": 2}
    assert cleaned.header["removed"] == {"control": 2}
    lines = (cleaned.folder / "personal.jsonl").read_text("utf-8").splitlines()
    ids = [json.loads(line)["document_id"] for line in lines]
    assert ids == [draft.document.id for draft in drafts(cleaned)]
    assert len(list(cleaned.masked())) == 3  # a trace shows copies, too


def test_share_of_chinese_is_that_of_the_documents_that_are_kept(clean: Clean) -> None:
    han = "床前明月光疑是地上霜"
    cleaned = clean([han, *[{"text": f"{LONG}{'!' * n}"} for n in range(6)]])
    survey = survey_parts(cleaned.parts())
    assert survey.han == len(han)
    assert survey.characters == len(han) + len(LONG)


def test_part_that_a_crash_left_makes_it_stale_and_goes(clean: Clean, tmp_path: Path) -> None:
    cleaned = clean(["a\x07 bell"])
    digest = cleaned.header["documents"]
    assert is_clean(cleaned.folder, digest=digest, config=CleanConfig())
    (cleaned.folder / "part-of-others").mkdir()
    assert not is_clean(cleaned.folder, digest=digest, config=CleanConfig())
    clean(["a\x07 bell"])
    assert not (cleaned.folder / "part-of-others").exists()
    assert is_clean(cleaned.folder, digest=digest, config=CleanConfig())
