"""Passages that occur again: all are found, none is invented, and what is cut is accounted for."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memlm import CleanConfig, DocumentStore, PrepareConfig, collect_documents, prepare_documents
from memlm.errors import CorruptArtefactError
from memlm.index import Entry, SegmentEntry, SuffixIndex, open_index, refresh_index
from memlm.prepare import CleanedDocuments, Draft, clean_documents, survey_parts
from memlm.prepare import cleaning as cleaning_module
from memlm.prepare import joining as joining_module
from memlm.prepare import repeats as module
from memlm.prepare import winnow as winnow_module
from memlm.prepare.repeats import PartPrints, Repeat, find_repeats, write_fingerprints
from memlm.prepare.winnow import PASSAGE, fingerprints

Find = Callable[[Sequence[str]], list[Repeat]]
ALPHABETS = {"two": "ab", "latin": "abcdefgh ", "hanzi": "甲乙丙丁戊", "mixed": "甲乙丙abcd é"}
Covered = set[tuple[int, int]]


def width(character: str) -> int:
    return 2 if "\u4e00" <= character <= "\u9fff" else 1


def brute_force(texts: Sequence[str]) -> Covered:
    """Return (document, place) of all that is in a passage of 100 characters that came before."""
    first: dict[str, tuple[int, int]] = {}
    covered: Covered = set()
    for number, text in enumerate(texts):
        for start in range(len(text)):
            end, size = start, 0
            while end < len(text) and size < PASSAGE:
                size, end = size + width(text[end]), end + 1
            if size < PASSAGE:
                break
            owner, before = first.setdefault(text[start:end], (number, start))
            if owner != number or before + (end - start) <= start:
                covered.update((number, place) for place in range(start, end))
    return covered


def make_texts(seed: int, alphabet: str) -> list[str]:
    """Make documents of pieces that come back, whole and in part, beside new ones."""
    draw = random.Random(seed)

    def new(length: int) -> str:
        return "".join(draw.choices(alphabet, k=length))

    pieces = [new(length) for length in (30, 60, 99, 100, 101, 150, 400)]
    pieces += [alphabet[0] * 350, alphabet[:3] * 60]
    texts = []
    for _ in range(12):
        parts = []
        for piece in draw.choices(pieces, k=draw.randrange(5)):
            place = draw.randrange(len(piece))
            parts.append(draw.choice([piece, piece[:place], piece[place:], new(20)]))
        texts.append("".join(parts))
    return texts


@pytest.fixture
def find(tmp_path: Path) -> Find:
    def run(texts: Sequence[str]) -> list[Repeat]:
        parts, half = [], len(texts) // 2
        for number, bounds in enumerate(((0, half), (half, len(texts)))):
            held = texts[slice(*bounds)]
            path = tmp_path / f"{number}.bin"
            write_fingerprints(path, *fingerprints(held))
            sizes = np.array([len(text) for text in held], dtype=np.int64)
            parts.append(PartPrints(path, bounds[0], sizes))
        order = np.arange(len(texts), dtype=np.int64)
        return list(find_repeats(parts, order, read=lambda row: texts[row], work=tmp_path))

    return run


def test_more_parts_than_files_may_be_open_are_searched(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    passage = "It is long enough to be found wherever it may stand again. " * 3
    texts = [f"{number} {passage}" for number in range(60)]
    parts = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.bin"
        write_fingerprints(path, *fingerprints([text]))
        parts.append(PartPrints(path, number, np.array([len(text)], dtype=np.int64)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 30, hard))
    try:
        found = list(find_repeats(parts, np.arange(60), read=texts.__getitem__, work=tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [one.row for one in found] == list(range(1, 60))


def index_of(folder: Path, texts: Sequence[str]) -> SuffixIndex:
    documents = {f"{number:016x}": text for number, text in enumerate(texts)}
    refresh_index(
        folder,
        digest="d",
        entries={identity: Entry("c", len(text)) for identity, text in documents.items()},
        read=lambda ids: (SegmentEntry(one, "c", documents[one]) for one in ids),
    )
    return open_index(folder)


@pytest.mark.parametrize("at_once", [50, 1 << 21], ids=["many ranges", "one range"])
@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
@pytest.mark.parametrize("seed", range(4))
def test_every_passage_of_the_guaranteed_length_is_found(
    find: Find, monkeypatch: pytest.MonkeyPatch, seed: int, alphabet: str, at_once: int
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    texts = make_texts(seed, alphabet)
    expected = brute_force(texts)
    found = {(one.row, place) for one in find(texts) for place in range(one.start, one.end)}
    assert expected
    assert not expected - found


@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
@pytest.mark.parametrize("seed", range(4))
def test_every_reported_passage_occurs_twice_by_the_index(
    find: Find, tmp_path: Path, seed: int, alphabet: str
) -> None:
    texts = make_texts(seed, alphabet)
    index = index_of(tmp_path / "index", texts)
    for one in find(texts):
        passage = texts[one.row][one.start : one.end]
        assert sum(map(width, passage)) >= PASSAGE
        assert texts[one.first_row][one.first_start :].startswith(passage)
        assert (one.first_row, one.first_start) < (one.row, one.start)
        assert 2 <= index.count(passage) <= one.times


def test_passage_is_followed_as_far_as_both_texts_agree(find: Find) -> None:
    draw = random.Random(1)
    shared, *others = ("".join(draw.choices("abcdefgh ", k=5000)) for _ in range(5))
    texts = [f"{others[0]}<{shared}>{others[1]}", f"{others[2]}[{shared}]{others[3]}"]
    assert find(texts) == [Repeat(1, 5001, 10001, 0, 5001, 2)]


def test_hanzi_counts_as_two_characters(find: Find) -> None:
    draw = random.Random(2)
    fifty = "".join(draw.choices([chr(0x4E00 + n) for n in range(2000)], k=50))
    assert [one.end - one.start for one in find([f"甲{fifty}乙", f"丙{fifty}丁"])] == [50]
    assert find([f"甲{fifty[1:]}乙", f"丙{fifty[1:]}丁"]) == []


# -- in the pipeline ----------------------------------------------------------------------------

LICENCE = (
    "Permission is granted to anyone to use this text for any purpose, " * 2 + "free of charge."
)
Clean = Callable[..., CleanedDocuments]


@pytest.fixture
def clean(tmp_path: Path) -> Clean:
    def run(texts: Sequence[object], **options: object) -> CleanedDocuments:
        collect_documents(tmp_path / "ws", texts=texts)  # type: ignore[arg-type]
        database = tmp_path / "ws" / "documents.sqlite"
        config = CleanConfig(**options)  # type: ignore[arg-type]
        return clean_documents(tmp_path / "ws" / "cleaned", database, config)

    return run


def filler(seed: int, length: int = 60) -> str:
    words = ["river", "mill", "corn", "ground", "years", "nobody", "past", "ran", "sixty", "where"]
    draw = random.Random(seed)
    return " ".join(draw.choice(words) + str(draw.randrange(1000)) for _ in range(length))


def with_licence() -> list[str]:
    return [f"{filler(n)}.\n{LICENCE} End of {n}, {filler(n + 50)}" for n in range(4)]


def drafts(cleaned: CleanedDocuments) -> list[Draft]:
    return [draft for part in cleaned.parts() for draft in part.drafts()]


def lines(cleaned: CleanedDocuments) -> list[dict[str, Any]]:
    text = (cleaned.folder / "repeats.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_repeats_are_reported_and_kept_unless_asked(clean: Clean) -> None:
    texts = with_licence()
    cleaned = clean(texts)
    assert [draft.text for draft in drafts(cleaned)] == texts
    assert cleaned.header["repeats"]["passages"] == 3
    assert cleaned.header["repeats"]["cut"] == 0
    assert [one["times"] for one in lines(cleaned)] == [4, 4, 4]


def test_repeats_are_not_looked_for_where_that_step_is_left_out(clean: Clean) -> None:
    cleaned = clean(with_licence(), without=("repeats",))
    assert cleaned.header["repeats"]["passages"] == 0
    assert lines(cleaned) == []


def test_reported_places_are_in_the_collected_text(clean: Clean) -> None:
    cleaned = clean([f"\x07\x07{text}" for text in with_licence()])
    with DocumentStore(cleaned.folder.parent / "documents.sqlite") as store:
        texts = {document.id: document.text for document in store}
    for line in lines(cleaned):
        first = line["first"]
        passage = texts[line["id"]][line["start"] : line["end"]]
        assert LICENCE in passage
        assert texts[first["id"]][first["start"] : first["end"]] == passage


def test_asked_for_drop_leaves_the_first_occurrence(clean: Clean) -> None:
    found = drafts(clean(with_licence(), drop_repeats=True))
    assert [draft.text.count(LICENCE) for draft in found] == [1, 0, 0, 0]
    assert found[1].text == f"{filler(1)}\n1, {filler(51)}"
    assert not find_again(found)


def find_again(found: Sequence[Draft]) -> Covered:
    return brute_force([draft.text for draft in found])


def test_characters_around_a_cut_know_where_they_were(clean: Clean) -> None:
    texts = [f"\x07{text}" for text in with_licence()]
    for draft in drafts(clean(texts, drop_repeats=True))[1:]:
        assert draft.origin is not None
        assert len(draft.text) < len(draft.document.text) - len(LICENCE)
        found = [draft.document.text[place] for place in draft.origin]
        assert [(a, b) for a, b in zip(found, draft.text, strict=True) if a != b] == [(".", "\n")]


def test_what_is_cut_is_counted(clean: Clean) -> None:
    texts = with_licence()
    cleaned = clean(texts, drop_repeats=True)
    kept = sum(len(draft.text) for draft in drafts(cleaned))
    line_ends = 3  # one for each cut
    assert sum(map(len, texts)) - kept + line_ends == cleaned.header["repeats"]["cut"]
    assert survey_parts(cleaned.parts()).characters == kept


def test_document_of_repeats_alone_is_dropped_with_its_reason(clean: Clean) -> None:
    texts = [f"{filler(1)} {LICENCE}", f"{filler(2)} {filler(3)}", LICENCE]
    cleaned = clean(texts, drop_repeats=True)
    assert len(drafts(cleaned)) == 2
    (dropped,) = cleaned.dropped()
    assert (dropped["reason"], dropped["values"]) == ("all_repeated", {"cut": len(LICENCE)})


def test_occurrence_whose_side_is_given_stays(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text(with_licence()[0], encoding="utf-8")
    collect_documents(tmp_path / "ws", texts=with_licence()[1:])
    collect_documents(tmp_path / "ws", tmp_path / "test.txt", split="held_out")
    cleaned = clean_documents(
        tmp_path / "ws" / "cleaned",
        tmp_path / "ws" / "documents.sqlite",
        CleanConfig(drop_repeats=True),
    )
    found = {draft.document.split: draft.text.count(LICENCE) for draft in drafts(cleaned)}
    assert found == {None: 0, "held_out": 1}


def test_parts_are_not_cleaned_again_to_cut_repeats(
    clean: Clean, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean(with_licence())
    monkeypatch.setattr(cleaning_module, "run_job", None)
    cut = clean([], drop_repeats=True)
    assert cut.header["repeats"]["cut"] > 0


def test_what_a_killed_search_left_is_cleared_away(clean: Clean, tmp_path: Path) -> None:
    clean(with_licence())
    left = tmp_path / "ws" / "cleaned" / "repeats-unfinished"
    left.mkdir()
    (left / "hashed-0.bin").write_bytes(b"half of a record")
    cleaned = clean([], drop_repeats=True)
    assert cleaned.header["repeats"]["passages"] == 3
    assert not left.exists()


def test_damaged_list_of_cuts_is_told(clean: Clean) -> None:
    cleaned = clean(with_licence(), drop_repeats=True)
    (cleaned.folder / "cuts.bin").write_bytes(b"half")
    with pytest.raises(CorruptArtefactError):
        drafts(cleaned)


def test_passage_across_slices_of_a_long_text_is_found(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winnow_module, "_AT_ONCE", 256)
    texts = ["".join(make_texts(seed, ALPHABETS["mixed"])) for seed in range(3)]
    expected = brute_force(texts)
    found = {(one.row, place) for one in find(texts) for place in range(one.start, one.end)}
    assert expected
    assert not expected - found


def test_a_part_with_other_cuts_is_another_part(clean: Clean) -> None:
    keys = [
        [part.key for part in clean(texts, drop_repeats=drops).parts()]
        for texts, drops in ((with_licence(), False), ([], True))
    ]
    assert keys[0] != keys[1]


def test_preparing_counts_repeats(tmp_path: Path) -> None:
    collect_documents(tmp_path / "ws", texts=with_licence())  # type: ignore[arg-type]
    config = PrepareConfig(tokenizer="char")
    kept = prepare_documents(tmp_path / "ws", config=config)
    cut = prepare_documents(tmp_path / "ws", config=config, cleaning=CleanConfig(drop_repeats=True))
    assert kept.repeated_passages == cut.repeated_passages == 3
    assert kept.repeated_characters == cut.repeated_characters >= 3 * len(LICENCE)
    assert kept.cut_characters == 0 < cut.cut_characters
    line_ends = 3  # one for each cut
    assert kept.characters - cut.characters + line_ends == cut.cut_characters


def test_too_much_text_is_searched_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining_module, "MOST_FOR_REPEATS", 500)
    draw = random.Random(3)
    passage = "".join(draw.choices("abcdefgh ", k=300))
    collect_documents(tmp_path / "ws", texts=["one " + passage, passage + " and another end"])
    found = []
    for config in (CleanConfig(), CleanConfig(drop_repeats=True)):
        folder, database = tmp_path / "cleaned", tmp_path / "ws" / "documents.sqlite"
        header = clean_documents(folder, database, config).header
        found.append((header["looked_for_repeats"], header["repeats"]["passages"]))
    assert found == [(False, 0), (True, 1)]
