"""How fast this machine trains, measured by an LSTM that learns nothing.

The same minutes are worth several times as many updates on one laptop as on another, so the size of
a network that has minutes to learn is chosen by the arithmetic that they have room for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from memlm.train.config import Precision

_WIDTH, _LANES, _LENGTH = 384, 16, 32
_REPEATS = 5
_MOST_SECONDS = 0.5


def flops_per_second(
    device: torch.device,
    *,
    precision: Precision | None,
    now: Callable[[], float] = time.monotonic,
) -> float:
    """Return the floating-point operations a second of a training here, with the threads in force.

    6 operations for each weight and token, forward and backward (Kaplan et al. 2020). The median of
    a few steps, which take about a tenth of a second together; torch's random numbers stay as they
    are.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        layer = nn.LSTM(_WIDTH, _WIDTH, batch_first=True).to(device)
        inputs = torch.randn(_LANES, _LENGTH, _WIDTH, device=device)
    flops = 6.0 * _LANES * _LENGTH * sum(weight.numel() for weight in layer.parameters())
    times: list[float] = []
    begun = now()
    while len(times) <= _REPEATS and (len(times) < 2 or now() - begun < _MOST_SECONDS):
        started = now()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            layer(inputs)[0].float().square().mean().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(max(now() - started, 1e-9))
    return flops / median(times[1:])  # the first also allocates
