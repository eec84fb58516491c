"""How gradients change the weights: AdamW for all of them, or Muon for the hidden matrices.

AdamW (Loshchilov and Hutter 2019) scales every weight's step by the size of its own gradients.
Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon/) keeps a momentum for each hidden
matrix and takes the orthogonal matrix nearest to it for the step, so that all directions in which
the matrix can act are learned at one speed:

    momentum = b momentum + (1 - b) gradient
    step     = orthogonal((1 - b) gradient + b momentum) * sqrt(max(1, rows / columns))

Embeddings, the output, biases and norms stay with AdamW. A recurrent layer keeps its gates stacked
in one matrix; they are maps of their own, so each is made orthogonal by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from memlm.train.config import OptimizerKind

_BETAS = (0.9, 0.99)
_MOMENTUM = 0.95
_ITERATIONS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan 2024: steep at 0, near enough to 1 after five turns
_SMALLEST_NORM = 1e-7
_ENDS = ("embed", "embed_label", "label_bias", "output")  # of the network: tokens come and go there
_STACKED_GATES: dict[type[nn.Module], int] = {nn.LSTM: 4, nn.GRU: 3}


class Optimizer:
    """What turns gradients into steps, and remembers their past in tensors with names."""

    def __init__(
        self,
        network: nn.Module,
        *,
        kind: OptimizerKind,
        learning_rate: float,
        muon_learning_rate: float,
        weight_decay: float,
    ) -> None:
        self._parameters = dict(network.named_parameters())
        self._gates = _gates(network)
        self._muon_rate, self._weight_decay = muon_learning_rate, weight_decay
        self._momenta: dict[str, Tensor] = {}
        self._matrices = [
            name
            for name, parameter in self._parameters.items()
            if kind == "muon" and parameter.ndim == 2 and name.split(".")[0] not in _ENDS
        ]
        others = {
            name: value for name, value in self._parameters.items() if name not in self._matrices
        }
        decayed = [value for name, value in others.items() if _is_decayed(name, value)]
        free = [value for name, value in others.items() if not _is_decayed(name, value)]
        self._rate = learning_rate
        self._adamw = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": weight_decay},
                {"params": free, "weight_decay": 0.0},
            ],
            lr=learning_rate,
            betas=_BETAS,
            fused=True,
        )

    def clear(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters.values():
            parameter.grad = None

    def step(self, share: float) -> None:
        """Change the weights by their gradients, at this share of the peak learning rates."""
        for group in self._adamw.param_groups:
            group["lr"] = share * self._rate
        self._adamw.step()
        for name in self._matrices:
            self._step_matrix(name, share * self._muon_rate)

    def state(self) -> dict[str, Tensor]:
        """Return all that is remembered, by the parameter's name and what it is of it."""
        found = {f"{name}.momentum": value for name, value in self._momenta.items()}
        for name, parameter in self._parameters.items():
            for part, value in self._adamw.state.get(parameter, {}).items():
                found[f"{name}.{part}"] = value
        return found

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned."""
        self._adamw.state.clear()
        self._momenta.clear()
        for key, value in tensors.items():
            name, part = key.rsplit(".", 1)
            parameter = self._parameters[name]
            # A copy: what is remembered is changed in place, whoever else holds these tensors.
            own = value.to(parameter.device, copy=True)
            if part == "momentum":
                self._momenta[name] = own
            else:
                self._adamw.state[parameter][part] = own

    @torch.no_grad()
    def _step_matrix(self, name: str, rate: float) -> None:
        parameter = self._parameters[name]
        gradient = parameter.grad
        if gradient is None:
            return
        gradient = gradient.float()
        if name not in self._momenta:
            self._momenta[name] = torch.zeros_like(gradient)
        momentum = self._momenta[name].lerp_(gradient, 1 - _MOMENTUM)
        wanted = gradient.lerp(momentum, _MOMENTUM)  # Nesterov: the next momentum, looked ahead
        gates = wanted.unflatten(0, (self._gates.get(name, 1), -1))  # (gates, rows, columns)
        scale = max(1.0, gates.shape[1] / gates.shape[2]) ** 0.5
        parameter.mul_(1 - rate * self._weight_decay)
        parameter.add_(orthogonal(gates).flatten(0, 1), alpha=-rate * scale)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return about the nearest (semi-)orthogonal matrix of each (..., rows, columns), in float32.

    Five turns of Newton and Schulz's iteration with Jordan's coefficients: singular values end
    between about 0.7 and 1.2, the very small ones below. It needs products of matrices only.
    """
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    found = (matrices.mT if is_tall else matrices).float()
    # The iteration holds for singular values up to 1, and no norm is below the largest of them.
    found = found / found.norm(dim=(-2, -1), keepdim=True).clamp(min=_SMALLEST_NORM)
    first, third, fifth = _QUINTIC
    for _ in range(_ITERATIONS):
        square = found @ found.mT
        found = first * found + (third * square + fifth * square @ square) @ found
    return found.mT if is_tall else found


def _is_decayed(name: str, parameter: Tensor) -> bool:
    """Say whether a weight shrinks: less of a bias, or of a norm's scale, is no simpler network.

    The bias that each label gives each token is a matrix, and so is told by its name.
    """
    return parameter.ndim > 1 and name != "label_bias"


def _gates(network: nn.Module) -> dict[str, int]:
    """Return how many gates are stacked in each weight of the recurrent layers."""
    return {
        f"{path}.{name}" if path else name: count
        for path, module in network.named_modules()
        for kind, count in _STACKED_GATES.items()
        if isinstance(module, kind)
        for name, _ in module.named_parameters(recurse=False)
    }
