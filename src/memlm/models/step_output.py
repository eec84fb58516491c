"""The output layer in numpy: log-probabilities from what the last block hands on.

As `output.py` has it in torch: scores for every token, with the label in force as a further bias,
or clusters of them (adaptive softmax).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import ModuleType

import numpy as np
import numpy.typing as npt

from memlm.models.config import NetworkConfig, Precision
from memlm.models.matrix import Floats, Matrix


class FullScores:
    """A score for every token."""

    def __init__(
        self, config: NetworkConfig, weights: Mapping[str, Floats], precision: Precision
    ) -> None:
        name = "embed.weight" if config.is_tied else "output.weight"
        self._matrix = Matrix(weights[name], precision)
        bias = (
            weights["output.bias"]
            if config.has_output_bias
            else np.zeros(config.vocabulary_size, dtype=np.float32)
        )
        labelled = bias + weights["label_bias"].T if config.label_tokens else bias[None]
        self._bias: Floats = np.ascontiguousarray(labelled, dtype=np.float32)  # (labels, V)

    def __call__(
        self, hidden: Floats, labels: npt.NDArray[np.int64], loops: ModuleType | None = None
    ) -> Floats:
        """Return log-probabilities (..., V) for hidden (..., H) and the labels (...) in force.

        The compiled `loops` are for a few vectors.
        """
        if loops is not None:
            rows = hidden.reshape(-1, hidden.shape[-1])
            found: Floats = np.empty((len(rows), len(self._matrix)), dtype=np.float32)
            bias = self._bias
            if len(bias) > 1:
                bias = bias[labels.reshape(-1)]
            loops.score(self._matrix.stored, self._matrix.scales, rows, bias, found)
            return found.reshape(*hidden.shape[:-1], -1)
        scores = self._matrix.product(hidden)
        scores += self._bias[labels] if len(self._bias) > 1 else self._bias[0]
        return log_softmax(scores)


class ClusterScores:
    """Scores of the frequent tokens and of the clusters, then of the tokens in each."""

    def __init__(
        self, config: NetworkConfig, weights: Mapping[str, Floats], precision: Precision
    ) -> None:
        self._edges = (*config.cutoffs, config.vocabulary_size)
        self._head = Matrix(weights["output.head.weight"], precision)
        self._tails = [
            tuple(Matrix(weights[f"output.tail.{n}.{part}.weight"], precision) for part in (0, 1))
            for n in range(len(config.cutoffs))
        ]

    def __call__(
        self, hidden: Floats, labels: npt.NDArray[np.int64], loops: ModuleType | None = None
    ) -> Floats:
        """Return log-probabilities (..., V) for hidden (..., H); compiled as in `FullScores`."""
        frequent = self._edges[0]
        head = log_softmax(_product(self._head, hidden, loops))
        found: Floats = np.empty((*hidden.shape[:-1], self._edges[-1]), dtype=np.float32)
        found[..., :frequent] = head[..., :frequent]
        for number, (start, stop) in enumerate(pairwise(self._edges)):
            narrow, wide = self._tails[number]
            inside = log_softmax(_product(wide, _product(narrow, hidden, loops), loops))
            inside += head[..., frequent + number, None]
            found[..., start:stop] = inside
        return found


Scores = FullScores | ClusterScores


def make_scores(
    config: NetworkConfig, weights: Mapping[str, Floats], precision: Precision
) -> Scores:
    """Return the output layer that a network is described to have."""
    kind = ClusterScores if config.cutoffs else FullScores
    return kind(config, weights, precision)


def _product(matrix: Matrix, hidden: Floats, loops: ModuleType | None) -> Floats:
    if loops is None:
        return matrix.product(hidden)
    rows = hidden.reshape(-1, hidden.shape[-1])
    found: Floats = np.zeros((len(rows), len(matrix)), dtype=np.float32)
    loops.multiply(matrix.stored, matrix.scales, rows, found)
    return found.reshape(*hidden.shape[:-1], -1)


def log_softmax(scores: Floats) -> Floats:
    """Return log-probabilities (..., V), written over the scores."""
    scores -= scores.max(axis=-1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    return scores
