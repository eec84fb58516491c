"""What the machine offers and has given: processors, devices, seeds, disk, memory."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import platform
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from memlm.errors import ConfigError, MissingExtraError, ResourceError

if TYPE_CHECKING:
    import torch

# torch has more: `meta` computes nothing, and there is one cpu whatever its number.
_DEVICES = re.compile(r"auto|cpu|cuda(:\d{1,3})?|mps")


def available_cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # absent on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class ProcessPlace:
    """Which of the processes that work together this one is; the only one, if nobody says more."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Its number among those on the same machine."""
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0


def process_place() -> ProcessPlace:
    """Return the place that torchrun, or who does as it does, has left in the environment."""
    known = {
        name: int(value)
        for name in ("RANK", "WORLD_SIZE", "MASTER_PORT", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        if (value := os.environ.get(name, "")).isdigit()
    }
    if "MASTER_ADDR" not in os.environ or not known.keys() >= {"RANK", "WORLD_SIZE", "MASTER_PORT"}:
        return ProcessPlace()
    return ProcessPlace(
        known["RANK"],
        known["WORLD_SIZE"],
        known.get("LOCAL_RANK", 0),
        known.get("LOCAL_WORLD_SIZE", 1),
    )


def is_installed(package: str) -> bool:
    """Say whether `package` can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def require_package(package: str, *, extra: str) -> None:
    """Raise MissingExtraError, with the command that installs it, unless `package` is here."""
    if not is_installed(package):
        raise MissingExtraError("extra_missing", package=package, extra=extra)


class KeptLoops:
    """A module of compiled loops, taken as soon as it saves more time than it costs.

    To load them takes as long as some hundreds of steps without them, to compile them as long as
    thousands; `loading` and `compiling` are these numbers of steps. Steps count when they are
    expected, or when they were made without loops; so no text waits much longer than it must.
    `loop` is the one by which is told whether the module was compiled before on this machine.
    """

    def __init__(self, module: str, loop: str, *, loading: int, compiling: int) -> None:
        self._module, self._loop = module, loop
        self._loading, self._compiling = loading, compiling
        self._steps = 0

    def take(self) -> ModuleType | None:
        """Return the loops; None where they are not worth it yet, or are not to be had.

        That is without numba, or where numba finds nowhere to keep what it compiles.
        """
        if not self.are_worth_it():
            return None
        try:
            return importlib.import_module(self._module)
        except (ImportError, RuntimeError):
            return None

    def are_worth_it(self, more_steps: int = 0) -> bool:
        """Say whether the loops save more than they cost, or will with so many steps to come."""
        steps = self._steps + more_steps
        is_loaded = "numba" in sys.modules or steps >= self._loading
        return (
            self._module in sys.modules
            or steps >= self._compiling
            or (is_loaded and _was_compiled(self._module, self._loop))
        )

    def spend(self, steps: int) -> bool:
        """Count steps; say whether the loops may have become worth it now."""
        before = self._steps
        self._steps += steps
        return any(before < limit <= self._steps for limit in (self._loading, self._compiling))


def _was_compiled(module: str, loop: str) -> bool:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return False
    path = Path(found.origin).absolute()
    return any(
        True for folder in _loop_folders(path) for _ in folder.glob(f"{path.stem}.{loop}-*.nbi")
    )


def _loop_folders(path: Path) -> Iterator[Path]:
    """Yield where numba may keep what it compiled of a file: beside it, or in the user's cache.

    The latter is where the package may not be written to. What is asked here must not load numba.
    """
    yield path.parent / "__pycache__"
    # numba names the folder so; it is no secret that is hashed.
    name = hashlib.sha1(str(path.parent).encode(), usedforsecurity=False).hexdigest()
    try:
        home = Path.home()
    except RuntimeError:  # a user without one, as in containers
        home = path.parent
    for folder in (
        os.environ.get("NUMBA_CACHE_DIR"),
        Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "numba",
        home / "Library" / "Caches" / "numba",
        Path(os.environ.get("LOCALAPPDATA") or home) / "numba" / "Cache",
    ):
        if folder:
            yield Path(folder) / f"{path.parent.name}_{name}"


def ready_torch() -> None:
    """Raise MissingExtraError unless torch is here, and make its threads good neighbours.

    OpenMP's threads wait for work by spinning. On a machine with other work that made training 4
    to 30 times slower; after 5,000 turns they now sleep, which costs nothing on a quiet machine
    (benchmarks/LOG.md). The environment goes before this, and it must be set before torch loads.
    """
    require_package("torch", extra="train")
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")


def check_device(wish: str) -> None:
    """Raise ConfigError unless networks can be trained on a device of this kind; needs no torch."""
    if not _DEVICES.fullmatch(wish):
        raise ConfigError("device_unknown", device=wish)


def choose_device(wish: str = "auto") -> torch.device:
    """Return the torch device to use: the one wished for, else a GPU, else the CPU."""
    check_device(wish)
    ready_torch()
    import torch

    if wish == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wish)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError("device_unknown", device=wish) from error
    return device


def processor_has_bf16() -> bool:
    """Say whether the processor computes with 16-bit numbers (bf16) itself, and torch knows it."""
    import torch

    # Only newer versions of torch tell.
    found: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def stream_seed(seed: int, *purpose: object) -> int:
    """Return the seed of one stream of random numbers: every purpose draws from its own."""
    text = ":".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def peak_memory_bytes() -> int | None:
    """Return the most memory that this process has held at once; None where that is not told."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def peak_gpu_bytes(device: torch.device) -> int | None:
    """Return the most memory that tensors have held on a GPU; None on another device."""
    if device.type != "cuda":
        return None
    import torch

    return int(torch.cuda.max_memory_allocated(device))


def require_free_disk(folder: Path, *, size_bytes: float) -> None:
    """Raise ResourceError unless `folder`'s disk has `size_bytes` free."""
    free = shutil.disk_usage(folder).free
    if free < size_bytes:
        raise ResourceError(
            "disk_full", path=folder, needed_mb=size_bytes / 1e6, free_mb=free / 1e6
        )


def processor_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the make of the processor, as exactly as the system knows it.

    A virtual machine may give a name that many makes share; family and model tell those apart.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:  # only Linux has it
        return platform.processor()
    lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    found = {name.strip(): value.strip() for name, _, value in lines}
    if not found.get("model name"):
        return platform.processor()
    finer = [f"{name} {found[name]}" for name in ("cpu family", "model") if name in found]
    return ", ".join([found["model name"], *finer])


def describe_machine(
    num_threads: int | None = None, *, device: torch.device | None = None, processes: int = 1
) -> dict[str, object]:
    """Return what bit-exact repetition depends on, for the record beside a model."""
    description: dict[str, object] = {
        "python": platform.python_version(),
        "system": platform.system(),
        "processor": platform.machine(),
        "processor_model": processor_model(),
        "cores": available_cores(),
    }
    if num_threads is not None:
        import numpy as np
        import torch

        description |= {
            "torch": torch.__version__,
            "numpy": np.__version__,
            "threads": num_threads,
            "processes": processes,
            "interop_threads": torch.get_num_interop_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "onednn": torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]  # torch's
        }
    if device is not None:
        import torch

        is_gpu = device.type == "cuda"
        description["device"] = torch.cuda.get_device_name(device) if is_gpu else device.type
    return description


def resend_signal(name: str) -> None:
    """Deliver a signal again, to whoever handles it now that nobody watches."""
    signal.raise_signal(signal.Signals[name])


class Terminated(BaseException):
    """SIGTERM came where it ends everything: unwatched, or for the second time."""


class SignalWatch:
    """Which signal has asked for an end, if any."""

    name: str | None = None


@contextmanager
def watch_signals() -> Iterator[SignalWatch]:
    """Inside the block the first Ctrl-C, SIGTERM or SIGHUP is only noted; a second ends at once.

    Outside the main thread, where Python allows no handlers, nothing is watched.
    """
    watch = SignalWatch()
    if threading.current_thread() is not threading.main_thread():
        yield watch
        return

    def note(number: int, frame: object) -> None:
        if watch.name is not None:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        watch.name = signal.Signals(number).name

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), note) for name in names}
    try:
        yield watch
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
