"""How fast this machine trains, and the plan of a training that has minutes.

The same minutes are worth several times as many updates on one laptop as on another. So the size of
a network is chosen by the arithmetic that they have room for, which an LSTM tells that learns
nothing; and dropout, warm-up and validations by the steps of that very network, which may be
several times slower for as much arithmetic.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import torch
from torch import nn

from memlm.models.recurrent import arithmetic_of
from memlm.train.batches import TokenStream
from memlm.train.config import Precision
from memlm.train.distributed import Processes
from memlm.train.origin import Origin
from memlm.train.plan import TrainPlan
from memlm.train.training import Training
from memlm.train.trials import mean_seconds

_WIDTH, _LANES, _LENGTH = 384, 16, 32
_REPEATS = 5
_MOST_SECONDS = 0.5
_CLEARLY_FASTER = 1.2
_SHARE_OF_STEPS = 0.9  # of the time; validations and updates take the rest


def measured_plan(
    make: Callable[..., TrainPlan],
    *,
    stream_of: Callable[[TrainPlan], TokenStream],
    device: torch.device,
    processes: Processes,
    may_choose_threads: bool = False,
    origin: Origin | None = None,
) -> TrainPlan:
    """Return the plan that `make` makes once it is told how fast the machine and the network are.

    This process is measured while others wait: what they cost each other shows in the warm-up only.
    If it may, it takes one thread where that is clearly faster: where others have the processors.
    """
    flops = flops_per_second(device, precision=make().precision)
    plan = make(flops_per_second=flops)
    torch.set_num_threads(plan.threads)
    training = Training(plan, device=device, processes=processes, origin=origin)
    stream = stream_of(plan)
    steps = expected_steps(training, stream)
    threads = plan.threads
    if may_choose_threads and threads > 1:
        torch.set_num_threads(1)
        steps_of_one = expected_steps(training, stream)
        if steps_of_one > _CLEARLY_FASTER * steps:
            steps, threads = steps_of_one, 1
        torch.set_num_threads(threads)
    return replace(make(flops_per_second=flops, expected_steps=steps), threads=threads)


def expected_steps(training: Training, stream: TokenStream) -> float:
    """Return about how many steps the minutes of a training's plan have room for."""
    seconds = _SHARE_OF_STEPS * 60 * (training.plan.minutes or 0)
    return seconds / mean_seconds(training, stream)


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
        with (
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"),
            arithmetic_of("lstm", device),
        ):
            layer(inputs)[0].float().square().mean().backward()
        for weight in layer.parameters():
            assert weight.grad is not None
            weight.grad.sum().item()  # waits for what a GPU still does
        times.append(max(now() - started, 1e-9))
    return flops / median(times[1:])  # the first also allocates
