"""A network stepped without torch says what it says with torch, compiled or not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from memlm.errors import CorruptArtefactError
from memlm.models import BlockConfig, NetworkConfig, describe_network
from memlm.models.network import build_network
from memlm.models.network_model import NetworkModel
from memlm.models.step_weights import weight_shapes
from memlm.models.stepping import SteppingModel, load_stepping
from memlm.storage import write_json

VOCABULARY = 30
SIZES = {"vocabulary_size": VOCABULARY, "embedding_width": 8, "hidden_width": 16, "layers": 2}


def _of_widths(*widths: int) -> NetworkConfig:
    blocks = tuple(BlockConfig(kind="lstm", width=width) for width in widths)
    return NetworkConfig(
        kind="lstm", vocabulary_size=VOCABULARY, embedding_width=widths[-1], blocks=blocks,
        is_tied=True,
    )  # fmt: skip


def _named(kind: str, **more: object) -> NetworkConfig:
    return describe_network(**{"kind": kind, **SIZES, **more})


CONFIGS = {
    "lstm": _named("lstm"),
    "gru": _named("gru"),
    "labelled lstm": _named("lstm", label_tokens=(2, 3)),
    "residual, labelled gru": _named("gru", is_residual=True, label_tokens=(2, 3), layers=3),
    "first block residual, with an entrance": NetworkConfig(
        kind="gru",
        vocabulary_size=VOCABULARY,
        embedding_width=8,
        blocks=(BlockConfig(kind="gru", width=12, is_residual=True),) * 2,
        label_tokens=(2, 3),
    ),
    "tied lstm of several widths": _of_widths(24, 12, 10),
    "words by clusters": _named("lstm", cutoffs=(8, 16)),
    "lstm and attention": _named("lstm-attention", heads=2),
    "gru and attention": _named("gru-attention", window=3, is_residual=True),
    "transformer": _named("transformer", heads=2, embedding_width=16),
    "labelled transformer of a window": _named(
        "transformer", window=5, heads=2, label_tokens=(2, 3)
    ),
    "mixed": _named("mixed", window=16, heads=1, layers=4),
}


def _pair(config: NetworkConfig, **how: object) -> tuple[NetworkModel, SteppingModel]:
    network = build_network(config, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():  # far from uniform, as a trained network is
        for weights in network.parameters():
            weights.normal_(std=0.4, generator=generator)
    weights = {name: value.numpy() for name, value in network.weights().items()}
    return NetworkModel(network), SteppingModel(config, weights, **how)


@pytest.fixture(params=[pytest.param(config, id=name) for name, config in CONFIGS.items()])
def pair(request) -> tuple[NetworkModel, SteppingModel]:
    return _pair(request.param)


@pytest.fixture(params=[pytest.param(config, id=name) for name, config in CONFIGS.items()])
def pair_of(request) -> Callable[..., tuple[NetworkModel, SteppingModel]]:
    return partial(_pair, request.param)


def _texts(batch: int, length: int = 100) -> np.ndarray:
    return np.random.default_rng(3).integers(0, VOCABULARY, (batch, length))


@pytest.mark.parametrize("batch", [1, 32])
def test_reading_says_what_torch_says(pair, batch):
    network, stepping = pair
    tokens = _texts(batch)
    expected, hidden, _ = network.read_hidden(network.start(batch), tokens)
    found, seen, _ = stepping.read_hidden(stepping.start(batch), tokens)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(seen, hidden, atol=1e-5)


@pytest.mark.parametrize("is_compiled", [False, True], ids=["numpy", "compiled"])
@pytest.mark.parametrize("batch", [1, 32])
def test_stepping_says_what_torch_says_beyond_the_window(pair, batch, is_compiled):
    network, stepping = pair
    stepping.expect(1 << 20 if is_compiled else 0)
    tokens = _texts(batch)
    expected, hidden, _ = network.read_hidden(network.start(batch), tokens)
    state = stepping.start(batch)
    for place in range(tokens.shape[1]):
        found, seen, state = stepping.advance_hidden(state, tokens[:, place])
        np.testing.assert_allclose(found, expected[:, place], atol=1e-5)
        np.testing.assert_allclose(seen, hidden[:, place], atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("size", [2, 3, 4, 5, 8, 11, 16])
def test_a_compiled_block_says_to_the_last_bit_what_its_steps_say(pair_of, precision, size):
    _, stepping = pair_of(precision=precision)
    stepping.expect(1 << 20)
    tokens = _texts(1, 96)
    one, many = stepping.start(1), stepping.start(1)
    for begin in range(0, 96, size):
        block = tokens[:, begin : begin + size]
        found, seen, many = stepping.read_hidden(many, block)
        for place in range(block.shape[1]):
            said, hidden, one = stepping.advance_hidden(one, block[:, place])
            assert np.array_equal(hidden, seen[:, place])
            assert np.array_equal(said, found[:, place])


def test_a_text_of_twice_the_longest_past_is_read_as_torch_reads_it():
    network, stepping = _pair(_named("transformer", heads=2, layers=1))
    tokens = _texts(1, 2100)
    _, state = network.read(network.start(1), tokens[:, :-1])
    expected, _ = network.advance(state, tokens[:, -1])
    after = stepping.start(1)
    for start in range(0, tokens.shape[1] - 1, 256):
        _, after = stepping.hidden_states(after, tokens[:, :-1][:, start : start + 256])
    found, after = stepping.advance(after, tokens[:, -1])
    # In single precision torch's angles of far positions differ among themselves by that much.
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert after.carried.attended.past.keys.shape[-1] <= 4 * 1024


@pytest.mark.parametrize("is_compiled", [False, True], ids=["numpy", "compiled"])
def test_two_ways_on_from_one_state_do_not_see_each_other(pair, is_compiled):
    _, stepping = pair
    stepping.expect(1 << 20 if is_compiled else 0)
    _, state = stepping.read(stepping.start(1), _texts(1, 7))
    expected, _ = stepping.read(state, np.array([[9, 8, 7]]))
    for tokens in ([4, 4, 4, 4], [9, 8, 7]):
        after, found = state, []
        for token in tokens:
            said, after = stepping.advance(after, np.array([token]))
            found.append(said)
    np.testing.assert_allclose(np.stack(found, axis=1), expected, atol=1e-5)


REWINDING = {
    "transformer": CONFIGS["transformer"],
    "labelled transformer of a window": CONFIGS["labelled transformer of a window"],
    "attention at the end": _named("transformer+attention", window=20, heads=1),
}


@pytest.mark.parametrize("before", [0, 3, 30, 63, 150])
@pytest.mark.parametrize("name", REWINDING)
def test_tokens_are_taken_back_as_if_they_had_never_been_read(name, before):
    _, stepping = _pair(REWINDING[name])
    assert stepping.can_rewind
    tokens, others = _texts(1, before + 9), _texts(2, 12)[1:]
    base = stepping.start(1)
    for start in range(0, before, 7):
        _, base = stepping.read(base, tokens[:, start : min(start + 7, before)])
    for back in range(10):
        _, after = stepping.read(base, tokens[:, before:])
        rewound = stepping.rewound(after, back)
        found, _ = stepping.read(rewound, others)
        read = np.concatenate([tokens[:, : before + 9 - back], others], axis=1)
        expected, _ = stepping.read(stepping.start(1), read)
        np.testing.assert_allclose(found, expected[:, -12:], atol=2e-5)


def test_a_state_that_was_rewound_or_gone_on_from_cannot_be_rewound():
    _, stepping = _pair(CONFIGS["transformer"])
    tokens = _texts(3, 20)
    _, base = stepping.read(stepping.start(1), tokens[:1])
    _, after = stepping.read(base, tokens[1:2])
    assert stepping.rewound(base, 3) is None
    rewound = stepping.rewound(after, 5)
    assert stepping.rewound(after, 2) is None
    for state, own in ((rewound, tokens[1, :15]), (base, []), (rewound, tokens[1, :15])):
        found, _ = stepping.read(state, tokens[2:])
        read = np.concatenate([tokens[0], own, tokens[2]]).astype(np.int64)[None]
        expected, _ = stepping.read(stepping.start(1), read)
        np.testing.assert_allclose(found, expected[:, -20:], atol=2e-5)


def test_recurrence_cannot_be_taken_back():
    _, stepping = _pair(CONFIGS["mixed"])
    assert not stepping.can_rewind


def test_rows_may_repeat_when_selected(pair):
    network, stepping = pair
    tokens = _texts(2, 9)
    _, state = stepping.read(stepping.start(2), tokens)
    chosen = stepping.select(state, np.array([1, 1, 0]))
    found, _ = stepping.advance(chosen, np.array([5, 6, 7]))
    rows = np.concatenate([tokens[[1, 1, 0]], np.array([[5], [6], [7]])], axis=1)
    expected, _ = network.read(network.start(3), rows)
    np.testing.assert_allclose(found, expected[:, -1], atol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "gru", "transformer", "mixed"])
def test_weights_of_a_byte_change_the_loss_by_less_than_a_hundredth(name):
    network, _ = _pair(CONFIGS[name])
    _, stepping = _pair(CONFIGS[name], precision="int8")
    random = np.random.default_rng(5)
    text, state, found = [0], network.start(1), []
    for _ in range(400):  # a text that the network itself writes, and so finds likely
        said, state = network.advance(state, np.array(text[-1:]))
        found.append(said[0])
        shares = np.exp(said[0].astype(np.float64))
        text.append(int(random.choice(VOCABULARY, p=shares / shares.sum())))
    exact = -np.mean([said[token] for said, token in zip(found, text[1:], strict=True)])
    for steps in (0, 1 << 20):
        stepping.expect(steps)
        after, costs = stepping.start(1), []
        for token, comes in pairwise(text):
            said, after = stepping.advance(after, np.array([token]))
            costs.append(-float(said[0, comes]))
        assert np.mean(costs) == pytest.approx(exact, rel=0.01)
        assert np.mean(costs) != pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_the_shapes_told_are_those_that_torch_makes(config):
    expected = {name: tuple(one.shape) for name, one in build_network(config).weights().items()}
    assert weight_shapes(config) == expected


@pytest.fixture
def folder(tmp_path, make_config):
    config = make_config()
    weights = build_network(config, seed=3).weights()
    write_json(tmp_path / "config.json", config.to_json())
    save_file({name: one.numpy() for name, one in weights.items()}, tmp_path / "model.safetensors")
    return tmp_path


def test_a_model_is_loaded_and_read_without_importing_torch(folder):
    program = f"""
import sys
from pathlib import Path
import numpy as np
from memlm.models.stepping import load_stepping
model = load_stepping(Path({str(folder)!r}))
model.advance(model.start(1), np.array([0]))
sys.exit("torch" in sys.modules or "numba" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_weights_that_do_not_fit_are_said_to_be_damaged(folder, make_config):
    write_json(folder / "config.json", make_config(kind="gru").to_json())
    with pytest.raises(CorruptArtefactError):
        load_stepping(folder)


def test_a_file_cut_short_is_said_to_be_damaged(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-50])
    with pytest.raises(CorruptArtefactError):
        load_stepping(folder)
