"""Weights of somebody else's, in safetensors: the header is checked before a byte is believed.

    8 bytes: N, little-endian | N bytes of JSON: name -> dtype, shape, [start, end] | the tensors

The tensors must lie end to end from the first byte to the last, each as large as its shape and
dtype say: no two overlap, no hole hides anything. Each byte is read once: hashed as it is taken, so
that what is used and what is named by the hash are the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from memlm.errors import CorruptArtefactError, InputError
from memlm.messages import render

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_HEADER = 100_000_000
"""Bytes; as the format itself has it."""
_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8,
    "U8": 8, "BOOL": 8,
}  # fmt: skip
_NAMES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_LARGEST_DIMENSION = 1 << 40
_MOST_DIMENSIONS = 16
_LONGEST_SHOWN = 80


@dataclass(frozen=True)
class TensorPlace:
    """Where in a file a tensor lies."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    """In bytes from the end of the header."""
    end: int

    @property
    def size(self) -> int:
        """Number of its entries."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class WeightsHeader:
    """The header of one file, found in order."""

    file: str
    places: tuple[TensorPlace, ...]
    """In the order in which they lie."""
    raw: bytes
    """With the eight bytes before it."""


def read_header(file: BinaryIO, name: str) -> WeightsHeader:
    """Return what a file says it holds; CorruptArtefactError where that cannot be so."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    length_bytes = file.read(8)
    length = int.from_bytes(length_bytes, "little")
    if size < 8 or length > min(LARGEST_HEADER, size - 8):
        raise file_bad(name, "header_size")
    raw = file.read(length)
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=without_repeats)
    except RepeatedKeyError as error:
        raise file_bad(name, "repeated_key", key=error) from error
    except (ValueError, RecursionError) as error:
        raise file_bad(name, "header_json") from error
    if not isinstance(found, dict):
        raise file_bad(name, "header_json")
    found.pop("__metadata__", None)
    places = sorted(
        (_place(name, key, value) for key, value in found.items()),
        key=lambda place: (place.start, place.end),
    )
    _check_order(name, places, size - 8 - length)
    return WeightsHeader(name, tuple(places), length_bytes + raw)


def read_tensors(file: BinaryIO, header: WeightsHeader) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of a file whose header was read from it, and the hash of all its bytes."""
    import torch

    hashed, found = hashlib.sha256(header.raw), {}
    file.seek(len(header.raw))
    for place in header.places:
        data = bytearray(place.end - place.start)
        if file.readinto(data) != len(data):  # type: ignore[attr-defined]  # buffered files have it
            raise file_bad(header.file, "cut_short")
        hashed.update(data)
        dtype = getattr(torch, _NAMES[place.dtype])
        tensor = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        found[place.name] = tensor.reshape(place.shape)
    return found, hashed.hexdigest()


def not_finite(weights: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors that hold something that is no number."""
    return [
        name
        for name, tensor in weights.items()
        if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]


def shown(name: object) -> str:
    """Return a name of somebody else's as a message can show it: short, and no control codes."""
    text = str(name)[:_LONGEST_SHOWN]
    return "".join(one if one.isprintable() else "?" for one in text)


def file_bad(file: str, reason: str, **values: object) -> CorruptArtefactError:
    """Return the error about a file of a model that cannot be what it says."""
    safe = {key: one if isinstance(one, int) else shown(one) for key, one in values.items()}
    said = render(f"foreign.{reason}", **safe)
    return CorruptArtefactError("foreign_file_bad", path=file, reason=said)


class RepeatedKeyError(ValueError):
    """A JSON object names a key twice: readers differ on what that means."""


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # Any: JSON
    """Return the object of these pairs; RepeatedKeyError where two have one name."""
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise RepeatedKeyError(counts.most_common(1)[0][0])
    return found


def _place(file: str, name: str, value: Any) -> TensorPlace:  # Any: JSON
    try:
        dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        start, end = offsets
        numbers = [*shape, start, end]
    except (TypeError, KeyError, ValueError) as error:
        raise file_bad(file, "header_json") from error
    is_sound = all(type(one) is int and 0 <= one < _LARGEST_DIMENSION for one in numbers)
    if not is_sound or len(shape) > _MOST_DIMENSIONS:
        raise file_bad(file, "tensor_place", tensor=name)
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise InputError("foreign_dtype", path=file, tensor=shown(name), dtype=shown(dtype))
    if (end - start) * 8 != math.prod(shape) * _BITS[dtype]:
        raise file_bad(file, "tensor_size", tensor=name)
    return TensorPlace(name, dtype, tuple(shape), start, end)


def _check_order(file: str, places: list[TensorPlace], size: int) -> None:
    """Raise CorruptArtefactError unless tensors fill the file end to end."""
    reached = 0
    for place in places:
        if place.start < reached:
            raise file_bad(file, "overlap", tensor=place.name)
        if place.start > reached:
            raise file_bad(file, "hole", tensor=place.name)
        reached = place.end
    if reached != size:
        raise file_bad(file, "cut_short" if reached > size else "hole_at_end")
