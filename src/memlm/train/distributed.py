"""Several processes that learn one network together, on one machine or on many.

Each reads some lanes of the same batch; the gradients are summed, so that all take the same step.
The first process alone collects, prepares, measures, validates, writes and speaks, and tells the
others what it found; for a process that is alone all of this does nothing.

What is told is JSON, never pickled. An error that one process meets is raised in all of them: who
leaves without a word would let the others wait.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from memlm.errors import ConfigError, MemlmError, ResourceError, error_from_json
from memlm.runtime import ProcessPlace, available_cores, choose_device, process_place

_MOST_SECONDS_TO_JOIN = 600
_MOST_HOURS_TO_WAIT = 24  # for the first process, which may have a library to prepare
_KINDS = ("cpu", "cuda")
Result = TypeVar("Result")


class Processes:
    """This process among those that train together; alone unless it is told its place."""

    def __init__(self, place: ProcessPlace | None = None, group: Any = None) -> None:
        self._place, self._group = place or ProcessPlace(), group  # Any: torch's process group
        self.rank, self.size = self._place.rank, self._place.size

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    @property
    def on_this_machine(self) -> int:
        """How many of the processes share the machine."""
        return self._place.local_size

    def choose_device(self, wish: str) -> torch.device:
        """Return the device that is wished for; of several GPUs, the one of this process."""
        if self.size == 1 or wish == "cpu":
            return choose_device(wish)
        if ":" in wish and self.on_this_machine > 1:
            raise ConfigError("processes_one_gpu", device=wish)
        if wish == "cuda" or (wish == "auto" and torch.cuda.is_available()):
            wish = f"cuda:{self._place.local_rank}"
        return choose_device(wish)

    def check_devices(self, wish: str) -> None:
        """Raise ConfigError, in all processes, unless their devices can work together."""
        kind = self.together(lambda: self.choose_device(wish).type)
        kinds = sorted(set(self.gather(kind)))
        if self.size > 1 and (len(kinds) > 1 or kinds[0] not in _KINDS):
            error = ConfigError("processes_devices", found=", ".join(kinds))
            raise self.told_by_first(error)

    def check_lanes(self, fewest: int) -> None:
        """Raise ConfigError unless every process has a lane in the smallest batch."""
        if fewest < self.size:
            raise ConfigError("processes_exceed_batch", processes=self.size, batch_size=fewest)

    def lanes(self, number: int) -> slice:
        """Return which of a batch's lanes are this process's."""
        return slice(*(number * rank // self.size for rank in (self.rank, self.rank + 1)))

    def sum_gradients(self, network: nn.Module, loss: Tensor) -> Tensor:
        """Replace each gradient by the sum over all processes; return the sum of their losses."""
        if self.size == 1:
            return loss
        parameters = list(network.parameters())
        # A parameter that nobody needed has no gradient, and is then left alone by the optimizer.
        has_gradient = [float(parameter.grad is not None) for parameter in parameters]
        head = torch.cat([loss.reshape(1), loss.new_tensor(has_gradient)])
        gradients = [
            torch.zeros_like(value) if value.grad is None else value.grad for value in parameters
        ]
        # One buffer, one exchange: what is small costs the way there, not its size.
        flat = torch.cat([head, *(gradient.flatten() for gradient in gradients)])
        with _connected():
            dist.all_reduce(flat, group=self._group)
        needed = flat[1 : len(head)].tolist()
        summed = flat[len(head) :].split([value.numel() for value in parameters])
        for value, count, part in zip(parameters, needed, summed, strict=True):
            value.grad = part.view_as(value) if count else None
        return flat[0]

    def agree(self, wish: bool) -> bool:
        """Say whether any process wishes it."""
        if self.size == 1:
            return wish
        wishes = torch.tensor([int(wish)])
        with _connected():
            dist.all_reduce(wishes, group=self._group)
        return bool(wishes.item())

    def gather(self, value: Any) -> list[Any]:  # Any: JSON values
        """Return what each process gave, in their order."""
        if self.size == 1:
            return [value]
        said = json.dumps(value).encode("ascii")
        sizes = [int(size) for size in self._gather(torch.tensor([len(said)]))]
        padded = torch.zeros(max(sizes), dtype=torch.uint8)
        padded[: len(said)] = torch.frombuffer(bytearray(said), dtype=torch.uint8)
        found = self._gather(padded)
        return [
            json.loads(bytes(part[:size].tolist())) for part, size in zip(found, sizes, strict=True)
        ]

    def broadcast(self, value: Any) -> Any:  # Any: as above
        """Return, everywhere, what the first process gave."""
        return self.gather(value if self.is_first else None)[0]

    def gather_lanes(self, part: Tensor, number: int) -> Tensor:
        """Return the state (.., B, ..) of all `number` lanes from that of each process's own."""
        if self.size == 1:
            return part
        counts = [(rank + 1) * number // self.size - rank * number // self.size
                  for rank in range(self.size)]  # fmt: skip
        padded = part.new_zeros((part.shape[0], max(counts), *part.shape[2:]))
        padded[:, : part.shape[1]] = part
        found = self._gather(padded) if padded.numel() else [padded] * self.size
        return torch.cat([own[:, :count] for own, count in zip(found, counts, strict=True)], dim=1)

    def gather_each(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensor of each process, all of one shape."""
        return [tensor] if self.size == 1 else self._gather(tensor)

    def together(self, work: Callable[[], Result]) -> Result:
        """Do it in every process; what one of them raises, all of them raise."""
        failure: MemlmError | None = None
        try:
            done = work()
        except MemlmError as error:
            failure = error
        failures = self.gather(failure and failure.to_json())
        first = next((rank for rank, found in enumerate(failures) if found), None)
        if first is None:
            return done
        if failure is None or self.rank != first:
            failure = error_from_json(failures[first])
        raise self.told_by_first(failure)

    def first_does(self, work: Callable[[], object]) -> None:
        """Do it in the first process; where that fails all processes raise it."""
        self.together(lambda: work() if self.is_first else None)

    def told_by_first(self, error: MemlmError) -> MemlmError:
        """Return an error that all processes raise, marked so that only one says it."""
        error.is_told = not self.is_first
        return error

    def _gather(self, tensor: Tensor) -> list[Tensor]:
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        with _connected():
            dist.all_gather(found, tensor.contiguous(), group=self._group)
        return found


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started with this one, if it did; leave them at the end.

    They meet by gloo, and exchange gradients by NCCL where they have GPUs. Raises ResourceError
    where they do not meet, ConfigError where their devices cannot work together.
    """
    place = process_place()
    if place.size == 1:
        processes = Processes()
        processes.check_devices(device)
        yield processes
        return
    if not dist.is_available() or not dist.is_gloo_available():
        raise ResourceError("processes_unavailable")
    has_gpus = device not in ("cpu", "mps") and torch.cuda.is_available()
    backend = "cpu:gloo,cuda:nccl" if has_gpus else "gloo"
    is_ours = not dist.is_initialized()  # a program that calls us may have joined them itself
    try:
        if is_ours:
            timeout = timedelta(seconds=_MOST_SECONDS_TO_JOIN)
            dist.init_process_group(
                backend, rank=place.rank, world_size=place.size, timeout=timeout
            )
        group = dist.new_group(backend=backend, timeout=timedelta(hours=_MOST_HOURS_TO_WAIT))
    except (RuntimeError, ValueError) as error:
        raise ResourceError("processes_not_met", processes=place.size) from error
    try:
        processes = Processes(place, group)
        processes.check_devices(device)
        yield processes
    finally:
        with suppress(RuntimeError):  # a connection that is gone need not be closed
            dist.destroy_process_group(None if is_ours else group)


@contextmanager
def _connected() -> Iterator[None]:
    """Turn what torch says of a lost connection into a ResourceError."""
    try:
        yield
    except RuntimeError as error:
        raise ResourceError("process_lost") from error


def lanes_of(part: Sequence[Tensor], lanes: slice) -> tuple[Tensor, ...]:
    """Return the state of some lanes."""
    return tuple(tensor[:, lanes].contiguous() for tensor in part)


def cores_of_each(processes: Processes) -> int:
    """Return how many cores each of the processes on this machine has."""
    return max(1, available_cores() // processes.on_this_machine)
