"""LSTM and GRU language models (Hochreiter and Schmidhuber 1997; Cho et al. 2014).

    tokens (B, T) -> embedding -> [label in force] -> recurrent layers -> logits (B, T, V)

A document's label is a token at its beginning. A recurrent state forgets it within some dozen
steps, so the label last seen is remembered exactly, in the state, and shown at every step
(class-conditional input, as in Yogatama et al. 2017).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memlm.models.config import NetworkConfig

NetworkState = tuple[Tensor, ...]
"""Batch in dimension 1: the recurrent layers' (layers, B, H) one to two times, the label (1, B)."""


class RecurrentNetwork(nn.Module):
    """`forward(tokens, state) -> (logits, state)` over stacked recurrent layers."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocabulary_size, config.embedding_width)
        self.dropout = nn.Dropout(config.dropout)
        layer = {"lstm": nn.LSTM, "gru": nn.GRU}[config.kind]
        self.recurrent = layer(
            config.input_width,
            config.hidden_width,
            config.layers,
            batch_first=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.output = nn.Linear(config.hidden_width, config.vocabulary_size)
        if config.label_tokens:
            self.embed_label = nn.Embedding(len(config.label_tokens) + 1, config.label_width)
            # Which label a token switches to: 0 keeps the one in force, 1 is none.
            switch = torch.zeros(config.vocabulary_size, dtype=torch.long)
            switch[0] = 1  # the end of a document
            switch[list(config.label_tokens)] = torch.arange(len(config.label_tokens)) + 2
            self.register_buffer("label_switch", switch, persistent=False)

    def start(self, batch: int) -> NetworkState:
        """Return the zero state for `batch` texts."""
        shape = (self.config.layers, batch, self.config.hidden_width)
        device = self.embed.weight.device
        parts = 2 if self.config.kind == "lstm" else 1
        state = tuple(torch.zeros(shape, device=device) for _ in range(parts))
        return (*state, torch.zeros((1, batch), dtype=torch.long, device=device))

    def forward(self, tokens: Tensor, state: NetworkState) -> tuple[Tensor, NetworkState]:
        """Return logits (B, T, V) for tokens (B, T), and the state after them."""
        *hidden, label = state
        inputs = self.dropout(self.embed(tokens))  # (B, T, E)
        if self.config.label_tokens:
            labels = self._labels_in_force(tokens, label)  # (B, T)
            inputs = torch.cat([inputs, self.embed_label(labels)], dim=-1)
            label = labels[None, :, -1]
        given = tuple(hidden) if self.config.kind == "lstm" else hidden[0]
        outputs, after = self.recurrent(inputs, given)  # (B, T, H)
        after = after if self.config.kind == "lstm" else (after,)
        return self.output(self.dropout(outputs)), (*after, label)

    def _labels_in_force(self, tokens: Tensor, label: Tensor) -> Tensor:
        """Return for each position the label (0: none) that the tokens up to it have set."""
        switches = self.label_switch[tokens]  # (B, T), 0 where nothing changes
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        last = torch.where(switches > 0, positions, -1).cummax(dim=1).values
        found = switches.gather(1, last.clamp(min=0)) - 1
        return torch.where(last >= 0, found, label[0][:, None])
