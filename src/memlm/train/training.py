"""All that changes while a network learns, and how one batch becomes gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from memlm.errors import ResourceError
from memlm.models.learning import LearningNetwork, NetworkState
from memlm.runtime import stream_seed
from memlm.train.batches import Batch
from memlm.train.distributed import Processes
from memlm.train.optimizer import Optimizer
from memlm.train.origin import Origin
from memlm.train.plan import TrainPlan

# Trainings whose loss was worse than even guessing by less than this have recovered as the learning
# rate fell; with more, and for so long, none did (LSTMs, rates of 1 to 1e9).
_ABSURD = 10
_MOST_STEPS_ASTRAY = 50
LossFunction = Callable[
    [LearningNetwork, Tensor, Tensor, NetworkState, Tensor | None], tuple[Tensor, NetworkState]
]


class Training:
    """A network under way: what must be kept to go on is an attribute of this."""

    def __init__(
        self,
        plan: TrainPlan,
        *,
        device: torch.device,
        processes: Processes | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.plan, self.device = plan, device
        self.processes = processes or Processes()
        self.network: LearningNetwork = (origin or Origin()).network(plan).to(device)
        self.optimizer = Optimizer(
            self.network,
            kind=plan.optimizer,
            learning_rate=plan.learning_rate,
            muon_learning_rate=plan.muon_learning_rate,
            weight_decay=plan.weight_decay,
        )
        self.num_lanes = plan.batch_size
        """Lanes of the batch in force, of which this process carries the state of some."""
        self.carried: NetworkState = self._start()
        self.random: Tensor = self.fresh_randomness()
        self.averages: dict[str, Tensor] | None = None
        self.step = 0
        self.seconds = 0.0
        self.recent_loss = 0.0
        self.best_loss = math.inf
        self.best_step = 0
        self.best_weights: dict[str, Tensor] | None = None
        self.validations_in_vain = 0
        self.steps_astray = 0
        """Steps in a row, up to the last, whose loss was absurd or no number."""
        self.proven_step = 0
        """The last step whose weights the loss of the step after it has shown to be good."""
        self._compiled: LossFunction | None = None

    def _start(self) -> NetworkState:
        mine = self.processes.lanes(self.num_lanes)
        return self.network.start(mine.stop - mine.start)

    def place(self) -> tuple[int, NetworkState, Tensor]:
        """Return where reading the text has come to."""
        return self.num_lanes, self.carried, self.random

    def return_to(self, place: tuple[int, NetworkState, Tensor]) -> None:
        """Read on from there, as if nothing had been read since."""
        self.num_lanes, self.carried, self.random = place

    def fresh_randomness(self, *purpose: object) -> Tensor:
        """Return the state of a new generator for dropout: every process has its own."""
        if not self.processes.is_first:
            purpose = ("process", self.processes.rank, *purpose)
        seed = stream_seed(self.plan.seed, "dropout", *purpose)
        return torch.Generator(self.device).manual_seed(seed).get_state()

    @property
    def is_on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def has_lost_patience(self) -> bool:
        """Whether the held-out loss has not fallen for as many validations as the plan allows."""
        patience = self.plan.patience
        return patience is not None and self.validations_in_vain >= patience

    @property
    def is_lost(self) -> bool:
        """Whether the loss has been absurd for so long that it will not recover."""
        return self.steps_astray >= _MOST_STEPS_ASTRAY

    @property
    def is_done(self) -> bool:
        return self.step == self.plan.steps or self.has_lost_patience

    def result(self) -> dict[str, Tensor]:
        """Return a copy of the weights that a model made now would have."""
        if self.averages is None:
            return self.network.weights()
        return {name: value.clone() for name, value in self.averages.items()}

    @contextmanager
    def with_result(self) -> Iterator[LearningNetwork]:
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

    def count_astray(self, loss: float) -> None:
        """Note what the weights gave: is it far worse than every token equally likely?"""
        if loss <= _ABSURD * math.log(max(2, self.plan.network.vocabulary_size)):
            self.steps_astray, self.proven_step = 0, self.step
        else:
            self.steps_astray += 1

    def keep_if_best(self, loss: float) -> None:
        """Remember the weights if no validation before was as good."""
        self.validations_in_vain += 1
        if loss < self.best_loss:
            self.best_loss, self.best_step, self.validations_in_vain = loss, self.step, 0
            self.best_weights = self.result()

    def gradients(self, batch: Batch) -> float:
        """Leave the gradient of a batch's mean loss in the parameters, and return that loss.

        All processes together do so, and are left with the same.
        """
        return self.processes.sum_gradients(self.network, self.own_gradients(batch)).item()

    def own_gradients(self, batch: Batch) -> Tensor:
        """Leave what this process's lanes add to the gradient, and return what to the loss.

        The lanes are read in as many groups as the plan says, one after the other: the gradient of
        the whole in the memory of a part. The state is carried on.
        """
        mine = self.processes.lanes(len(batch.inputs))
        inputs = torch.from_numpy(batch.inputs[mine]).to(self.device)
        targets = torch.from_numpy(batch.targets[mine]).to(self.device)
        labels = batch.labels
        told = None if labels is None else torch.from_numpy(labels[mine]).to(self.device)
        if batch.begins_anew:
            self.num_lanes = len(batch.inputs)
            self.carried = self._start()
        self.optimizer.clear()
        total, states = torch.zeros((), device=self.device), []
        with self._own_randomness():
            for lanes in torch.arange(len(inputs)).tensor_split(self.plan.accumulate):
                if not len(lanes):
                    continue
                group = slice(int(lanes[0]), int(lanes[-1]) + 1)
                state = tuple(part[:, group].contiguous() for part in self.carried)
                shown = None if told is None else told[group]
                loss, after = self._loss(inputs[group], targets[group], state, shown)
                loss = loss * (batch.weight * len(lanes) / len(batch.inputs))
                if loss.requires_grad:  # not where nothing in these lanes counts
                    loss.backward()
                total += loss.detach()
                states.append(self.network.carried(after))
        for weights in self.network.parameters():
            if weights.requires_grad and weights.grad is None:
                weights.grad = torch.zeros_like(weights)
        self.carried = tuple(
            torch.cat(parts, dim=1).to(before.dtype)
            for parts, before in zip(zip(*states, strict=True), self.carried, strict=True)
        )
        return total

    def _loss(
        self, inputs: Tensor, targets: Tensor, state: NetworkState, labels: Tensor | None
    ) -> tuple[Tensor, NetworkState]:
        is_bf16 = self.plan.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_bf16):
            if not self.plan.is_compiled:
                return mean_loss(self.network, inputs, targets, state, labels)
            if self._compiled is None:
                self._compiled = torch.compile(mean_loss)
            try:
                return self._compiled(self.network, inputs, targets, state, labels)
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
    network: LearningNetwork,
    inputs: Tensor,
    targets: Tensor,
    state: NetworkState,
    labels: Tensor | None = None,
) -> tuple[Tensor, NetworkState]:
    """Return the mean nats of a target, and the state after the inputs."""
    nats, after = network.losses(inputs, targets, state, labels=labels)
    return nats.mean(), after
