"""What tokens and the labels in force bring to the first block, looked up instead of computed.

Both come in by one matrix after another and nothing else, so that the sum of what a token brings
and what a label brings is all there is to do. A token's part is computed when it first comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from memlm.models.config import NetworkConfig
from memlm.models.matrix import Floats
from memlm.models.step_recurrent import RecurrentStep

Ids = npt.NDArray[np.int64]
_MOST_KEPT = 1 << 25


class TokenRows:
    """A row of numbers for each token, `make(tokens)`, kept once it was made."""

    def __init__(self, size: tuple[int, int], make: Callable[[Ids], Floats]) -> None:
        """Take how many tokens there are, and how long a row is."""
        self._make = make
        # Memory that nothing was written to is only promised.
        is_kept = size[0] * size[1] <= _MOST_KEPT
        self._rows: Floats | None = np.empty(size, dtype=np.float32) if is_kept else None
        self._is_known = np.zeros(size[0], dtype=bool)

    def __call__(self, tokens: Ids) -> Floats:
        """Return the rows (..., N) of tokens (...)."""
        if self._rows is None:
            return self._make(tokens)
        if tokens.size == 1:
            return self._row(self._rows, int(tokens.item())).reshape(*tokens.shape, -1)
        known = self._is_known[tokens]
        if not known.all():
            self._learn(self._rows, np.unique(tokens[~known]))
        return self._rows[tokens]

    def _row(self, rows: Floats, token: int) -> Floats:
        """Return the row of one token, (1, N), not to be written to."""
        if not self._is_known[token]:
            self._learn(rows, np.array([token]))
        return rows[token : token + 1]

    def _learn(self, rows: Floats, tokens: Ids) -> None:
        # One by one: what a token brings must not depend on which others came with it.
        for token in tokens:
            rows[token] = self._make(token[None])[0]
        self._is_known[tokens] = True


class Entrance:
    """From tokens and labels to what the first block is given."""

    def __init__(
        self,
        config: NetworkConfig,
        weights: Mapping[str, Floats],
        recurrent: RecurrentStep | None,
    ) -> None:
        """Look ahead to the products of the first block, if that is `recurrent`."""
        self._embed = weights["embed.weight"]
        self._enter = weights.get("enter.weight")
        self._narrow, self._wide = config.embedding_width, config.input_width
        self._recurrent = recurrent
        width = config.input_width if self._enter is None else len(self._enter)
        size = config.vocabulary_size, width
        self._streams = TokenRows(size, lambda tokens: self._stream(self._embed[tokens]))
        self._products: TokenRows | None = None
        if recurrent is not None:
            size = config.vocabulary_size, len(recurrent.bias)
            self._products = TokenRows(size, self._products_of)
        self._label_streams: Floats | None = None
        self._label_products: Floats | None = None
        if config.label_tokens:
            beside = np.zeros((len(config.label_tokens) + 1, self._wide), dtype=np.float32)
            beside[:, self._narrow :] = weights["embed_label.weight"]
            self._label_streams = self._entered(beside)
            if recurrent is not None:
                self._label_products = recurrent.inputs.product(self._label_streams)

    def __call__(self, tokens: Ids, labels: Ids) -> tuple[Floats, Floats | None]:
        """Return the stream (..., I), and the products (..., G) of a recurrent first block."""
        stream, products = self._streams(tokens), None
        if self._label_streams is not None:
            stream = stream + self._label_streams[labels]
        if self._products is not None:
            products = self._products(tokens)
            if self._label_products is not None:
                products = products + self._label_products[labels]
        return stream, products

    def _products_of(self, tokens: Ids) -> Floats:
        assert self._recurrent is not None
        return self._recurrent.products(self._stream(self._embed[tokens]))

    def _stream(self, embedded: Floats) -> Floats:
        """Return what embedded tokens (..., E) bring, without a label."""
        if self._wide == self._narrow:
            return self._entered(embedded)
        beside = np.zeros((*embedded.shape[:-1], self._wide), dtype=np.float32)
        beside[..., : self._narrow] = embedded
        return self._entered(beside)

    def _entered(self, inputs: Floats) -> Floats:
        return inputs if self._enter is None else np.asarray(inputs @ self._enter.T)


class LabelsInForce:
    """Which label holds at each position; see `network.py`."""

    def __init__(self, config: NetworkConfig) -> None:
        # Which label a token switches to: 0 keeps the one in force, 1 is none.
        self._switch = np.zeros(config.vocabulary_size, dtype=np.int64)
        self._has_labels = bool(config.label_tokens)
        if self._has_labels:
            self._switch[0] = 1  # the end of a document
            self._switch[list(config.label_tokens)] = np.arange(len(config.label_tokens)) + 2

    def __call__(self, tokens: Ids, label: Ids) -> Ids:
        """Return `label` (B,) and after it those that tokens (B, T) leave in force, (B, T + 1)."""
        if not self._has_labels:
            return np.zeros((len(tokens), tokens.shape[1] + 1), dtype=np.int64)
        switches = self._switch[tokens]
        places = np.where(switches > 0, np.arange(tokens.shape[1]), -1)
        last = np.maximum.accumulate(places, axis=1)
        found = np.take_along_axis(switches, np.maximum(last, 0), axis=1) - 1
        found = np.where(last >= 0, found, label[:, None])
        return np.concatenate([label[:, None], found], axis=1)
