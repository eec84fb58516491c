"""What was removed is gone: from every answer and from every file, and nothing was sorted again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from memlm.errors import CorruptArtefactError
from memlm.index import SuffixIndex, building, is_current, open_index, store
from memlm.index.segment import Segment

Refresh = Callable[..., list[str]]
SECRET = "秘密在此😀xyzzy"
VOCABULARY = 4096


def draw_texts(seed: int, number: int = 40) -> dict[str, str]:
    draw = random.Random(seed)
    texts = {
        f"d{n}": "".join(draw.choices("the cat\n", k=draw.randrange(60))) for n in range(number)
    }
    texts["again"] = texts["d3"]  # suffixes that are equal up to their separators
    texts["secret"] = SECRET + texts["d3"]
    return texts


def as_ids(texts: Mapping[str, str]) -> dict[str, list[int]]:
    return {key: [ord(character) % 4000 for character in text] for key, text in texts.items()}


def ask(index: SuffixIndex, texts: Mapping[str, str | list[int]]) -> list[object]:
    """Everything that can be asked about these texts."""
    patterns = [
        text[start : start + length]
        for text in texts.values()
        for start in range(0, len(text), 3)
        for length in (1, 2, 5)
    ]
    arrays = [one if isinstance(one, str) else np.array(one, np.int64) for one in patterns]
    whole = [one for one in arrays if len(one) == 5]
    text = "".join(whole) if isinstance(whole[0], str) else np.concatenate(whole)
    longest = index.longest_suffixes(text)
    following = index.next_counts(arrays)
    places = [index.places(one, limit=10_000) for one in arrays[::40]]
    return [
        index.characters,
        index.num_symbols,
        index.counts(arrays).tolist(),
        *(getattr(following, name).tolist() for name in ("offsets", "symbols", "counts")),
        longest.lengths.tolist(),
        longest.counts.tolist(),
        [(count, set(found)) for count, found in places],
    ]


@pytest.fixture
def never_sorted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forbid() -> None:
        def sort(symbols: object) -> None:
            raise AssertionError("sorted again")

        monkeypatch.setattr(building, "sort_suffixes", sort)

    return forbid


REMOVALS = {
    "one": ["secret"],
    "the first": ["d0"],
    "neighbours": ["d4", "d5", "d6"],
    "every second": [f"d{n}" for n in range(0, 40, 2)],
    "all but one": [f"d{n}" for n in range(40)] + ["secret"],
    "half of a pair": ["d3"],
}


@pytest.mark.parametrize("largest", [200, 1 << 25], ids=["segments", "one segment"])
@pytest.mark.parametrize("kind", ["characters", "tokens"])
@pytest.mark.parametrize("removed", REMOVALS.values(), ids=REMOVALS)
def test_answers_after_a_removal_are_those_of_an_index_built_anew(
    tmp_path: Path,
    refresh: Refresh,
    never_sorted: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    removed: list[str],
    kind: str,
    largest: int,
) -> None:
    monkeypatch.setattr(store, "LARGEST_SEGMENT", largest)
    size = None if kind == "characters" else VOCABULARY
    texts = draw_texts(1)
    before = texts if size is None else as_ids(texts)
    after = {key: text for key, text in before.items() if key not in removed}
    refresh(tmp_path / "new", after, vocabulary_size=size)
    refresh(tmp_path / "old", before, vocabulary_size=size)
    never_sorted()
    assert refresh(tmp_path / "old", after, "2", vocabulary_size=size) == []
    assert is_current(tmp_path / "old", digest="2")
    old, new = open_index(tmp_path / "old"), open_index(tmp_path / "new")
    assert ask(old, before) == ask(new, before)


def test_symbols_after_a_removal_are_those_of_a_fresh_segment(
    tmp_path: Path, refresh: Refresh
) -> None:
    texts = draw_texts(2)
    left = {key: text for key, text in texts.items() if key != "secret"}
    refresh(tmp_path / "old", texts)
    refresh(tmp_path / "old", left)
    refresh(tmp_path / "new", left)
    (old,), (new,) = (open_index(tmp_path / name).segments for name in ("old", "new"))
    assert old.entries == new.entries
    for name in ("symbols", "starts", "alphabet"):
        one, other = getattr(old, name), getattr(new, name)
        assert one.dtype == other.dtype
        assert one.tolist() == other.tolist()


def test_alphabet_that_shrinks_takes_fewer_bytes(tmp_path: Path, refresh: Refresh) -> None:
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    refresh(tmp_path, {"a": "abc" * 10, "many": many, "b": "cab"})
    refresh(tmp_path, {"a": "abc" * 10, "b": "cab"})
    index = open_index(tmp_path)
    assert index.segments[0].symbols.dtype == np.uint8
    assert (index.num_symbols, index.count("cab"), index.count(many[0])) == (3, 10, 0)


def test_no_file_holds_what_was_removed(tmp_path: Path, refresh: Refresh) -> None:
    texts = draw_texts(3)
    refresh(tmp_path, texts)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    (segment,) = open_index(tmp_path).segments
    traces = [
        segment.encode(SECRET).tobytes(),
        segment.entries[list(texts).index("secret")][1].encode(),
        (ord("秘") + 1).to_bytes(4, "little"),
    ]
    assert all(any(trace in file.read_bytes() for file in files) for trace in traces)
    refresh(tmp_path, {key: text for key, text in texts.items() if key != "secret"})
    for file in tmp_path.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not any(trace in content for trace in (*traces, SECRET.encode(), b"secret"))


def test_removed_tokens_are_in_no_file(tmp_path: Path, refresh: Refresh) -> None:
    secret = [4001, 4002, 4003, 4004, 4005]
    texts = as_ids(draw_texts(4))
    refresh(tmp_path, {**texts, "secret:0": secret}, vocabulary_size=VOCABULARY)
    refresh(tmp_path, texts, vocabulary_size=VOCABULARY)
    ids = (np.array(secret[:2]) + 1).astype("<u2").tobytes()
    assert not any(ids in file.read_bytes() for file in tmp_path.rglob("*.bin"))


def test_other_segments_are_left_alone(
    tmp_path: Path, refresh: Refresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LARGEST_SEGMENT", 200)
    texts = draw_texts(5)
    refresh(tmp_path, texts)
    before = {folder.name: folder.stat().st_mtime_ns for folder in tmp_path.glob("segment-*")}
    refresh(tmp_path, {key: text for key, text in texts.items() if key != "d7"})
    after = {folder.name: folder.stat().st_mtime_ns for folder in tmp_path.glob("segment-*")}
    assert len(before) > 3
    assert len(before.items() & after.items()) == len(before) - 1


def test_damaged_segment_is_not_filtered_into_a_sound_one(tmp_path: Path, refresh: Refresh) -> None:
    texts = draw_texts(6)
    refresh(tmp_path, texts)
    (file,) = tmp_path.glob("segment-*/suffixes.bin")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorruptArtefactError, match="suffixes"):
        refresh(tmp_path, {key: text for key, text in texts.items() if key != "d7"})


@pytest.mark.parametrize("where", ["write_json", "delete_folder"])
def test_removal_that_was_killed_is_finished_by_the_next(
    tmp_path: Path, refresh: Refresh, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    texts = draw_texts(7)
    left = {key: text for key, text in texts.items() if key != "secret"}
    refresh(tmp_path, texts, "1")

    def kill(*anything: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store, where, kill)
        with pytest.raises(KeyboardInterrupt):
            refresh(tmp_path, left, "2")
    assert open_index(tmp_path).count("the") >= 0  # it opens: the old one, or the new one
    assert not is_current(tmp_path, digest="2")
    refresh(tmp_path, left, "2")
    assert is_current(tmp_path, digest="2")
    assert open_index(tmp_path).count("秘") == 0
    assert len(list(tmp_path.glob("segment-*"))) == 1


# -- groups -------------------------------------------------------------------------------------


def test_view_of_groups_is_that_of_their_entries(tmp_path: Path, refresh: Refresh) -> None:
    texts = as_ids(draw_texts(8))
    sides = {key: ("train", "held_out", "sealed")[n % 3] for n, key in enumerate(texts)}
    refresh(tmp_path / "all", texts, groups=sides, vocabulary_size=VOCABULARY)
    for view in (["train"], ["train", "held_out"], ["sealed"], []):
        own = {key: text for key, text in texts.items() if sides[key] in view}
        refresh(tmp_path / "-".join(["own", *view]), own, vocabulary_size=VOCABULARY)
        seen = open_index(tmp_path / "all", view)
        alone = open_index(tmp_path / "-".join(["own", *view]))
        assert {segment.group for segment in seen.segments} <= set(view)
        assert ask(seen, texts)[:1] + ask(seen, texts)[2:] == (
            ask(alone, texts)[:1] + ask(alone, texts)[2:]
        )


def test_entry_that_changes_sides_leaves_the_other(tmp_path: Path, refresh: Refresh) -> None:
    texts = {"a": "one", "b": "two"}
    refresh(tmp_path, texts, groups={"a": "train", "b": "train"})
    refresh(tmp_path, texts, groups={"a": "train", "b": "sealed"})
    assert open_index(tmp_path, ["train"]).count("two") == 0
    assert open_index(tmp_path, ["sealed"]).count("two") == 1


# -- growing ------------------------------------------------------------------------------------


def test_growing_text_by_text_keeps_few_segments_and_sorts_little_again(
    tmp_path: Path, refresh: Refresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ALWAYS_JOINED", 10)
    monkeypatch.setattr(store, "LARGEST_SEGMENT", 6400)
    texts: dict[str, str] = {}
    num_read = most = 0
    for number in range(128):
        texts[f"d{number}"] = "x" * 99
        num_read += len(refresh(tmp_path, texts, str(number)))
        most = max(most, len(open_index(tmp_path, contents=False).segments))
    assert most <= 2 * 128 * 100 / 6400 + 7
    assert num_read <= 128 * 7


def test_index_of_an_earlier_format_is_made_again(tmp_path: Path, refresh: Refresh) -> None:
    store.write_json(tmp_path / "segments.json", {"made_from": "1", "segments": ["segment-old"]})
    (tmp_path / "segment-old").mkdir()
    assert not is_current(tmp_path, digest="1")
    refresh(tmp_path, {"a": "text"}, "1")
    assert is_current(tmp_path, digest="1")
    assert not (tmp_path / "segment-old").exists()
    assert open_index(tmp_path).count("text") == 1


def test_another_vocabulary_is_another_index(tmp_path: Path, refresh: Refresh) -> None:
    refresh(tmp_path, {"a": [1, 2]}, vocabulary_size=10)
    refresh(tmp_path, {"a": [1, 2]}, vocabulary_size=1000)
    (segment,) = open_index(tmp_path).segments
    assert segment.symbols.dtype == np.uint16


def test_contents_need_not_be_verified(tmp_path: Path, refresh: Refresh) -> None:
    refresh(tmp_path, {"a": "text"})
    (file,) = tmp_path.glob("segment-*/symbols.bin")
    file.write_bytes(b"\1" * file.stat().st_size)
    assert isinstance(open_index(tmp_path, contents=False).segments[0], Segment)
    file.write_bytes(b"\1")
    with pytest.raises(CorruptArtefactError, match="symbols"):
        open_index(tmp_path, contents=False)
