"""Folders of somebody else's that were made to do harm: each is refused, and does none."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from memlm.errors import CorruptArtefactError, InputError, MemlmError, NotFoundError
from memlm.models.foreign import read_foreign
from memlm.models.foreign_weights import not_finite
from memlm.models.huggingface import Loaded, load_huggingface

CPU = torch.device("cpu")


class Payload:
    """What runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.mark}'",)


@pytest.fixture
def folder(foreign_models: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(foreign_models("gpt2"), tmp_path / "model"))


def load(folder: Path) -> Loaded:
    return load_huggingface(read_foreign(folder), device=CPU)


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def write_weights(folder: Path, header: bytes | dict[str, Any], data: bytes = b"") -> None:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(raw).to_bytes(8, "little") + raw + data)


def tensor(start: int, end: int, shape: tuple[int, ...] = (1,), dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def make_pickle(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(mark)))


def make_checkpoint(path: Path, mark: Path) -> None:
    torch.save({"weight": Payload(mark)}, path)


def make_opcodes(path: Path, mark: Path) -> None:
    """A call by its bare opcodes, which no class of ours stands behind."""
    path.write_bytes(b"cposix\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR.")


def make_objects(path: Path, mark: Path) -> None:
    np.save(path.with_suffix(".npy"), np.array([Payload(mark)], dtype=object))
    path.with_suffix(".joblib").write_bytes(pickle.dumps(Payload(mark)))


@pytest.mark.parametrize("make", [make_pickle, make_checkpoint, make_opcodes, make_objects])
def test_what_could_run_when_it_is_opened_is_never_opened(folder, tmp_path, make):
    mark = tmp_path / "mark"
    (folder / "model.safetensors").unlink()
    make(folder / "pytorch_model.bin", mark)
    with pytest.raises(InputError) as caught:
        load(folder)
    assert caught.value.code == "foreign_not_safetensors"
    assert not mark.exists()


@pytest.mark.parametrize("make", [make_pickle, make_checkpoint, make_opcodes, make_objects])
def test_pickles_beside_safetensors_are_left_alone(folder, tmp_path, make):
    mark = tmp_path / "mark"
    make(folder / "pytorch_model.bin", mark)
    assert load(folder).parameters > 0
    assert not mark.exists()


@pytest.mark.parametrize(
    "key",
    ["auto_map", "_attn_implementation_internal", "trust_remote_code", "_name_or_path", "kernels"],
)
def test_key_that_could_make_the_library_run_code_is_dropped(folder, tmp_path, key):
    mark = tmp_path / "mark"
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')\n", "utf-8")
    values = {"auto_map": {"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config"}}
    change_config(folder, **{key: values.get(key, "someone/evil"), "trust_remote_code": True})
    loaded = load(folder)
    assert {key, "trust_remote_code"} <= set(loaded.dropped)
    kept = json.dumps({name: str(one) for name, one in vars(loaded.model.network.config).items()})
    assert "evil" not in kept  # some of these keys are the library's own, with values of its own
    assert not mark.exists()


def test_chat_template_is_never_run(folder, tmp_path):
    mark = tmp_path / "mark"
    attack = "{{ ''.__class__ }}{% for a in range(999999999) %}{% endfor %}"
    change_config(folder, chat_template=attack)
    (folder / "chat_template.jinja").write_text(attack, "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": attack}), "utf-8")
    assert "chat_template" in load(folder).dropped
    assert not mark.exists()


