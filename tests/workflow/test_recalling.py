"""States of a network are those of the documents as they are now, whatever came and went."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import memlm
from memlm.memory.vector_store import VectorStore
from memlm.prepare import CleanConfig
from memlm.storage import read_json, size_on_disk, write_json
from memlm.workflow import recalling
from memlm.workflow.blend_fitting import vectors_of
from memlm.workflow.blending import memory_of
from memlm.workflow.keeping import delete_model
from memlm.workflow.remembering import open_memory

TEXTS = [
    f"{n}: the cat sees the moon, and dog {n * n} follows it home at dusk. " * 9 for n in range(8)
]
LATER = "Nobody saw the catapult, nor the cathedral; only the cat did. " * 40


@pytest.fixture
def workspace(tmp_path) -> memlm.Workspace:
    opened = memlm.open_workspace(tmp_path / "ws", create=True)
    memlm.collect_documents(opened, texts=TEXTS)
    config = memlm.TrainConfig(
        network="lstm", hidden_width=12, embedding_width=8, threads=1, device="cpu", steps=3,
        batch_size=2, sequence_length=16,
    )  # fmt: skip
    prepare = memlm.PrepareConfig(tokenizer="char", held_out_share=0.2)
    memlm.train_model(opened, config=config, prepare=prepare)
    return opened


def recalled(workspace: memlm.Workspace) -> recalling.VectorMemory:
    model, listener = memlm.load_model(workspace), memlm.Listener()
    return vectors_of(model, memory_of(model, listener), listener)


def held(store: VectorStore) -> dict[str, tuple[bytes, bytes]]:
    """Return what is remembered of each piece."""
    return {
        one.document_id: (one.values.tobytes(), one.codes.tobytes())
        for segment in store.segments
        for one in segment.coded()
    }


def test_every_token_has_the_state_that_the_network_had_before_it(workspace):
    found, model = recalled(workspace), memlm.load_model(workspace)
    tokens = memory_of(model, memlm.Listener()).store.tokens
    assert found.store.rows == len(tokens)
    values, codes = next(iter(held(found.store).values()))
    first = np.frombuffer(values, dtype="<u4")
    assert model.tokenizer.decode(first) in TEXTS
    stream = np.concatenate([[model.tokenizer.end], first[:-1]])
    hidden, _ = model.predictor.hidden_states(model.predictor.start(1), stream[None].astype(int))
    kept = np.frombuffer(codes, dtype=np.int8).reshape(len(first), -1)
    assert np.abs(kept - found.store.codec.encode(hidden[0]).astype(int)).max() <= 1  # rounding


def test_new_documents_are_recalled_and_the_others_are_not_read_again(workspace, monkeypatch):
    before = held(recalled(workspace).store)
    memlm.collect_documents(workspace, texts=[LATER])
    memlm.prepare_documents(workspace)
    read = []
    plain = recalling.read_stretches

    def told(model, opening, passages):
        for one in plain(model, opening, passages):
            read.append(one.document_id)
            yield one

    monkeypatch.setattr(recalling, "read_stretches", told)
    after = held(recalled(workspace).store)
    assert before.items() <= after.items()
    assert read == [name for name in after if name not in before]
    assert recalled(workspace).store.rows == sum(len(values) // 4 for values, _ in after.values())


def test_erased_documents_are_recalled_no_longer_and_the_others_as_they_were(workspace):
    memlm.collect_documents(workspace, texts=[LATER])
    memlm.prepare_documents(workspace)
    before = held(recalled(workspace).store)
    with memlm.DocumentStore(workspace.documents_file) as store:
        (gone,) = [one.id for one in store if one.text == LATER]
    report = memlm.erase_documents(workspace, gone)
    assert any(place.startswith("memory/vectors/") for place in report.rewritten)
    after = held(recalled(workspace).store)
    assert after == {name: it for name, it in before.items() if not name.startswith(gone)}
    assert 0 < len(after) < len(before)


def test_a_memory_that_grew_is_that_of_a_fresh_start_with_the_same_codec(workspace):
    recalled(workspace)
    memlm.collect_documents(workspace, texts=[LATER])
    memlm.prepare_documents(workspace)
    grown = recalled(workspace).store
    codec = shutil.copytree(grown.folder / "codec", workspace.path.parent / "codec")
    kept = held(grown)
    grown.remove(grown.document_ids)
    about = read_json(grown.folder / "memory.json")
    about["made_from"]["tokens"] = "of another"
    write_json(grown.folder / "memory.json", about)
    again = recalled(workspace).store
    assert (again.folder / "codec" / "codec.safetensors").read_bytes() == (
        codec / "codec.safetensors"
    ).read_bytes()
    assert held(again).keys() == kept.keys()
    for name, (values, codes) in held(again).items():
        assert values == kept[name][0]
        one, other = (np.frombuffer(them, np.int8).astype(int) for them in (codes, kept[name][1]))
        assert np.abs(one - other).max() <= 1  # other passages were read beside it


def test_of_very_much_text_a_part_is_recalled_and_a_part_of_that_where_there_is_more(
    workspace, monkeypatch
):
    every = recalled(workspace).store
    chosen = [every.document_ids]
    for most in (every.rows - 1, every.rows // 8):
        monkeypatch.setattr(recalling, "MOST_STATES", most)
        shutil.rmtree(every.folder)
        chosen.append(recalled(workspace).store.document_ids)
    assert chosen[0] > chosen[1] >= chosen[2]
    assert len(chosen[2]) < len(chosen[0])


def test_held_out_pieces_are_known(workspace):
    found = recalled(workspace)
    store = memory_of(memlm.load_model(workspace), memlm.Listener()).store
    held_out = {store.document_ids[int(unit["document"])] for unit in store.units_of("held_out")}
    assert {name.partition(":")[0] for name in found.held_out} == held_out
    assert found.held_out < found.store.document_ids


def test_another_training_has_a_memory_of_its_own(workspace):
    one = recalled(workspace).store
    config = memlm.TrainConfig(
        network="lstm", hidden_width=12, embedding_width=8, threads=1, device="cpu", steps=4,
        batch_size=2, sequence_length=16,
    )  # fmt: skip
    memlm.train_model(workspace, config=config)
    other = recalled(workspace).store
    assert one.folder != other.folder
    assert held(one).keys() == held(other).keys()


def test_states_of_a_model_that_is_gone_go_when_documents_are_erased(workspace):
    store = recalled(workspace).store
    with memlm.DocumentStore(workspace.documents_file) as documents:
        first = next(iter(documents)).id
    shutil.rmtree(workspace.model("lstm-1"))
    memlm.erase_documents(workspace, first)
    assert not store.folder.exists()


def test_a_model_that_is_deleted_takes_its_states_along(workspace):
    store = recalled(workspace).store
    before = size_on_disk(workspace.path)
    freed = delete_model(workspace, "lstm-1")
    assert not store.folder.exists()
    assert freed == before - size_on_disk(workspace.path)


def test_where_nothing_is_left_that_was_learned_the_rest_is_recalled(workspace, monkeypatch):
    found = recalled(workspace).store
    monkeypatch.setattr(recalling, "LEARNED", ())
    shutil.rmtree(found.folder)
    assert recalled(workspace).store.document_ids == found.document_ids


def test_a_document_that_is_erased_and_collected_again_is_recalled_again(workspace):
    memlm.collect_documents(workspace, texts=[LATER])
    memlm.prepare_documents(workspace)
    before = held(recalled(workspace).store)
    with memlm.DocumentStore(workspace.documents_file) as store:
        (gone,) = [one.id for one in store if one.text == LATER]
    memlm.erase_documents(workspace, gone)
    memlm.collect_documents(workspace, texts=[LATER])
    memlm.prepare_documents(workspace)
    after = recalled(workspace).store
    assert held(after).keys() == before.keys()
    assert after.rows == sum(len(values) // 4 for values, _ in before.values())


def test_a_network_knows_the_label_of_a_document_in_all_of_its_pieces(tmp_path):
    (tmp_path / "rows.csv").write_text(
        "text,label\n" + "".join(f'"{text * 9}",{"ab"[n % 2]}\n' for n, text in enumerate(TEXTS)),
        encoding="utf-8",
    )
    opened = memlm.open_workspace(tmp_path / "ws", create=True)
    memlm.collect_documents(opened, tmp_path / "rows.csv")
    prepare = memlm.PrepareConfig(tokenizer="char", held_out_share=0.2)
    cleaning = CleanConfig(without=("repeats", "near-duplicates"))
    memlm.prepare_documents(opened, config=prepare, cleaning=cleaning)
    store = open_memory(opened, "char").store
    pieces = recalling._Pieces(store)
    labels = set(store.tokenizer.labels.values())
    read = list(pieces.read(pieces.names))
    assert any(one.position > recalling._BEFORE for one in read)
    for one in read:
        assert int(one.tokens[0]) in labels
