"""Networks of blocks: build one, load one.

    tokens (B, T) -> embedding -> [label in force] -> blocks -> logits (B, T, V)

A document's label is a token at its beginning. A recurrent state forgets it within some dozen
steps, so the label last seen is remembered exactly, in the state, and shown at every step: to the
first block as a vector, and to the output as a bias of each token (Yogatama et al. 2017 show it
there). Where reading begins inside documents, their labels are told. With the bias alone the
network is naive Bayes; training begins there, see `train/run.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from memlm.errors import CorruptArtefactError
from memlm.models.attention import AttentionBlock, Norm
from memlm.models.config import BlockConfig, NetworkConfig
from memlm.models.dropout import LockedDropout
from memlm.models.earlier import migrate_weights
from memlm.models.learning import LearningNetwork, NetworkState
from memlm.models.output import AdaptiveOutput, FullOutput, label_logits, make_output, token_losses
from memlm.models.recurrent import RecurrentBlock
from memlm.models.transformer import TransformerBlock
from memlm.storage import read_json

Block = RecurrentBlock | AttentionBlock | TransformerBlock
_STATE_PARTS = {"lstm": 2, "gru": 1, "attention": 1, "transformer": 1}
_WEIGHT_BYTES = 4


class Network(LearningNetwork):
    """`forward(tokens, state) -> (logits, state)` over a stack of blocks.

    The state: those of the blocks one after the other, then the label in force (1, B).
    """

    config: NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocabulary_size, config.embedding_width)
        self.dropout = LockedDropout(config.dropout)
        width = config.input_width
        if config.has_entrance:
            self.enter = nn.Linear(width, config.blocks[0].width, bias=False)
            width = config.blocks[0].width
        self.blocks = nn.ModuleList()
        for block in config.blocks:
            self.blocks.append(_make_block(block, width, config))
            width = block.width
        if config.has_last_norm:
            self.last_norm = Norm(width)
        self.output: FullOutput | AdaptiveOutput = make_output(config)
        if config.is_tied:  # Press and Wolf 2017
            assert isinstance(self.output, FullOutput)
            self.output.weight = self.embed.weight
            nn.init.normal_(self.embed.weight, std=config.embedding_width**-0.5)
        if config.label_tokens:
            self._add_labels(config)

    def _add_labels(self, config: NetworkConfig) -> None:
        num_labels = len(config.label_tokens) + 1  # 0 is none
        self.embed_label = nn.Embedding(num_labels, config.label_width)
        self.label_bias = nn.Parameter(torch.zeros(config.vocabulary_size, num_labels))
        # Which label a token switches to: 0 keeps the one in force, 1 is none.
        switch = torch.zeros(config.vocabulary_size, dtype=torch.long)
        switch[0] = 1  # the end of a document
        switch[list(config.label_tokens)] = torch.arange(len(config.label_tokens)) + 2
        self.register_buffer("label_switch", switch, persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embed.weight.device

    @property
    def stack(self) -> list[Block]:
        """The blocks, first to last."""
        return cast("list[Block]", list(self.blocks))

    def start(self, batch: int) -> NetworkState:
        """Return the state before anything was read, for `batch` texts."""
        parts = [part for block in self.stack for part in block.start(batch, self.device)]
        return (*parts, torch.zeros((1, batch), dtype=torch.long, device=self.device))

    def carried(self, state: NetworkState) -> NetworkState:
        """Return what a training carries into the next stretch, without its gradient."""
        *parts, label = self._split(state)
        kept = [block.carried(part) for block, part in zip(self.stack, parts, strict=True)]
        return (*(tensor for part in kept for tensor in part), *label)

    def forward(self, tokens: Tensor, state: NetworkState) -> tuple[Tensor, NetworkState]:
        """Return logits (B, T, V) for tokens (B, T), and the state after them."""
        logits, _, after = self.forward_hidden(tokens, state)
        return logits, after

    def forward_hidden(
        self, tokens: Tensor, state: NetworkState
    ) -> tuple[Tensor, Tensor, NetworkState]:
        """Return what `forward` does, and between the two what the output was given (B, T, H)."""
        hidden, labels, after = self._read(tokens, state)
        return self._logits(hidden, labels), hidden, after

    def hidden_states(self, tokens: Tensor, state: NetworkState) -> tuple[Tensor, NetworkState]:
        """Return what the output would be given (B, T, H), and the state."""
        hidden, _, after = self._read(tokens, state)
        return hidden, after

    def losses(
        self,
        tokens: Tensor,
        targets: Tensor,
        state: NetworkState,
        *,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, NetworkState]:
        """Return what each target costs in nats, (B, T), and the state; -100 costs nothing.

        `labels` (B, T) tells those of the tokens' documents, where the tokens alone would not.
        """
        hidden, in_force, after = self._read(tokens, state, labels)
        if in_force is None:
            return self.output.losses(hidden, targets), after
        return token_losses(self._logits(hidden, in_force), targets), after

    @torch.no_grad()
    def attention_weights(self, tokens: Tensor, state: NetworkState) -> list[Tensor | None]:
        """Return the weights over positions (B, heads, T, S + T) of each block that attends."""
        found: list[Tensor | None] = []
        stream, _, _ = self._enter(tokens, state[-1])
        for block, part in zip(self.stack, self._split(state), strict=False):
            if isinstance(block, RecurrentBlock):
                found.append(None)
            else:
                found.append(block.attention_weights(stream, part))
            stream, _ = block(stream, part)
        return found

    def weights(self) -> dict[str, Tensor]:
        """Return a copy of the weights by name, each once: a tied output is the embedding."""
        found = {name: value.detach().clone() for name, value in self.state_dict().items()}
        if self.config.is_tied:
            del found["output.weight"]
        return found

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what `weights` returned; RuntimeError if it does not fit."""
        now = migrate_weights(weights)
        tied = {"output.weight": now["embed.weight"]} if self.config.is_tied else {}
        self.load_state_dict({**now, **tied})

    def _read(
        self, tokens: Tensor, state: NetworkState, told: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, NetworkState]:
        """Return what the output layer is given (B, T, H), the labels (B, T), and the state."""
        stream, labels, label = self._enter(tokens, state[-1], told)
        after: list[Tensor] = []
        for block, part in zip(self.stack, self._split(state), strict=False):
            stream, left = block(stream, part)
            after += left
        if self.config.has_last_norm:
            stream = self.last_norm(stream)
        return stream, labels, (*after, label)

    def _enter(
        self, tokens: Tensor, label: Tensor, told: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return what the first block is given (B, T, I), the labels, and the one in force."""
        stream, labels = self.dropout(self.embed(tokens)), None  # (B, T, E)
        if self.config.label_tokens:
            labels = self._labels_in_force(tokens, label, told)  # (B, T)
            stream = torch.cat([stream, self.embed_label(labels)], dim=-1)
            label = labels[None, :, -1]
        return (self.enter(stream) if self.config.has_entrance else stream), labels, label

    def _logits(self, hidden: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            logits: Tensor = self.output(hidden)
            return logits
        assert isinstance(self.output, FullOutput)
        return label_logits(self.output, self.label_bias, hidden, labels)

    def _split(self, state: NetworkState) -> Iterator[NetworkState]:
        """Yield the state of each block, then the label's."""
        first = 0
        for block in self.config.blocks:
            last = first + _STATE_PARTS[block.kind]
            yield state[first:last]
            first = last
        yield state[first:]

    def _labels_in_force(self, tokens: Tensor, label: Tensor, told: Tensor | None = None) -> Tensor:
        """Return for each position the label (0: none) that the tokens up to it have set.

        Where those of the documents are told, only their ends are left to find.
        """
        switch: Tensor = self.get_buffer("label_switch")
        switches = switch[tokens]  # (B, T), 0 where nothing changes
        if told is not None:
            return told.masked_fill(switches == 1, 0)
        positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        last = torch.where(switches > 0, positions, -1).cummax(dim=1).values
        found = switches.gather(1, last.clamp(min=0)) - 1
        return torch.where(last >= 0, found, label[0][:, None])


def _make_block(block: BlockConfig, input_width: int, config: NetworkConfig) -> Block:
    if block.kind == "attention":
        return AttentionBlock(block, config)
    if block.kind == "transformer":
        return TransformerBlock(block, config)
    return RecurrentBlock(block, input_width, config)


def build_network(config: NetworkConfig, *, seed: int = 0) -> Network:
    """Return a freshly initialised network, the same for the same seed.

    >>> from memlm.models.config import describe_network
    >>> config = describe_network(
    ...     "gru", vocabulary_size=9, embedding_width=4, hidden_width=5, layers=1)
    >>> sum(p.numel() for p in build_network(config).parameters()) == config.num_parameters
    True
    """
    # torch's layers initialise themselves from the global generator; it is left as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(config)


def load_network(folder: Path, *, device: torch.device) -> Network:
    """Return the network whose `config.json` and `model.safetensors` lie in `folder`."""
    path, weights = folder / "config.json", folder / "model.safetensors"
    config = NetworkConfig.from_json(read_json(path), path=path)
    # A wrong size is noticed before memory is taken for it.
    if not weights.is_file() or weights.stat().st_size < config.num_parameters * _WEIGHT_BYTES:
        raise CorruptArtefactError("artefact_unreadable", path=weights)
    network = Network(config)
    load_weights(network, weights)
    return network.to(device).eval()


def load_weights(network: Network, path: Path) -> None:
    """Fill a network with the weights in a file; CorruptArtefactError if they do not fit."""
    try:
        network.load_weights(load_file(path))
    except (SafetensorError, RuntimeError, KeyError, OSError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=path) from error
