"""Whether a training has the processors that it was told to use.

Threads of one layer wait for each other, so a single other busy process can slow threaded training
twentyfold (benchmarks/LOG.md). On Linux the kernel tells how long each of our threads was ready to
run and waited for a processor; elsewhere the load of the whole machine has to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

_WINDOW_SECONDS = 10.0
_MOST_WAITING = 0.25
"""Share of the time that a thread which works all the time waited for a processor."""
_TASKS = Path("/proc/self/task")


class CrowdWatch:
    """Looks at the time that went by, from step to step, and says once that others take it."""

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.process_time,
        waited: Callable[[], float | None] | None = None,
    ) -> None:
        self.waiting = 0.0
        """Share of the window that was waited, once it was too much."""
        self._now, self._used, self._waited = now, used, waited or waited_seconds
        self._begin()

    def notices(self) -> bool:
        """Say, once, that the last ten seconds were those of a crowded machine."""
        if self.waiting or self._now() - self._started < _WINDOW_SECONDS:
            return False
        share = self._share()
        self._begin()
        if share <= _MOST_WAITING:
            return False
        self.waiting = share
        return True

    def _begin(self) -> None:
        self._started = self._now()
        self._before = self._used(), self._waited()

    def _share(self) -> float:
        """Return the share of its time that a thread which wants to run has waited."""
        used, waited = self._used(), self._waited()
        worked = max(used - self._before[0], 1e-9)
        if waited is not None and self._before[1] is not None:
            lost = max(0.0, waited - self._before[1])
            return lost / (lost + worked)
        # All that is ready to run, us included, shares the processors that there are.
        running = worked / (self._now() - self._started)
        load = max(running, load_average())
        return max(0.0, 1 - (os.cpu_count() or 1) / load) if load else 0.0


def load_average() -> float:
    """Return how many processes were ready to run in the last minute; 0 where nobody counts."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def waited_seconds() -> float | None:
    """Return how long our threads have waited for a processor; None where nobody counts that."""
    total, counted = 0, False
    for task in _TASKS.glob("*/schedstat"):
        try:
            total += int(task.read_text(encoding="ascii").split()[1])  # nanoseconds
        except (OSError, ValueError, IndexError):  # the thread has ended, or counts nothing
            continue
        counted = True
    return total / 1e9 if counted and total else None
