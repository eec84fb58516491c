"""The weights of a trained network by name, read without torch, and what they must look like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from memlm.errors import CorruptArtefactError
from memlm.models.config import BlockConfig, NetworkConfig
from memlm.models.earlier import migrate_weights
from memlm.models.matrix import Floats
from memlm.storage import read_json

Shape = tuple[int, ...]
_WEIGHT_BYTES = 4
_GATES = {"lstm": 4, "gru": 3}


def read_weights(folder: Path) -> tuple[NetworkConfig, dict[str, Floats]]:
    """Return what `config.json` describes and `model.safetensors` holds.

    Raises CorruptArtefactError where one is damaged or they do not fit each other.
    """
    path, file = folder / "config.json", folder / "model.safetensors"
    config = NetworkConfig.from_json(read_json(path), path=path)
    # A wrong size is noticed before memory is taken for it.
    if not file.is_file() or file.stat().st_size < config.num_parameters * _WEIGHT_BYTES:
        raise CorruptArtefactError("artefact_unreadable", path=file)
    try:
        weights: dict[str, Floats] = migrate_weights(load_file(file))
    except (SafetensorError, OSError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=file) from error
    shapes = {name: found.shape for name, found in weights.items()}
    if shapes != weight_shapes(config):
        raise CorruptArtefactError("artefact_unreadable", path=file)
    return config, weights


def within(weights: Mapping[str, Floats], prefix: str) -> dict[str, Floats]:
    """Return the weights whose name begins so, by the rest of it."""
    return {
        name.removeprefix(prefix): found
        for name, found in weights.items()
        if name.startswith(prefix)
    }


def weight_shapes(config: NetworkConfig) -> dict[str, Shape]:
    """Return the shape of every weight of a network by its name."""
    found: dict[str, Shape] = {"embed.weight": (config.vocabulary_size, config.embedding_width)}
    width = config.input_width
    if config.has_entrance:
        found["enter.weight"] = (config.blocks[0].width, width)
        width = config.blocks[0].width
    for number, block in enumerate(config.blocks):
        shapes = _attending(block) if block.attends else _recurrent(block, width)
        found |= {f"blocks.{number}.{name}": shape for name, shape in shapes.items()}
        width = block.width
    if config.has_last_norm:
        found["last_norm.weight"] = (width,)
    if config.label_tokens:
        labels = len(config.label_tokens) + 1
        found["embed_label.weight"] = (labels, config.label_width)
        found["label_bias"] = (config.vocabulary_size, labels)
    return found | dict(_output(config))


def _recurrent(block: BlockConfig, input_width: int) -> dict[str, Shape]:
    gates = _GATES[block.kind] * block.width
    return {
        "layer.weight_ih_l0": (gates, input_width),
        "layer.weight_hh_l0": (gates, block.width),
        "layer.bias_ih_l0": (gates,),
        "layer.bias_hh_l0": (gates,),
    }


def _attending(block: BlockConfig) -> dict[str, Shape]:
    width, narrow = block.width, block.width // block.heads
    inner = "attend." if block.kind == "transformer" else ""
    matrices = ("query", "key", "value", "output")
    found: dict[str, Shape] = {f"{inner}attention_norm.weight": (width,)}
    found |= {f"{inner}attention.{name}.weight": (width, width) for name in matrices}
    found |= {f"{inner}attention.{name}_norm.weight": (narrow,) for name in ("query", "key")}
    if block.kind == "transformer":
        wide = block.feed_forward_width
        found["feed_forward_norm.weight"] = (width,)
        found |= {"gate.weight": (wide, width), "up.weight": (wide, width)}
        found["down.weight"] = (width, wide)
    return found


def _output(config: NetworkConfig) -> Iterator[tuple[str, Shape]]:
    width, vocabulary = config.hidden_width, config.vocabulary_size
    if not config.cutoffs:
        if config.has_output_bias:
            yield "output.bias", (vocabulary,)
        if not config.is_tied:
            yield "output.weight", (vocabulary, width)
        return
    edges = (*config.cutoffs, vocabulary)
    yield "output.head.weight", (edges[0] + len(config.cutoffs), width)
    for number, (start, stop) in enumerate(pairwise(edges)):
        narrow = width // 4 ** (number + 1)
        yield f"output.tail.{number}.0.weight", (narrow, width)
        yield f"output.tail.{number}.1.weight", (stop - start, narrow)
