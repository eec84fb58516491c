"""What transformers computes of an exported network is what we compute of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported_networks import OWN, QWEN3, large_random_network, logits_of, some_tokens

from memlm.models.config import NetworkConfig
from memlm.models.exporting.qwen3 import qwen3_lacks
from memlm.models.network import Network, load_network

Both = Callable[[str], tuple[Network, Any]]
TOLERANCE = 1e-5


@pytest.mark.parametrize("name", [*QWEN3, *OWN])
def test_logits_are_the_same(both: Both, name: str) -> None:
    ours, theirs = both(name)
    with torch.no_grad():
        found = theirs(some_tokens()).logits
    assert type(theirs).__name__ == ("Qwen3ForCausalLM" if name in QWEN3 else "MemlmForCausalLM")
    torch.testing.assert_close(found, logits_of(ours, some_tokens()), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", [*QWEN3, *OWN])
def test_greedy_text_is_the_same(both: Both, name: str) -> None:
    ours, theirs = both(name)
    tokens = torch.tensor([[0, 5, 9, 7]])
    written = theirs.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=20,
        do_sample=False,
        eos_token_id=None,
    )
    for _ in range(20):
        tokens = torch.cat([tokens, logits_of(ours, tokens)[:, -1:].argmax(-1)], dim=1)
    assert written.tolist() == tokens.tolist()


@pytest.mark.parametrize("name", OWN)
def test_folder_is_read_back_as_the_network_it_was(
    write_folder: Callable[[Network], Path], tmp_path: Path, name: str
) -> None:
    network = large_random_network(**OWN[name])
    folder = write_folder(network)
    described = json.loads((folder / "config.json").read_text("utf-8"))["network"]
    (tmp_path / "config.json").write_text(json.dumps(described), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    again = load_network(tmp_path, device=torch.device("cpu"))
    assert torch.equal(logits_of(again, some_tokens()), logits_of(network, some_tokens()))


def test_folder_in_qwen3s_layout_holds_nothing_to_run(
    write_folder: Callable[[Network], Path],
) -> None:
    folder = write_folder(large_random_network(**QWEN3["transformer"]))
    endings = {path.suffix for path in folder.iterdir()}
    assert endings == {".json", ".safetensors"}


@pytest.mark.parametrize(
    ("shape", "lacking"),
    [
        ({"kind": "lstm"}, "blocks"),
        ({"kind": "transformer", "label_tokens": (2,)}, "labels"),
        ({"kind": "transformer", "cutoffs": (6,)}, "clusters"),
        ({"kind": "transformer", "has_output_bias": True}, "bias"),
        ({"kind": "transformer"}, None),
    ],
    ids=lambda value: str(value),
)
def test_what_qwen3_has_no_place_for_is_known(shape: dict[str, Any], lacking: str | None) -> None:
    assert qwen3_lacks(large_random_network(**shape).config) == lacking


def test_blocks_of_two_windows_have_no_place_in_qwen3() -> None:
    network = large_random_network(kind="transformer", window=4).config
    fields = network.to_json()
    fields["blocks"] = [block | {"window": 4 + n} for n, block in enumerate(fields["blocks"])]  # type: ignore[arg-type]
    assert qwen3_lacks(NetworkConfig.from_json(fields, path="a test")) == "shapes"


@pytest.mark.parametrize(("name", "has_head"), [("transformer", True), ("tied", False)])
def test_weights_are_saved_once_in_single_precision(
    write_folder: Callable[[Network], Path], name: str, has_head: bool
) -> None:
    from safetensors.numpy import load_file

    folder = write_folder(large_random_network(**QWEN3[name]))
    weights = load_file(folder / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float32)}
    assert ("lm_head.weight" in weights) == has_head
