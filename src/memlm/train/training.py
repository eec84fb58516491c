"""All that changes while a network learns, and how one batch becomes gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from memlm.errors import ResourceError
from memlm.models.network import Network, NetworkState, build_network
from memlm.runtime import stream_seed
from memlm.train.batches import Batch
from memlm.train.optimizer import Optimizer
from memlm.train.plan import TrainPlan

LossFunction = Callable[[Network, Tensor, Tensor, NetworkState], tuple[Tensor, NetworkState]]


class Training:
    """A network under way: what must be kept to go on is an attribute of this."""

    def __init__(self, plan: TrainPlan, *, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.network: Network = build_network(
            plan.network, seed=stream_seed(plan.seed, "weights")
        ).to(device)
        self.optimizer = Optimizer(
            self.network,
            kind=plan.optimizer,
            learning_rate=plan.learning_rate,
            muon_learning_rate=plan.muon_learning_rate,
            weight_decay=plan.weight_decay,
        )
        self.carried: NetworkState = self.network.start(plan.batch_size)
        dropout = torch.Generator(device).manual_seed(stream_seed(plan.seed, "dropout"))
        self.random: Tensor = dropout.get_state()
        self.averages: dict[str, Tensor] | None = None
        self.step = 0
        self.seconds = 0.0
        self.recent_loss = 0.0
        self.best_loss = math.inf
        self.best_step = 0
        self.best_weights: dict[str, Tensor] | None = None
        self.validations_in_vain = 0
        self._compiled: LossFunction | None = None

    @property
    def is_on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def has_lost_patience(self) -> bool:
        """Whether the held-out loss has not fallen for as many validations as the plan allows."""
        patience = self.plan.patience
        return patience is not None and self.validations_in_vain >= patience

    @property
    def is_done(self) -> bool:
        return self.step == self.plan.steps or self.has_lost_patience

    def result(self) -> dict[str, Tensor]:
        """Return a copy of the weights that a model made now would have."""
        if self.averages is None:
            return self.network.weights()
        return {name: value.clone() for name, value in self.averages.items()}

    @contextmanager
    def with_result(self) -> Iterator[Network]:
        """Inside the block the network has the weights that a model made now would have."""
        if self.averages is None:
            yield self.network
            return
        own = self.network.weights()
        self.network.load_weights(self.averages)
        try:
            yield self.network
        finally:
            self.network.load_weights(own)

    def average(self) -> None:
        """Let the averaged weights follow: they reach back about a share of the steps so far.

        A window that grows with the training needs no knowledge of its end, and forgets the first
        weights by itself (power-function averages, Karras et al. 2024).
        """
        share = self.plan.average_share
        if not share:
            return
        if self.averages is None:
            self.averages = self.network.weights()
            return
        weight = min(1.0, 1 / (share * self.step))
        with torch.no_grad():
            for name, value in self.network.named_parameters():
                self.averages[name].lerp_(value, weight)

    def keep_if_best(self, loss: float) -> None:
        """Remember the weights if no validation before was as good."""
        self.validations_in_vain += 1
        if loss < self.best_loss:
            self.best_loss, self.best_step, self.validations_in_vain = loss, self.step, 0
            self.best_weights = self.result()

    def gradients(self, batch: Batch) -> float:
        """Leave the gradient of a batch's mean loss in the parameters, and return that loss.

        The lanes are read in as many groups as the plan says, one after the other: the gradient of
        the whole in the memory of a part. The state is carried on.
        """
        inputs = torch.from_numpy(batch.inputs).to(self.device)
        targets = torch.from_numpy(batch.targets).to(self.device)
        if batch.begins_anew:
            self.carried = self.network.start(len(inputs))
        self.optimizer.clear()
        total, states = torch.zeros((), device=self.device), []
        with self._own_randomness():
            for lanes in torch.arange(len(inputs)).tensor_split(self.plan.accumulate):
                if not len(lanes):
                    continue
                group = slice(int(lanes[0]), int(lanes[-1]) + 1)
                state = tuple(part[:, group].contiguous() for part in self.carried)
                loss, after = self._loss(inputs[group], targets[group], state)
                loss = loss * (len(lanes) / len(inputs))
                loss.backward()
                total += loss.detach()
                states.append(self.network.carried(after))
        self.carried = tuple(
            torch.cat(parts, dim=1).to(before.dtype)
            for parts, before in zip(zip(*states, strict=True), self.carried, strict=True)
        )
        return total.item()

    def _loss(
        self, inputs: Tensor, targets: Tensor, state: NetworkState
    ) -> tuple[Tensor, NetworkState]:
        is_bf16 = self.plan.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_bf16):
            if not self.plan.is_compiled:
                return mean_loss(self.network, inputs, targets, state)
            if self._compiled is None:
                self._compiled = torch.compile(mean_loss)
            try:
                return self._compiled(self.network, inputs, targets, state)
            except torch._dynamo.exc.TorchDynamoException as error:
                raise ResourceError("compile_failed", kind=type(error).__name__) from error

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Inside the block dropout draws from a generator of its own, which the checkpoint has."""
        with torch.random.fork_rng(devices=[self.device] if self.is_on_gpu else []):
            if self.is_on_gpu:
                torch.cuda.set_rng_state(self.random, self.device)
            else:
                torch.set_rng_state(self.random)
            yield
            gpu = self.is_on_gpu
            self.random = torch.cuda.get_rng_state(self.device) if gpu else torch.get_rng_state()


def mean_loss(
    network: Network, inputs: Tensor, targets: Tensor, state: NetworkState
) -> tuple[Tensor, NetworkState]:
    """Return the mean nats of a target, and the state after the inputs."""
    nats, after = network.losses(inputs, targets, state)
    return nats.mean(), after
