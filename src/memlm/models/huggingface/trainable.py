"""A model of the Hugging Face kind as a network that can be trained further.

A training reads stretches that begin without a past: each is as long as its plan says. Measuring
carries the last tokens along and reads them again. The end of a document, where a text begins, is
given as BOS, as it is when texts are scored; as a target it stays the end.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memlm.models.adapter import AdapterTarget
from memlm.models.foreign_shape import ForeignShape
from memlm.models.huggingface.library import quietly
from memlm.models.huggingface.loading import Loaded
from memlm.models.huggingface.model import HuggingFaceModel
from memlm.models.learning import LearningNetwork, NetworkState

_SHORTEST_PAST = 128
"""Tokens that measuring carries along, where the context has twice the room."""
_UNBOUNDED = 1024
"""Tokens that a model without a context reads at once."""
_NOT_ADAPTED = ("out_proj", "conv1d", "dt_proj")
"""Of Mamba: it reads the weights of these beside their layer, where PEFT changes the layer."""
_WITH_MAMBA = ("mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h")


class TrainableModel(LearningNetwork):
    """A causal model of `transformers` that tells what text costs."""

    config: ForeignShape

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        self.model: HuggingFaceModel
        object.__setattr__(self, "model", loaded.model)
        self.network: nn.Module = loaded.model.network.requires_grad_(True)
        # Weights that were read begin anywhere in memory, and the last bits of a product may depend
        # on where its factors begin: a copy begins where all copies do.
        for weights in self.network.parameters():
            weights.data = weights.data.clone()
        names = inspect.signature(loaded.model.network.forward).parameters
        self._keeps_few = "logits_to_keep" in names
        self.config = foreign_shape(loaded.model)

    @property
    def device(self) -> torch.device:
        return self.model.device

    def start(self, batch: int) -> NetworkState:
        return (torch.empty((1, batch, 0), dtype=torch.long, device=self.device),)

    def carried(self, state: NetworkState) -> NetworkState:
        return self.start(state[0].shape[1])

    def losses(
        self,
        tokens: Tensor,
        targets: Tensor,
        state: NetworkState,
        *,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, NetworkState]:
        past = state[0][0]
        rows, found = torch.cat([past, tokens], dim=1), []
        most, begin, end = self.config.context, past.shape[1], rows.shape[1]
        step = end - begin if end <= most else most // 2
        while begin < end:
            stop = min(begin + step, end)
            read = rows[:, max(0, stop - most) : stop]
            wanted = targets[:, begin - past.shape[1] : stop - past.shape[1]]
            found.append(self._nats(read, wanted))
            begin = stop
        kept = min(most // 2, max(tokens.shape[1], _SHORTEST_PAST))
        return torch.cat(found, dim=1), (rows[None, :, max(0, end - kept) :],)

    def weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.named_parameters()}

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in self.named_parameters():
            value.copy_(weights[name])

    def _nats(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Return the nats (B, T) of the last T targets after tokens (B, S)."""
        beginning, size = self.model.beginning, self.model.size
        begin = 0 if beginning.begin is None else beginning.begin
        read = tokens.masked_fill(tokens == beginning.end, begin)
        wanted = targets.masked_fill(targets >= size, -100)  # the end, where it is no token
        with quietly():
            few = {"logits_to_keep": targets.shape[1]} if self._keeps_few else {}
            logits = self.network(input_ids=read, use_cache=False, **few).logits
        logits = logits[:, -targets.shape[1] :].float()
        return F.cross_entropy(logits.mT, wanted, ignore_index=-100, reduction="none")


def foreign_shape(model: HuggingFaceModel) -> ForeignShape:
    """Return the size of a model."""
    layers = getattr(model.network.config, "num_hidden_layers", None)
    return ForeignShape(
        kind=model.network.config.model_type,
        vocabulary_size=model.vocabulary_size,
        hidden_width=model.hidden_size,
        layers=layers if type(layers) is int and layers > 0 else 1,
        num_parameters=sum(one.numel() for one in model.network.parameters()),
        context=model.context or _UNBOUNDED,
    )


def adapter_targets(network: Any) -> list[AdapterTarget]:  # Any: as below
    """Return the matrices of all linear layers but the output (Dettmers et al. 2023).

    One that several layers share (Zamba) has no change of its own: PEFT would change one of them.
    """
    places = Counter(id(one) for _, one in network.named_parameters(remove_duplicate=False))
    return [
        AdapterTarget(name=name, outputs=outputs, inputs=inputs, is_turned=turned)
        for name, outputs, inputs, turned in _linear_layers(network)
        if places[id(network.get_parameter(name))] == 1
    ]


def _linear_layers(network: Any) -> Iterator[tuple[str, int, int, bool]]:  # Any: of transformers
    """Yield each linear layer's matrix, its outputs, its inputs, and whether it lies turned."""
    from transformers.pytorch_utils import Conv1D

    output = network.get_output_embeddings()
    is_mamba = network.config.model_type in _WITH_MAMBA
    for path, module in network.named_modules():
        if module is output or (is_mamba and path.rpartition(".")[2] in _NOT_ADAPTED):
            continue
        if isinstance(module, nn.Linear):
            yield f"{path}.weight", module.out_features, module.in_features, False
        elif isinstance(module, Conv1D):
            inputs, outputs = module.weight.shape
            yield f"{path}.weight", outputs, inputs, True
        elif isinstance(module, nn.LSTM | nn.GRU):  # of models that memlm trained
            for name, weights in module.named_parameters():
                if weights.dim() == 2:
                    yield f"{path}.{name}", weights.shape[0], weights.shape[1], False