def header_of_2_to_the_63(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((1 << 63).to_bytes(8, "little") + b"{}")


def header_of_more_than_100_mb(folder: Path) -> None:
    with (folder / "model.safetensors").open("wb") as file:
        file.write((100_000_001).to_bytes(8, "little"))
        file.truncate(100_000_200)  # which takes no room on the disk


def overlapping_tensors(folder: Path) -> None:
    write_weights(folder, {"a": tensor(0, 4), "b": tensor(2, 6)}, b"12345678")


def holes(folder: Path) -> None:
    write_weights(folder, {"a": tensor(0, 4), "b": tensor(8, 12)}, b"123456789012")


def hole_at_the_end(folder: Path) -> None:
    write_weights(folder, {"a": tensor(0, 4)}, b"12345678")


def size_that_is_not_the_shapes(folder: Path) -> None:
    write_weights(folder, {"a": tensor(0, 4, (2, 3))}, b"1234")


def overflowing_shape(folder: Path) -> None:
    write_weights(folder, {"a": tensor(0, 4, (1 << 62, 4))}, b"1234")


def dimensions_without_end(folder: Path) -> None:
    write_weights(folder, {"a": tensor(0, 4, (1 << 39,) * 20_000)}, b"1234")


def key_twice(folder: Path) -> None:
    one = json.dumps(tensor(0, 4))
    write_weights(folder, f'{{"a": {one}, "a": {one}}}'.encode(), b"1234")


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (header_of_2_to_the_63, "header"),
        (header_of_more_than_100_mb, "header"),
        (overlapping_tensors, "overlaps"),
        (holes, "bytes of no tensor"),
        (hole_at_the_end, "bytes of no tensor"),
        (size_that_is_not_the_shapes, "another size"),
        (overflowing_shape, "impossible place"),
        (dimensions_without_end, "impossible place"),
        (key_twice, "twice"),
        (cut_short, "ends before"),
    ],
)
def test_unsound_safetensors_are_refused(folder, damage, reason):
    damage(folder)
    with pytest.raises(CorruptArtefactError) as caught:
        load(folder)
    assert caught.value.exit_code == 3
    assert reason in caught.value.message


def test_weights_that_are_no_numbers_are_named(folder):
    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[0]
    weights[name].view(-1)[0] = float("nan")
    save_file(weights, folder / "model.safetensors")
    assert not_finite(read_foreign(folder).weights) == [name]


