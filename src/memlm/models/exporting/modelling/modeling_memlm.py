"""A network that memlm trained, as a causal language model of `transformers`.

    tokens (B, T) -> embedding -> [label in force] -> blocks -> logits (B, T, V)

Padding may stand anywhere: the real tokens of every row are sorted to the front, read, and what was
found is sorted back, so that no state ever sees padding. The label of a document is a token at its
beginning; it is kept in the cache and shown at every step, until the token that ends documents.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from .blocks_memlm import Norm, Rows, make_block
from .cache_memlm import MemlmCache
from .configuration_memlm import MemlmConfig

# What transformers calls the cache in what a model returns: `past_key_values` in older versions.
_CACHE = next(
    one.name for one in fields(CausalLMOutputWithPast) if one.name in ("cache", "past_key_values")
)


class AdaptiveOutput(nn.AdaptiveLogSoftmaxWithLoss):
    """Log-probabilities by clusters (Grave et al. 2017); they are logits too."""

    def forward(self, hidden: Tensor) -> Tensor:  # type: ignore[override]  # of one argument here
        """Return the log-probabilities (B, T, V)."""
        return self.log_prob(hidden.flatten(0, -2)).reshape(*hidden.shape[:-1], self.n_classes)


class MemlmPreTrainedModel(PreTrainedModel):
    """How such models begin, where they are not loaded."""

    config_class = MemlmConfig
    _is_stateful = True

    def _init_weights(self, module: nn.Module) -> None:
        # The library would begin an LSTM without biases, and leave a GRU as memory happens to be.
        if isinstance(module, nn.LSTM | nn.GRU):
            module.reset_parameters()
        else:
            super()._init_weights(module)


class MemlmForCausalLM(MemlmPreTrainedModel, GenerationMixin):
    """Embedding, a stack of blocks, output."""

    _tied_weights_keys = {"output.weight": "embed.weight"}  # noqa: RUF012  # the library's name

    def __init__(self, config: MemlmConfig) -> None:
        super().__init__(config)
        network = config.network
        self.label_tokens: list[int] = network["label_tokens"]
        width = network["embedding_width"]
        self.embed = nn.Embedding(config.vocab_size, width)
        if self.label_tokens:
            label_width = max(8, width // 4)
            self.embed_label = nn.Embedding(len(self.label_tokens) + 1, label_width)
            bias = torch.zeros(config.vocab_size, len(self.label_tokens) + 1)
            self.label_bias = nn.Parameter(bias)
            width += label_width
        first, last = network["blocks"][0], network["blocks"][-1]
        self.enter: nn.Module = nn.Identity()
        if (first["heads"] or first["is_residual"]) and width != first["width"]:
            self.enter = nn.Linear(width, first["width"], bias=False)
            width = first["width"]
        self.blocks = nn.ModuleList()
        for block in network["blocks"]:
            self.blocks.append(make_block(block, width, config.longest_past))
            width = block["width"]
        self.last_norm = Norm(width) if last["heads"] else nn.Identity()
        self.output = (
            AdaptiveOutput(width, config.vocab_size, network["cutoffs"])
            if network["cutoffs"]
            else nn.Linear(width, config.vocab_size, bias=network.get("has_output_bias", True))
        )
        self.post_init()

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding."""
        return self.embed

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the embedding."""
        self.embed = value

    def get_output_embeddings(self) -> nn.Module | None:
        """Return the output layer, where it scores every token."""
        return None if isinstance(self.output, AdaptiveOutput) else self.output

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Replace the output layer."""
        self.output = new_embeddings

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: MemlmCache | None = None,
        past_key_values: MemlmCache | None = None,  # its name in older versions
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **more: Any,  # Any: what other models understand
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Return logits (B, T, V), the loss where `labels` (B, T) are given, and the cache."""
        given = input_ids if inputs_embeds is None else inputs_embeds
        if given is None or (input_ids is None and self.label_tokens):
            raise ValueError("Give input_ids; a network with labels has to see them.")
        cache = cache if cache is not None else past_key_values
        if cache is None:
            cache = self._start(len(given))
        hidden, shown = self._read(input_ids, inputs_embeds, attention_mask, cache)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self._logits(hidden[:, kept], shown[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **more)
        is_kept = self.config.use_cache if use_cache is None else use_cache
        found = CausalLMOutputWithPast(
            loss=loss, logits=logits, **{_CACHE: cache if is_kept else None}
        )
        return found.to_tuple() if return_dict is False else found

    def _start(self, batch: int) -> MemlmCache:
        kind = {"device": self.embed.weight.device, "dtype": self.embed.weight.dtype}
        states = [block.start(batch, **kind) for block in self.blocks]  # type: ignore[operator]
        return MemlmCache(states, batch, kind["device"])

    def _read(
        self,
        tokens: Tensor | None,
        vectors: Tensor | None,
        mask: Tensor | None,
        cache: MemlmCache,
    ) -> tuple[Tensor, Tensor]:
        """Return what the output is given (B, T, H) and the labels (B, T); the cache goes on."""
        stream = self.embed(tokens) if vectors is None else vectors
        rows, order = _rows(mask, stream, cache.num_real)
        if order is not None:
            stream = _sorted(stream, order)
            tokens = None if tokens is None else tokens.gather(1, order)
        shown = self._labels_in_force(tokens, cache.label, rows)
        if self.label_tokens:
            stream = torch.cat([stream, self.embed_label(shown)], dim=-1)
        stream = self.enter(stream)
        for number, block in enumerate(self.blocks):
            stream, cache.states[number] = block(stream, cache.states[number], rows)
        stream = self.last_norm(stream)
        cache.label, cache.num_real = shown[:, -1], rows.after
        cache.num_columns += stream.shape[1]
        if order is not None:
            back = order.argsort(dim=1)
            stream, shown = _sorted(stream, back), shown.gather(1, back)
        return stream, shown

    def _labels_in_force(self, tokens: Tensor | None, label: Tensor, rows: Rows) -> Tensor:
        """Return for each position the label (0: none) that the tokens up to it have set."""
        if tokens is None or not self.label_tokens:
            return label[:, None].expand(rows.positions.shape)
        # Which label a token switches to: 0 keeps the one in force, 1 is none.
        switch = torch.zeros(self.config.vocab_size, dtype=torch.long, device=tokens.device)
        switch[0] = 1  # the end of a document
        known = torch.arange(len(self.label_tokens), device=tokens.device) + 2
        switch[torch.tensor(self.label_tokens, device=tokens.device)] = known
        switches = switch[tokens].masked_fill(rows.positions < 0, 0)
        columns = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        last = torch.where(switches > 0, columns, -1).cummax(dim=1).values
        found = switches.gather(1, last.clamp(min=0)) - 1
        return torch.where(last >= 0, found, label[:, None])

    def _logits(self, hidden: Tensor, shown: Tensor) -> Tensor:
        logits: Tensor = self.output(hidden)
        return logits + F.embedding(shown, self.label_bias.T) if self.label_tokens else logits


def _rows(mask: Tensor | None, stream: Tensor, num_real: Tensor) -> tuple[Rows, Tensor | None]:
    """Return the rows of a batch, and the order of columns (B, T) that puts the real ones first.

    The mask (B, T, or longer by what was read before) is 1 at real tokens. The order is None where
    every column is real.
    """
    width = stream.shape[1]
    columns = torch.arange(width, device=stream.device)[None]
    if mask is None or bool(mask[:, -width:].all()):
        positions = num_real[:, None] + columns
        return Rows(lengths=None, positions=positions, after=num_real + width), None
    if mask.dim() != 2:
        raise ValueError("The attention mask must be of two dimensions: rows and columns.")
    is_real = mask[:, -width:].bool().to(stream.device)
    lengths = is_real.sum(dim=1)
    positions = (num_real[:, None] + columns).masked_fill(columns >= lengths[:, None], -1)
    order = (~is_real).to(torch.uint8).argsort(dim=1, stable=True)
    return Rows(lengths=lengths, positions=positions, after=num_real + lengths), order


def _sorted(values: Tensor, order: Tensor) -> Tensor:
    """Return values (B, T, D) with their columns in another order (B, T)."""
    return values.gather(1, order[:, :, None].expand_as(values))
