"""A training that does not get the processors notices, once."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

import memlm.train.crowding as crowding
from memlm.train.crowding import CrowdWatch, waited_seconds


class Machine:
    """Ten-second windows in which our threads work and wait as told."""

    def __init__(self, *, counts: bool = True) -> None:
        self.time = self.used = 0.0
        self.waited: float | None = 1.0 if counts else None

    def pass_window(self, *, used: float, waited: float = 0.0) -> None:
        self.time, self.used = self.time + 10, self.used + used
        if self.waited is not None:
            self.waited += waited

    def watch(self) -> CrowdWatch:
        return CrowdWatch(now=lambda: self.time, used=lambda: self.used, waited=lambda: self.waited)


def test_threads_that_wait_half_of_their_time_are_noticed_once():
    machine = Machine()
    watch = machine.watch()
    found = []
    for _ in range(3):
        machine.pass_window(used=10, waited=10)
        found.append(watch.notices())
    assert found == [True, False, False]
    assert watch.waiting == pytest.approx(0.5)


def test_threads_that_hardly_wait_are_not_noticed():
    machine = Machine()
    watch = machine.watch()
    for _ in range(3):
        machine.pass_window(used=20, waited=1)
        assert not watch.notices()


def test_threads_that_sleep_for_want_of_work_are_not_noticed():
    machine = Machine()
    watch = machine.watch()
    machine.pass_window(used=0.5)
    assert not watch.notices()


def test_a_crowd_that_comes_later_is_noticed():
    machine = Machine()
    watch = machine.watch()
    machine.pass_window(used=20)
    assert not watch.notices()
    machine.pass_window(used=10, waited=10)
    assert watch.notices()


def test_a_moment_is_too_short_to_be_judged():
    machine = Machine()
    watch = machine.watch()
    machine.time, machine.waited = 9.0, 9.0
    assert not watch.notices()


@pytest.mark.parametrize(("load", "expected"), [(4.0, True), (2.0, False), (0.0, False)])
def test_where_nobody_counts_the_load_of_the_machine_decides(monkeypatch, load, expected):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(crowding, "load_average", lambda: load)
    machine = Machine(counts=False)
    watch = machine.watch()
    machine.pass_window(used=20)
    assert watch.notices() == expected


def test_a_thread_that_has_ended_takes_nothing_back():
    machine = Machine()
    watch = machine.watch()
    machine.pass_window(used=10, waited=-5)
    assert not watch.notices()


@pytest.mark.skipif(waited_seconds() is None, reason="this system does not count waiting")
def test_the_kernel_counts_what_a_busy_neighbour_takes():
    core = min(os.sched_getaffinity(0))
    busy = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    measure = (
        f"import os, time\nos.sched_setaffinity(0, {{{core}}})\n"
        "from memlm.train.crowding import waited_seconds\n"
        "before, end = waited_seconds() or 0.0, time.process_time() + 0.3\n"
        "while time.process_time() < end: pass\n"
        "print((waited_seconds() or 0.0) - before)"
    )
    with subprocess.Popen([sys.executable, "-c", busy], stdout=subprocess.PIPE) as neighbour:
        try:
            neighbour.stdout.readline()
            started = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-c", measure], capture_output=True, text=True, check=True
            )
            assert 0.05 < float(done.stdout) < time.monotonic() - started
        finally:
            neighbour.kill()
