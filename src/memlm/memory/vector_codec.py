"""How a hidden state becomes a few bytes, and in which list they lie.

    code = round(R P (h - mean) / step), one byte a component

P are the first principal components of a sample, R a random turn that spreads what they say evenly
over all components, so that one step serves for all; distances between codes are those between the
reduced states, in steps. The centres of the lists are found by k-means on the same sample. They are
averages over many states, and belong to the network as its weights do: taking a document out of the
memory leaves them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from memlm.errors import CorruptArtefactError
from memlm.language_model import Hidden
from memlm.storage import new_folder, read_manifest, verify_folder

WIDTH = 64
_ROWS_PER_LIST = 1000
_MOST_LISTS = 1024
_SAMPLES_PER_LIST = 32
_ROUNDS = 8
_LARGEST_CODE = 127
_RANGE = 4.0  # standard deviations that it stands for
_BLOCK = 8192


@dataclass(frozen=True)
class VectorCodec:
    """The numbers of one network's codec."""

    mean: npt.NDArray[np.float32]
    """Of the hidden states, (D,)."""
    basis: npt.NDArray[np.float32]
    """(D, d), divided by the step."""
    centres: npt.NDArray[np.float32]
    """Of the lists, in codes, (L, d)."""

    @property
    def width(self) -> int:
        """Bytes of a code, d."""
        return int(self.basis.shape[1])

    def reduce(self, hidden: Hidden) -> Hidden:
        """Return hidden states (..., D) in the units of codes, not rounded: (..., d)."""
        return np.asarray((hidden - self.mean) @ self.basis, dtype=np.float32)

    def encode(self, hidden: Hidden) -> npt.NDArray[np.int8]:
        """Return the codes of hidden states."""
        rounded = np.rint(self.reduce(hidden))
        return np.clip(rounded, -_LARGEST_CODE, _LARGEST_CODE).astype(np.int8)

    def nearest_lists(self, query: Hidden, count: int) -> npt.NDArray[np.int64]:
        """Return the lists with the centres nearest to a query (d,), in no order."""
        distances = self._norms - 2 * (self.centres @ query)
        if count >= len(distances):
            return np.arange(len(distances))
        return np.argpartition(distances, count)[:count]

    @cached_property
    def _norms(self) -> npt.NDArray[np.float32]:
        return np.asarray((self.centres**2).sum(axis=1))

    def lists_of(self, codes: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
        """Return the list in which each code (n, d) lies."""
        blocks = range(0, len(codes), _BLOCK)
        found = [
            _nearest(codes[at : at + _BLOCK].astype(np.float32), self.centres) for at in blocks
        ]
        return np.concatenate(found)


def learn_codec(hidden: Hidden, *, rows: int, width: int = WIDTH, seed: int = 0) -> VectorCodec:
    """Return the codec for a memory of about so many rows, from a sample of the states (N, D)."""
    generator = np.random.default_rng(seed)
    mean = hidden.mean(axis=0)
    covariance = np.cov((hidden - mean).T.astype(np.float64))
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    width = min(width, hidden.shape[1])
    turn, _ = np.linalg.qr(generator.standard_normal((width, width)))
    basis = vectors[:, ::-1][:, :width] @ turn
    spread = np.sqrt(max(values[::-1][:width].mean(), np.finfo(np.float32).tiny))
    basis *= _LARGEST_CODE / (_RANGE * spread)
    codec = VectorCodec(mean, basis.astype(np.float32), np.empty((0, width), dtype=np.float32))
    lists = min(_MOST_LISTS, rows // _ROWS_PER_LIST, len(hidden) // _SAMPLES_PER_LIST)
    return VectorCodec(mean, codec.basis, _centres(codec.reduce(hidden), max(1, lists), generator))


def save_codec(folder: Path, codec: VectorCodec, *, weights_hash: str) -> None:
    """Write a codec, bound to the weights of its network."""
    with new_folder(folder, made_from={"weights": weights_hash}) as temporary:
        parts = {"mean": codec.mean, "basis": codec.basis, "centres": codec.centres}
        save_file(
            {name: np.ascontiguousarray(part) for name, part in parts.items()},
            temporary / "codec.safetensors",
        )


def load_codec(folder: Path) -> tuple[VectorCodec, str]:
    """Return a codec and the hash of the weights that it is bound to; checks every byte."""
    verify_folder(folder)
    path = folder / "codec.safetensors"
    try:
        codec = VectorCodec(**load_file(path))
        return codec, str(read_manifest(folder)["made_from"]["weights"])
    except (SafetensorError, TypeError, KeyError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=path) from error


def _centres(sample: Hidden, count: int, generator: np.random.Generator) -> Hidden:
    """Return the centres of k-means (Lloyd 1982), (count, d)."""
    centres = sample[generator.choice(len(sample), count, replace=False)]
    for _ in range(_ROUNDS if count > 1 else 1):
        nearest = np.zeros(len(sample), np.int64) if count == 1 else _nearest(sample, centres)
        sizes = np.bincount(nearest, minlength=count)
        sums = np.zeros((count, sample.shape[1]))
        np.add.at(sums, nearest, sample)
        has_any = sizes > 0  # a centre that nothing is nearest to stays
        centres[has_any] = sums[has_any] / sizes[has_any, None]
    return centres


def _nearest(points: Hidden, centres: Hidden) -> npt.NDArray[np.int64]:
    distances = (centres**2).sum(axis=1) - 2 * (points @ centres.T)
    return np.asarray(distances.argmin(axis=1), dtype=np.int64)
