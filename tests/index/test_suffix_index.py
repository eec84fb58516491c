"""The index agrees with looking everywhere, for any texts, documents and segments."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.errors import CorruptArtefactError, NotFoundError
from memlm.index import (
    Entry,
    Match,
    SegmentEntry,
    SuffixIndex,
    is_current,
    maximal_matches,
    open_index,
    refresh_index,
    store,
)

ALPHABETS = {
    "two letters": "ab",
    "hanzi": "天地人\n",
    "astral": "😀𠀀a",
    "control": "\x00\x01\x7f\ufffd",
}


def refresh(folder: Path, texts: Mapping[str, str], digest: str = "d") -> list[str]:
    """Bring an index in step with {id: text}; return the ids that had to be read."""
    was_read: list[str] = []

    def read(identities: Iterable[str]) -> Iterator[SegmentEntry]:
        for identity in identities:
            was_read.append(identity)
            yield SegmentEntry(identity, f"content of {texts[identity]}", texts[identity])

    entries = {key: Entry(f"content of {text}", len(text)) for key, text in texts.items()}
    refresh_index(folder, digest=digest, entries=entries, read=read)
    return was_read


def build(folder: Path, texts: Iterable[str]) -> SuffixIndex:
    refresh(folder, {f"d{number}": text for number, text in enumerate(texts)})
    return open_index(folder)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of about five characters."""
    monkeypatch.setattr(store, "LARGEST_SEGMENT", 10)


# -- the slow plain twins -----------------------------------------------------------------------


def places_of(texts: Iterable[str], pattern: str) -> set[tuple[str, int]]:
    return {
        (f"d{number}", start)
        for number, text in enumerate(texts)
        for start in range(len(text) - len(pattern) + 1)
        if text.startswith(pattern, start)
    }


def maximal_of(texts: list[str], query: str) -> list[Match]:
    occurring = [
        (start, end)
        for start in range(len(query))
        for end in range(start + 1, len(query) + 1)
        if any(query[start:end] in text for text in texts)
    ]
    return [
        Match(start, end)
        for start, end in occurring
        if not any(
            (a, b) != (start, end) and a <= start and end <= b for a, b in occurring
        )
    ]  # fmt: skip


def texts_over(alphabet: str) -> st.SearchStrategy[tuple[list[str], str]]:
    text = st.text(alphabet, min_size=1, max_size=12)
    return st.tuples(st.lists(text, min_size=1, max_size=5), st.text(alphabet + "x", max_size=15))


cases = pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)


@pytest.fixture(params=[10, 1 << 26], ids=["many segments", "one segment"])
def segment_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(store, "LARGEST_SEGMENT", request.param)
    return int(request.param)


# -- against the twins --------------------------------------------------------------------------


@cases
def test_count_and_places_are_all_there_are(
    tmp_path_factory: pytest.TempPathFactory, alphabet: str
) -> None:
    @given(texts_over(alphabet), st.sampled_from([15, 1 << 26]))
    def check(case: tuple[list[str], str], size: int) -> None:
        texts, query = case
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(store, "LARGEST_SEGMENT", size)
            index = build(tmp_path_factory.mktemp("index"), texts)
        for pattern in {query[:1], query[:2], query[:4], query, texts[0], texts[-1][-3:]} - {""}:
            expected = places_of(texts, pattern)
            count, places = index.places(pattern, limit=1000)
            assert (count, set(places)) == (len(expected), expected)
            assert index.count(pattern) == index.count_cached(pattern) == count

    check()


@cases
def test_maximal_spans_are_all_there_are(
    tmp_path_factory: pytest.TempPathFactory, alphabet: str
) -> None:
    @given(texts_over(alphabet), st.sampled_from([15, 1 << 26]))
    def check(case: tuple[list[str], str], size: int) -> None:
        texts, query = case
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(store, "LARGEST_SEGMENT", size)
            index = build(tmp_path_factory.mktemp("index"), texts)
        assert list(maximal_matches(index, query)) == maximal_of(texts, query)

    check()


