"""LSTM and GRU language models (Hochreiter and Schmidhuber 1997; Cho et al. 2014).

    tokens (B, T) -> embedding -> [label in force] -> recurrent layers -> logits (B, T, V)

A document's label is a token at its beginning. A recurrent state forgets it within some dozen
steps, so the label last seen is remembered exactly, in the state, and shown at every step: to the
first layer as a vector, and to the output as a bias of each token (Yogatama et al. 2017 show it
there). With the bias alone the network is naive Bayes; training begins there, see `train/run.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memlm.models.config import NetworkConfig

NetworkState = tuple[Tensor, ...]
"""Batch in dimension 1: the recurrent layers' (layers, B, H) one to two times, the label (1, B)."""


class RecurrentNetwork(nn.Module):
    """`forward(tokens, state) -> (logits, state)` over stacked recurrent layers."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocabulary_size, config.embedding_width)
        self.dropout = LockedDropout(config.dropout)
        layer = {"lstm": nn.LSTM, "gru": nn.GRU}[config.kind]
        self.recurrent = layer(
            config.input_width,
            config.hidden_width,
            config.layers,
            batch_first=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.output = nn.Linear(config.hidden_width, config.vocabulary_size)
        if config.is_tied:  # Press and Wolf 2017
            self.output.weight = self.embed.weight
            nn.init.normal_(self.embed.weight, std=config.embedding_width**-0.5)
        if config.label_tokens:
            num_labels = len(config.label_tokens) + 1  # 0 is none
            self.embed_label = nn.Embedding(num_labels, config.label_width)
            self.label_bias = nn.Parameter(torch.zeros(config.vocabulary_size, num_labels))
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

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the weights by name, each once: a tied output is the embedding."""
        found = {name: value.detach().clone() for name, value in self.state_dict().items()}
        if self.config.is_tied:
            del found["output.weight"]
        return found

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what `weights` returned; RuntimeError if it does not fit."""
        tied = {"output.weight": weights["embed.weight"]} if self.config.is_tied else {}
        self.load_state_dict({**weights, **tied})

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
        outputs = self.dropout(outputs)
        if not self.config.label_tokens:
            return self.output(outputs), (*after, label)
        # One product for both: the label in force is a further unit of the last layer.
        shown = F.one_hot(labels, self.label_bias.shape[1]).to(outputs.dtype)
        both = torch.cat([self.output.weight, self.label_bias], dim=1)
        logits = F.linear(torch.cat([outputs, shown], dim=-1), both, self.output.bias)
        return logits, (*after, label)

    def _labels_in_force(self, tokens: Tensor, label: Tensor) -> Tensor:
        """Return for each position the label (0: none) that the tokens up to it have set."""
        switch: Tensor = self.get_buffer("label_switch")
        switches = switch[tokens]  # (B, T), 0 where nothing changes
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        last = torch.where(switches > 0, positions, -1).cummax(dim=1).values
        found = switches.gather(1, last.clamp(min=0)) - 1
        return torch.where(last >= 0, found, label[0][:, None])


class LockedDropout(nn.Module):
    """Dropout with one mask for all positions of a stretch (Gal and Ghahramani 2016).

    Besides regularising recurrent networks better it draws T times fewer random numbers.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Return values (B, T, D) with the same units of every position dropped."""
        if not self.training or self.share == 0:
            return values
        kept = values.new_empty(values.shape[0], 1, values.shape[2]).bernoulli_(1 - self.share)
        return values * kept / (1 - self.share)
