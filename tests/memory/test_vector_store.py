"""States on disk: added, removed without a trace, found again; another model's are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memlm.errors import ConfigError, CorruptArtefactError
from memlm.memory import vector_store
from memlm.memory.vector_codec import VectorCodec, learn_codec
from memlm.memory.vector_store import (
    Passage,
    VectorStore,
    VectorStretch,
    new_vectors,
    open_vectors,
    read_stretches,
)

WIDTH, OF_WEIGHTS = 12, "ab" * 32


def make_stretch(identity: str, length: int, *, seed: int, position: int = 0) -> VectorStretch:
    generator = np.random.default_rng(seed)
    hidden = generator.standard_normal((length, WIDTH)).astype(np.float32)
    # Ids past 16 bits, as those of large vocabularies are.
    return VectorStretch(identity, generator.integers(60_000, 80_000, length), hidden, position)


DOCUMENTS = [make_stretch(name, 300 + 50 * n, seed=n) for n, name in enumerate("abcd")]


@pytest.fixture(scope="module")
def codec() -> VectorCodec:
    sample = np.concatenate([document.hidden for document in DOCUMENTS])
    return learn_codec(sample, rows=8000, width=8)


@pytest.fixture
def store(tmp_path: Path, codec: VectorCodec) -> VectorStore:
    return new_vectors(tmp_path / "vectors", codec, weights_hash=OF_WEIGHTS)


def files_of(store: VectorStore) -> dict[str, bytes]:
    return {
        str(path.relative_to(store.folder)): path.read_bytes()
        for path in sorted(store.folder.rglob("*"))
        if path.is_file()
    }


def all_rows(store: VectorStore) -> list[tuple[str, int, int]]:
    rows = np.arange(store.rows)
    tokens = store.values(rows)
    named = zip(store.places(rows), tokens, strict=True)
    return [(identity, position, int(token)) for (identity, position), token in named]


def test_every_token_is_there_with_its_document_and_position(store):
    store.add(DOCUMENTS)
    expected = [
        (document.document_id, position, int(token))
        for document in DOCUMENTS
        for position, token in enumerate(document.tokens)
    ]
    assert all_rows(store) == expected


@pytest.mark.parametrize("lists", [1, 3, 1000])
def test_distances_are_those_of_the_codes(store, codec, lists):
    """The slow plain twin: every code of every document, one after the other."""
    store.add(DOCUMENTS)
    codes = np.concatenate([codec.encode(document.hidden) for document in DOCUMENTS])
    query = codec.reduce(np.random.default_rng(5).standard_normal(WIDTH).astype(np.float32))
    rows, distances = store.search(query, lists=lists)
    expected = ((codes[rows].astype(np.float64) - query) ** 2).sum(axis=1)
    np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=0.5)
    np.testing.assert_allclose(store.distances(query, rows), distances, rtol=1e-4, atol=0.5)
    in_lists = np.isin(codec.lists_of(codes), codec.nearest_lists(query, lists))
    assert sorted(rows) == list(np.flatnonzero(in_lists))


def test_codes_keep_the_distances_of_the_states(codec):
    hidden = np.concatenate([document.hidden for document in DOCUMENTS])
    full = learn_codec(hidden, rows=100, width=WIDTH)
    one, other = hidden[:500], hidden[500:1000]
    kept = full.encode(one).astype(np.float64) - full.encode(other)
    ratio = np.linalg.norm(kept, axis=1) / np.linalg.norm(one - other, axis=1)
    assert ratio.std() / ratio.mean() < 0.05


def test_reading_goes_on_from_row_to_row_and_ends_with_the_document(store):
    store.add([DOCUMENTS[0], make_stretch("a", 5, seed=9, position=300), DOCUMENTS[1]])
    assert list(store.following(np.array([0, 299, 304, 305]))) == [1, 300, 306]


@pytest.mark.parametrize("gone", ["b", "ad", "abcd"])
def test_removing_leaves_the_bytes_of_a_fresh_build(store, tmp_path, codec, gone):
    store.add(DOCUMENTS)
    store.remove(set(gone))
    fresh = new_vectors(tmp_path / "fresh", codec, weights_hash=OF_WEIGHTS)
    fresh.add([document for document in DOCUMENTS if document.document_id not in gone])
    assert files_of(store) == files_of(fresh)
    assert store.document_ids == set("abcd") - set(gone)


def test_removing_from_one_of_several_segments_answers_as_a_fresh_build(
    store, tmp_path, codec, monkeypatch
):
    monkeypatch.setattr(vector_store, "LARGEST_SEGMENT", 500)
    monkeypatch.setattr(vector_store, "_SMALL_SEGMENT", 100)
    for document in DOCUMENTS:
        store.add([document])
    untouched = [segment.folder.name for segment in store.segments][1:]
    store.remove({"a"})
    assert [segment.folder.name for segment in store.segments] == untouched
    fresh = new_vectors(tmp_path / "fresh", codec, weights_hash=OF_WEIGHTS)
    fresh.add(DOCUMENTS[1:])
    assert all_rows(store) == all_rows(fresh)
    query = codec.reduce(DOCUMENTS[0].hidden[7])
    found, expected = (
        dict(zip(*one.search(query, lists=4), strict=True)) for one in (store, fresh)
    )
    assert found == expected


def test_removed_document_leaves_no_bytes(store):
    store.add(DOCUMENTS)
    store.remove({"b"})
    kept = b"".join(files_of(store).values())
    tokens = DOCUMENTS[1].tokens.astype("<u4")
    codes = store.codec.encode(DOCUMENTS[1].hidden)
    assert not any(tokens[at : at + 4].tobytes() in kept for at in range(0, 340, 10))
    assert not any(code.tobytes() in kept for code in codes)


def test_document_longer_than_a_segment_goes_on_in_the_next(store, monkeypatch):
    monkeypatch.setattr(vector_store, "LARGEST_SEGMENT", 100)
    whole = DOCUMENTS[0]
    store.add(
        VectorStretch("a", whole.tokens[at : at + 40], whole.hidden[at : at + 40], at)
        for at in range(0, 300, 40)
    )
    assert len(store.segments) == 4
    assert all_rows(store) == [("a", n, int(token)) for n, token in enumerate(whole.tokens)]


def test_small_segments_join(store):
    for document in DOCUMENTS:
        store.add([document])
    assert len(store.segments) == 1
    assert {path.name for path in store.folder.glob("segment-*")} == {store.segments[0].folder.name}


def test_memory_is_found_again_and_bound_to_the_weights(store):
    store.add(DOCUMENTS)
    again = open_vectors(store.folder, weights_hash=OF_WEIGHTS)
    assert all_rows(again) == all_rows(store)
    with pytest.raises(ConfigError) as caught:
        open_vectors(store.folder, weights_hash="cd" * 32)
    assert caught.value.code == "vectors_of_another"
    assert str(store.folder) in str(caught.value)


@pytest.mark.parametrize("name", ["keys.bin", "values.bin", "stretches.jsonl"])
def test_changed_byte_is_noticed(store, name):
    store.add(DOCUMENTS)
    path = store.segments[0].folder / name
    content = bytearray(path.read_bytes())
    content[11] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptArtefactError):
        open_vectors(store.folder, weights_hash=OF_WEIGHTS)


class _Counting:
    """A model whose hidden state is the sum of what it has read, and the number of tokens."""

    def start(self, batch: int) -> int:
        return batch

    def hidden_states(self, state: int, tokens: np.ndarray) -> tuple[np.ndarray, int]:
        assert state == len(tokens)
        sums = np.cumsum(tokens, axis=1)
        counts = np.broadcast_to(np.arange(1, tokens.shape[1] + 1), tokens.shape)
        return np.stack([sums, counts], axis=2).astype(np.float32), state


def test_state_of_a_stretch_is_the_one_before_each_token():
    tokens = np.arange(1, 5001)
    passages = [Passage("x", 40, tokens), *(Passage(f"y{n}", 0, tokens[:3]) for n in range(40))]
    found = list(read_stretches(_Counting(), 7, passages))
    assert [(one.document_id, one.position) for one in found[:2]] == [("x", 40), ("y0", 0)]
    assert np.array_equal(found[0].tokens, tokens)
    before = 7 + np.concatenate([[0], np.cumsum(tokens)[:-1]])
    assert np.array_equal(found[0].hidden[:, 0], before.astype(np.float32))
    assert np.array_equal(found[0].hidden[:, 1], np.arange(1, 5001))
    assert len(found) == 41
    for one in found[1:]:
        assert list(one.hidden[:, 0]) == [7, 8, 10]  # nothing of the document before


def test_tokens_before_a_passage_are_read_and_not_remembered():
    (one,) = read_stretches(_Counting(), 7, [Passage("x", 40, np.arange(1, 11), before=4)])
    assert list(one.tokens) == [5, 6, 7, 8, 9, 10]
    assert list(one.hidden[:, 0]) == [17, 22, 28, 35, 43, 52]
    assert one.position == 40
