"""How fast should a model learn while it reads? Tried out on held-out text.

The text that is to be scored never has a say. Held-out text often stands between learned blocks of
the same document, and so asks for less learning than another text. Of the trials that are within
one standard error of the best (Breiman et al. 1984) the fastest learner is chosen.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from memlm.errors import DivergedError
from memlm.language_model import LanguageModel
from memlm.models.network import Network
from memlm.models.network_model import NetworkModel
from memlm.prepare import TokenStore
from memlm.train.adapt import AdaptConfig, AdaptingModel, differentiable
from memlm.train.adaptation import Adaptation, Trial
from memlm.train.stretches import Stretches

FEWEST_TOKENS = 2_000  # of held-out text, for a choice that is more than chance
_LEARNED_SEGMENTS = 640
_PLACES = 16
_TRIAL_PRODUCTS = 15e9  # tokens times weights of one trial: some seconds of a core
_TRIAL_TOKENS = (4_000, 40_000)
_MOST_SECONDS = 300.0
_MOST_STEPS_OF_RATE = 4
_BLOCK = 1024
_OTHER_SEGMENTS = ((16, 0.5), (64, 2.0))  # tokens, and the rate at which a token moves as much
_DECAYS = (3e-4, 0.0)  # more was better on held-out text only, see benchmarks/LOG.md

Stream = npt.NDArray[np.int64]
Costs = npt.NDArray[np.float64]
"""Nats of each block of a stream."""


def fit_adaptation(
    network: Network,
    store: TokenStore,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    now: Callable[[], float] = time.monotonic,
) -> Adaptation:
    """Gather the squared gradients of the training text, and choose on the held-out text.

    A few trials are made, one after the other from the best so far; after five minutes no new one.
    """
    squares = mean_squares(network, store)
    held_out = Stretches.of_units(store.units_of("held_out"))
    total = len(held_out)
    if total < FEWEST_TOKENS:
        return Adaptation(config=AdaptConfig(), squares=squares)
    tokens = min(total, _tokens_of_a_trial(network))
    text = held_out.read(store.tokens, 0, tokens)
    stream = np.concatenate([[store.tokenizer.end], text])
    search = _Search(network, squares, stream, progress, now)
    search.run()
    return Adaptation(
        config=search.chosen().config,
        squares=squares,
        trials=tuple(search.trials),
        tokens=tokens,
        frozen_nats_per_token=float(_costs(NetworkModel(network), stream).sum()) / tokens,
    )


class _Search:
    """Trials on one text: the rate first, then the decay, then the segment."""

    def __init__(
        self,
        network: Network,
        squares: dict[str, Tensor],
        stream: Stream,
        progress: Callable[[int, int], None],
        now: Callable[[], float],
    ) -> None:
        self._network, self._squares, self._stream = network, squares, stream
        self._progress, self._now = progress, now
        self._most = 2 + _MOST_STEPS_OF_RATE + len(_DECAYS) + len(_OTHER_SEGMENTS)
        self._end = now() + _MOST_SECONDS
        self.trials: list[Trial] = []
        self._costs: list[Costs] = []

    @property
    def best(self) -> Trial:
        """Return the best trial so far."""
        return min(self.trials, key=lambda trial: trial.nats_per_token)

    def run(self) -> None:
        """Try out what is worth it from the default on."""
        self._try(AdaptConfig())
        if not self._climb(2.0):
            self._climb(0.5)
        for decay in _DECAYS:
            self._try(replace(self.best.config, decay=decay))
        chosen = self.best.config
        for segment, factor in _OTHER_SEGMENTS:
            rate = chosen.learning_rate * factor
            self._try(replace(chosen, segment=segment, learning_rate=rate))
        self._progress(self._most, self._most)

    def chosen(self) -> Trial:
        """Return the fastest learner among the trials that may well be as good as the best."""
        best = self._costs[self.trials.index(self.best)]
        as_good = [
            trial
            for trial, costs in zip(self.trials, self._costs, strict=True)
            if trial is self.best or _is_as_good(costs, best)
        ]
        return max(as_good, key=lambda trial: trial.config.learning_rate / trial.config.segment)

    def _climb(self, factor: float) -> bool:
        """Change the rate by this factor for as long as that helps; say whether it ever did."""
        helped = 0
        while helped < _MOST_STEPS_OF_RATE:
            config = self.best.config
            if not self._try(replace(config, learning_rate=config.learning_rate * factor)):
                break
            helped += 1
        return helped > 0

    def _try(self, config: AdaptConfig) -> bool:
        """Make a trial if there is time; say whether it is the best now."""
        if self.trials and self._now() > self._end:
            return False
        self._progress(len(self.trials), self._most)
        model = AdaptingModel(self._network, config, squares=self._squares)
        costs = _costs(model, self._stream)
        nats = float(costs.sum()) / (len(self._stream) - 1)
        self.trials.append(Trial(config=config, nats_per_token=nats))
        self._costs.append(costs)
        return self.best is self.trials[-1]


def _costs(model: LanguageModel, stream: Stream) -> Costs:
    """Return what the blocks of a stream cost, infinitely much from where the model diverges."""
    starts = range(0, len(stream) - 1, _BLOCK)
    state, costs = model.start(1), np.full(len(starts), math.inf)
    for block, start in enumerate(starts):
        targets = stream[start + 1 : start + 1 + _BLOCK]
        try:
            found, state = model.read(state, stream[None, start : start + len(targets)])
        except DivergedError:
            break
        costs[block] = -found[0, np.arange(len(targets)), targets].sum(dtype=np.float64)
    return costs


def _is_as_good(costs: Costs, best: Costs) -> bool:
    """Say whether costs exceed the best by no more than one standard error of the difference."""
    if len(costs) < 2 or not np.isfinite(costs).all():
        return False
    excess = costs - best
    return bool(excess.sum() <= math.sqrt(len(costs)) * excess.std(ddof=1))


def mean_squares(network: Network, store: TokenStore) -> dict[str, Tensor]:
    """Return the mean squared gradient of each weight, over segments from all over the text."""
    text, segment = Stretches.of_units(store.units_of("train")), AdaptConfig().segment
    total = len(text)
    length = min(_LEARNED_SEGMENTS // _PLACES * segment + 1, total)
    reader = copy.deepcopy(network).eval().requires_grad_()
    sums = {name: torch.zeros_like(value) for name, value in reader.named_parameters()}
    count = 0
    for place in range(_PLACES):
        start = (total - length) * place // max(1, _PLACES - 1)
        stretch = text.read(store.tokens, start, start + length)
        for gradients in _gradients(reader, stretch, segment):
            count += 1
            for name, gradient in gradients.items():
                sums[name].addcmul_(gradient, gradient)
    return {name: value / max(1, count) for name, value in sums.items()}


def _tokens_of_a_trial(network: Network) -> int:
    """Return how many tokens a trial reads: fewer for a larger network, whatever the clock says."""
    weights = sum(parameter.numel() for parameter in network.parameters())
    least, most = _TRIAL_TOKENS
    return min(max(least, int(_TRIAL_PRODUCTS / weights)), most)


def _gradients(network: Network, stretch: Stream, segment: int) -> Iterator[dict[str, Tensor]]:
    """Yield the gradient of the mean loss of each segment of a stretch, the state carried."""
    named = dict(network.named_parameters())
    state = network.start(1)
    values = torch.from_numpy(stretch).to(state[0].device)
    for start in range(0, len(values) - 1, segment):
        targets = values[start + 1 : start + 1 + segment]
        with differentiable(values.device):
            logits, after = network(values[None, start : start + len(targets)], state)
            found = torch.autograd.grad(
                F.cross_entropy(logits[0], targets),
                list(named.values()),
                allow_unused=True,
                materialize_grads=True,
            )
        state = tuple(part.detach() for part in after)
        yield dict(zip(named, found, strict=True))