@pytest.mark.parametrize("length", [63, 64, 65, 319, 320, 321, 2000])
def test_long_match_is_found_whole(tmp_path: Path, length: int) -> None:
    text = "".join(f"line {number}, " for number in range(1000))
    index = build(tmp_path, [text])
    query = "#" + text[500 : 500 + length] + "#"
    assert list(maximal_matches(index, query)) == [Match(1, length + 1)]


@pytest.mark.parametrize("number", [254, 255, 256, 300, 65_600])
def test_alphabet_of_any_size_is_searched(tmp_path: Path, number: int) -> None:
    letters = [chr(0x20000 + n) if n >= 0x5000 else chr(0x3400 + n) for n in range(number)]
    text = "".join(letters) + letters[0] + letters[-1] + letters[1]
    index = build(tmp_path, [text])
    assert index.num_symbols == number
    assert index.count(letters[-1] + letters[1]) == 1
    assert index.count(letters[-1]) == 2
    assert index.count(letters[number // 2] + letters[number // 2 + 1]) == 1
    assert index.count("z") == 0


def test_no_match_crosses_documents(tmp_path: Path) -> None:
    index = build(tmp_path, ["one two", " three"])
    assert index.count("two three") == 0
    assert index.count("two") == index.count(" three") == 1


def test_character_of_the_separator_is_not_found_between_documents(tmp_path: Path) -> None:
    assert build(tmp_path, ["a", "b"]).count("\x00") == 0


def test_overlapping_places_are_counted(tmp_path: Path) -> None:
    assert build(tmp_path, ["aaaa"]).count("aa") == 3


@pytest.mark.usefixtures("segment_bytes")
def test_first_places_come_first(tmp_path: Path) -> None:
    index = build(tmp_path, ["a a", "a a a", "b a"])
    assert index.places("a", limit=3) == (6, [("d0", 0), ("d0", 2), ("d1", 0)])


def test_empty_index_finds_nothing(tmp_path: Path) -> None:
    index = build(tmp_path, [])
    assert (index.count("a"), list(maximal_matches(index, "abc"))) == (0, [])


def test_empty_text_has_no_matches(tmp_path: Path) -> None:
    assert list(maximal_matches(build(tmp_path, ["a"]), "")) == []


def test_lone_surrogate_in_a_question_is_not_found(tmp_path: Path) -> None:
    assert build(tmp_path, ["a"]).count("\ud800") == 0


# -- in step with the documents -----------------------------------------------------------------

TEXTS = {"a": "the cat sat", "b": "on the mat", "c": "他们来了", "d": "the end", "e": "a dog"}


def everything(folder: Path, texts: Mapping[str, str]) -> dict[str, set[tuple[str, int]]]:
    index = open_index(folder)
    patterns = {text[i : i + 3] for text in [*TEXTS.values(), *texts.values()] for i in range(9)}
    return {p: set(index.places(p, limit=100)[1]) for p in patterns if p}


@pytest.mark.usefixtures("segment_bytes")
@pytest.mark.parametrize(
    "change",
    [
        lambda texts: texts | {"f": "the new cat"},
        lambda texts: texts | {"b": "on the rug"},
        lambda texts: {k: v for k, v in texts.items() if k != "c"},
        lambda texts: {"c": texts["c"]},
        lambda texts: {},
        lambda texts: {"f": "all other"},
        lambda texts: dict(reversed(texts.items())),
    ],
    ids=["added", "changed", "removed", "all but one", "emptied", "replaced", "other order"],
)
def test_refreshed_index_is_as_one_built_anew(
    tmp_path: Path, change: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    changed = change(dict(TEXTS))
    refresh(tmp_path / "old", TEXTS, "1")
    refresh(tmp_path / "old", changed, "2")
    refresh(tmp_path / "new", changed, "2")
    assert everything(tmp_path / "old", changed) == everything(tmp_path / "new", changed)


def test_removed_document_is_never_returned(tmp_path: Path) -> None:
    refresh(tmp_path, TEXTS)
    refresh(tmp_path, {key: text for key, text in TEXTS.items() if key != "c"})
    assert open_index(tmp_path).count("他") == 0
    assert not any(
        "他们来了".encode() in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()
    )
    symbols = b"".join(file.read_bytes() for file in tmp_path.rglob("alphabet.bin"))
    assert (ord("他") + 1).to_bytes(4, "little") not in symbols


@pytest.mark.usefixtures("small_segments")
def test_unchanged_segments_are_not_written_again(tmp_path: Path) -> None:
    refresh(tmp_path, TEXTS)
    assert refresh(tmp_path, TEXTS | {"e": "a cow"}) == ["e"]
    assert refresh(tmp_path, TEXTS | {"e": "a cow"}) == []


@pytest.mark.usefixtures("small_segments")
def test_segments_nobody_lists_are_deleted(tmp_path: Path) -> None:
    refresh(tmp_path, TEXTS)
    refresh(tmp_path, {"a": TEXTS["a"]})
    assert len(list(tmp_path.glob("segment-*"))) == len(open_index(tmp_path).segments) == 1


def test_small_segments_join_when_something_is_written(tmp_path: Path) -> None:
    for number in range(1, 6):
        refresh(tmp_path, dict(list(TEXTS.items())[:number]))
    assert len(open_index(tmp_path).segments) == 1


def test_index_is_current_for_its_documents_only(tmp_path: Path) -> None:
    assert not is_current(tmp_path, digest="1")
    refresh(tmp_path, TEXTS, "1")
    assert is_current(tmp_path, digest="1")
    assert not is_current(tmp_path, digest="2")


def test_crash_before_the_list_is_written_leaves_the_old_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(tmp_path, TEXTS, "1")

    def crash(path: Path, value: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store, "write_json", crash)
        with pytest.raises(KeyboardInterrupt):
            refresh(tmp_path, TEXTS | {"f": "new"}, "2")
    assert open_index(tmp_path).count("new") == 0
    assert open_index(tmp_path).count("the") == 3
    assert not is_current(tmp_path, digest="1")  # there is a segment that nobody lists
    refresh(tmp_path, TEXTS | {"f": "new"}, "2")
    assert open_index(tmp_path).count("new") == 1


def test_progress_ends_with_everything(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    refresh_index(
        tmp_path,
        digest="1",
        entries={"a": Entry("x", 3)},
        read=lambda identities: iter([SegmentEntry("a", "x", "abc")]),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (3, 3)


# -- damage -------------------------------------------------------------------------------------

FILES = [
    "symbols.bin", "suffixes.bin", "alphabet.bin", "starts.bin", "entries.json", "segment.json",
    "keys.bin", "manifest.json",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_flipped_bit_in_a_segment_is_detected(tmp_path: Path, name: str) -> None:
    build(tmp_path, TEXTS.values())
    (file,) = tmp_path.glob(f"segment-*/{name}")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    with pytest.raises(CorruptArtefactError, match=name.replace(".", r"\.")):
        open_index(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_of_a_segment_is_detected(tmp_path: Path, name: str) -> None:
    build(tmp_path, TEXTS.values())
    next(tmp_path.glob(f"segment-*/{name}")).unlink()
    with pytest.raises((CorruptArtefactError, NotFoundError), match=name.replace(".", r"\.")):
        open_index(tmp_path)


def test_damaged_segment_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    refresh(tmp_path, TEXTS, "1")
    (segment,) = tmp_path.glob("segment-*")
    for file in segment.iterdir():
        file.unlink()
    segment.rmdir()
    assert not is_current(tmp_path, digest="1")
    refresh(tmp_path, TEXTS, "1")
    assert open_index(tmp_path).count("the") == 3


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"made_from": 1, "segments": 5}'])
def test_damaged_list_of_segments_is_corrupt(tmp_path: Path, content: str) -> None:
    refresh(tmp_path, TEXTS, "1")
    (tmp_path / "segments.json").write_text(content)
    with pytest.raises(CorruptArtefactError, match="segments"):
        open_index(tmp_path)


@pytest.mark.parametrize("name", ["symbols.bin", "suffixes.bin", "alphabet.bin", "starts.bin"])
def test_truncated_segment_is_refused_though_nobody_verified_it(tmp_path: Path, name: str) -> None:
    build(tmp_path, TEXTS.values())
    (file,) = tmp_path.glob(f"segment-*/{name}")
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(CorruptArtefactError):
        refresh(tmp_path, TEXTS | {"f": "new"})