def split_in_two(folder: Path) -> tuple[str, str]:
    """Lay the weights in two files with an index, and return their names."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    halves = ("model-1-of-2.safetensors", "model-2-of-2.safetensors")
    shares = {halves[0]: names[:5], halves[1]: names[5:]}
    for half, own in shares.items():
        save_file({name: weights[name] for name in own}, folder / half)
    index = {"weight_map": {name: half for half, own in shares.items() for name in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    return halves


def test_weights_in_several_files_are_read(folder):
    expected = load(folder).model.network.state_dict()
    split_in_two(folder)
    found = load(folder).model.network.state_dict()
    assert all(torch.equal(found[name], one) for name, one in expected.items())


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "sub/../x.safetensors", ".."])
def test_shard_outside_the_folder_is_refused(folder, name):
    split_in_two(folder)
    index = {"weight_map": {"a": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    with pytest.raises(InputError) as caught:
        load(folder)
    assert caught.value.code == "foreign_outside"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_link_out_of_the_folder_is_refused(folder, tmp_path, name):
    shutil.move(folder / name, tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError) as caught:
        load(folder)
    assert caught.value.code == "foreign_outside"


def test_links_of_the_hubs_cache_are_followed(folder, tmp_path):
    root = tmp_path / "models--owner--tiny"
    blobs, snapshot = root / "blobs", root / "snapshots" / "0123abcd"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(folder.iterdir())):
        shutil.move(path, blobs / str(number))
        (snapshot / path.name).symlink_to(Path("../../blobs") / str(number))
    assert load(snapshot).parameters > 0
    assert read_foreign(snapshot).name.startswith("tiny-")


def test_pipe_in_the_place_of_a_file_is_refused(folder):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")  # whoever waits for its first byte waits for ever
    with pytest.raises(InputError):
        load(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "model.safetensors"])
def test_folder_in_the_place_of_a_file_is_refused(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(InputError) as caught:
        load(folder)
    assert caught.value.code == "foreign_outside"


def test_file_that_may_not_be_read_is_said(folder, monkeypatch):
    def refuse(*given):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("memlm.models.foreign.os.open", refuse)
    with pytest.raises(InputError) as caught:
        load(folder)
    assert caught.value.code == "foreign_unreadable"


@pytest.mark.parametrize(
    "changes",
    [
        {"n_layer": 10**9},
        {"vocab_size": 10**12},
        {"n_embd": 10**9},
        {"n_positions": 10**12},
        {"n_head": 10**6},
        {"n_layer": 1000, "n_embd": 1 << 20, "n_head": 2},
        {"id2label": None, "n_inner": {"a": {"a": {"a": {"a": {"a": {"a": {}}}}}}}},
    ],
    ids=["layers", "vocabulary", "width", "positions", "heads", "parameters", "depth"],
)
def test_model_that_nobody_could_hold_is_refused_before_it_is_built(folder, changes):
    change_config(folder, **changes)
    with pytest.raises(InputError) as caught:
        load(folder)
    assert caught.value.code == "foreign_too_large"


def test_network_without_weights_for_it_is_refused_before_it_is_laid_out(folder):
    change_config(folder, vocab_size=4_000_000)  # 64 million parameters, of which there are few
    with pytest.raises(InputError) as caught:
        load(folder)
    assert caught.value.code == "foreign_without_weights"


def test_masks_without_end_are_refused_before_they_are_laid_out(folder):
    from transformers import GPTNeoConfig

    described = GPTNeoConfig(
        vocab_size=300,
        hidden_size=8,
        num_layers=2,
        num_heads=2,
        attention_types=[[["global"], 2]],
        max_position_embeddings=1 << 16,  # a mask of four billion entries a layer
    )
    config = json.loads(described.to_json_string(use_diff=False))
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(InputError) as caught:
        load(folder)
    assert caught.value.code == "foreign_without_weights"


def test_adaptive_softmax_is_refused(folder):
    from memlm.models.config import describe_network

    network = describe_network(
        kind="gru",
        vocabulary_size=400,
        embedding_width=8,
        hidden_width=16,
        layers=1,
        cutoffs=(6, 12),
    )
    config = {"model_type": "memlm", "network": network.to_json(), "vocab_size": 400}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(InputError) as caught:
        load(folder)
    assert caught.value.code == "foreign_output"


def test_missing_tensors_are_listed(folder):
    weights = load_file(folder / "model.safetensors")
    gone = [name for name in weights if name.endswith("h.1.attn.c_attn.weight")]
    save_file({n: w for n, w in weights.items() if n not in gone}, folder / "model.safetensors")
    with pytest.raises(InputError) as caught:
        load(folder)
    assert caught.value.code == "foreign_tensors_missing"
    assert gone[0] in caught.value.message


def test_file_put_in_the_place_of_one_that_was_checked_is_not_read(folder, monkeypatch):
    import memlm.models.foreign as foreign

    expected = read_foreign(folder)
    checked = foreign.read_header

    def check_and_swap(file, name):
        found = checked(file, name)
        other = {"a": tensor(0, 4)}
        (folder / name).rename(folder / "away")
        write_weights(folder, other, b"1234")
        return found

    monkeypatch.setattr(foreign, "read_header", check_and_swap)
    found = read_foreign(folder)
    assert found.weights_hash == expected.weights_hash
    assert found.weights.keys() == expected.weights.keys()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"model_type": "gpt2", "model_type": "llama"}', "[" * 100_000, "\0"]
)
def test_configuration_that_is_none_is_refused_in_our_own_words(folder, text):
    (folder / "config.json").write_text(text, "utf-8")
    with pytest.raises(MemlmError):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"model_type": "\x1b[31mevil"}, "foreign_kind_unknown"),
        ({"model_type": "vit"}, "foreign_not_causal"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "foreign_quantised"),
        ({"n_layer": "two"}, "foreign_file_bad"),
        ({"n_embd": 15}, "foreign_file_bad"),
        ({"activation_function": "os.system"}, "foreign_file_bad"),
    ],
    ids=["unknown", "no language", "quantised", "type", "shape", "activation"],
)
def test_what_the_library_cannot_build_is_said_in_one_line(folder, changes, code):
    change_config(folder, **changes)
    with pytest.raises(MemlmError) as caught:
        load(folder)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_file_is_said(folder, name):
    (folder / name).unlink()
    with pytest.raises(NotFoundError):
        load(folder)


def test_name_changes_with_any_byte_that_matters(folder):
    before = read_foreign(folder).name
    (folder / "README.md").write_text("other", "utf-8")
    assert read_foreign(folder).name == before
    change_config(folder, resid_pdrop=0.2)
    assert read_foreign(folder).name != before
