"""Single steps on a GPU, recorded once and then replayed: a CUDA graph.

A step of a small network is some dozens of kernels of a few microseconds each, and starting them
one by one takes longer than they do. A graph starts them all at once, but only over the same memory
in the same shapes. So the state is copied into the recording's own memory and its outcome out of
it, which keeps the promise that no verb changes a state that it is given; and a past that grows is
laid at the end of a room, of which the first `absent` positions are not seen. Rooms double as the
past grows, up to the attention's window: some seven recordings for a batch size at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from memlm.models.attention import CausalAttention
from memlm.models.learning import NetworkState
from memlm.models.network import Network

Outcome = tuple[Tensor, Tensor, NetworkState]
"""Logits (B, 1, V), hidden states (B, 1, H) and the state behind them."""
Record = Callable[[Callable[[], Outcome]], Callable[[], Outcome]]
"""Makes of a computation one that does the same again, into the same memory."""

_SMALLEST_ROOM = 64
_WARM_UPS = 3
_POSITIONS = 3
"""Which dimension of keys and values is that of the positions."""


def record_graph(compute: Callable[[], Outcome]) -> Callable[[], Outcome]:
    """Return a replay of the CUDA graph of a computation; RuntimeError where it cannot be had."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries choose and allocate what they need before
        for _ in range(_WARM_UPS):
            compute()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outcome = compute()

    def replay() -> Outcome:
        graph.replay()
        return outcome

    return replay


@dataclass(frozen=True)
class _Recording:
    """A replay, and the memory that it reads: tokens, state, and how much of each past is empty."""

    tokens: Tensor
    state: NetworkState
    absent: tuple[Tensor, ...]
    replay: Callable[[], Outcome]


class RecordedSteps:
    """The single steps of a network, one recording for each batch size and room for the past."""

    def __init__(self, network: Network, record: Record = record_graph) -> None:
        self.network = network
        self._record = record
        self._recordings: dict[tuple[int, ...], _Recording | None] = {}
        self._attentions = [
            module for module in network.modules() if isinstance(module, CausalAttention)
        ]

    @torch.no_grad()
    def step(self, tokens: Tensor, state: NetworkState) -> Outcome:
        """Return what `Network.forward_hidden` does for one token a text, (B, 1)."""
        pasts = [part.shape[_POSITIONS] for part in state if _is_past(part)]
        rooms = [_room(past, of.window) for past, of in zip(pasts, self._attentions, strict=True)]
        key = (len(tokens), *rooms)
        if key not in self._recordings:
            self._recordings[key] = self._recorded(tokens, state, rooms)
        recording = self._recordings[key]
        if recording is None:
            return self.network.forward_hidden(tokens, state)
        recording.tokens.copy_(tokens)
        for absent, room, past in zip(recording.absent, rooms, pasts, strict=True):
            absent.fill_(room - past)
        for place, part in zip(recording.state, state, strict=True):
            (_newest(place, part.shape[_POSITIONS]) if _is_past(part) else place).copy_(part)
        logits, hidden, after = recording.replay()
        seen = iter(pasts)
        kept = [_newest(part, next(seen) + 1) if _is_past(part) else part for part in after]
        return logits.clone(), hidden.clone(), tuple(part.clone() for part in kept)

    def _recorded(self, tokens: Tensor, state: NetworkState, rooms: list[int]) -> _Recording | None:
        """Return a recording; None where there can be none: no memory for it, an old driver."""
        own, left = tokens.clone(), iter(rooms)
        places = tuple(
            part.new_zeros((*part.shape[:_POSITIONS], next(left), *part.shape[_POSITIONS + 1 :]))
            if _is_past(part)
            else part.clone()
            for part in state
        )
        absent = tuple(tokens.new_zeros(()) for _ in rooms)

        def compute() -> Outcome:
            for attention, empty in zip(self._attentions, absent, strict=True):
                attention.absent = empty
            try:
                return self.network.forward_hidden(own, places)
            finally:
                for attention in self._attentions:
                    attention.absent = None

        try:
            return _Recording(own, places, absent, self._record(compute))
        except RuntimeError:
            return None


def _is_past(part: Tensor) -> bool:
    """Say whether a part of a state is keys and values: (2, B, heads, S, D / heads)."""
    return part.dim() == _POSITIONS + 2


def _room(past: int, window: int) -> int:
    """Return for how many positions there is room where `past` are held."""
    return min(max(_SMALLEST_ROOM, 1 << max(0, past - 1).bit_length()), window - 1)


def _newest(part: Tensor, positions: int) -> Tensor:
    """Return the last so many positions of keys and values, or all of them."""
    return part[:, :, :, max(0, part.shape[_POSITIONS] - positions) :]
