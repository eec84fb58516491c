"""What the machine offers, and how a signal is noted."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest
import torch

from memlm.errors import MissingExtraError, ResourceError
from memlm.runtime import (
    KeptLoops,
    SignalWatch,
    Terminated,
    available_cores,
    describe_machine,
    is_installed,
    peak_gpu_bytes,
    peak_memory_bytes,
    processor_model,
    require_free_disk,
    require_package,
    stream_seed,
    watch_signals,
)


def test_there_is_a_core() -> None:
    assert available_cores() >= 1


@pytest.mark.skipif(sys.platform == "win32", reason="this system does not tell")
def test_peak_of_memory_grows_with_what_is_held() -> None:
    before = peak_memory_bytes()
    held = bytearray(os.urandom(1 << 20)) * 512
    after = peak_memory_bytes()
    assert before is not None
    assert after is not None
    assert 1e7 < before <= after
    assert after >= len(held)
    assert after < 1e12  # bytes, whatever the unit of the system is


def test_a_processor_has_no_memory_of_a_gpu() -> None:
    assert peak_gpu_bytes(torch.device("cpu")) is None


CPUINFO = (
    "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\n"
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (CPUINFO, "AMD EPYC, cpu family 26, model 2"),
        ("model name : Some Core i7\n", "Some Core i7"),
        ("CPU part\t: 0xd0c\n", platform.processor()),
        (None, platform.processor()),
    ],
    ids=["vague", "exact", "no name", "no such file"],
)
def test_make_of_the_processor_is_what_the_system_knows(
    tmp_path: Path, text: str | None, name: str
) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert processor_model(tmp_path / "cpuinfo") == name


def test_machine_is_described_with_the_make_of_its_processor() -> None:
    assert describe_machine()["processor_model"] == processor_model()


def test_package_that_is_absent_comes_with_its_command() -> None:
    assert not is_installed("no_such_package_anywhere")
    with pytest.raises(MissingExtraError, match=r"memlm\[train\]"):
        require_package("no_such_package_anywhere", extra="train")


def test_every_purpose_draws_from_its_own_seed() -> None:
    seeds = {stream_seed(seed, purpose, n) for seed in (0, 1) for purpose in "ab" for n in (0, 1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 1 << 63 for seed in seeds)


def test_seed_is_the_same_everywhere() -> None:
    assert stream_seed(0, "batches", 3) == stream_seed(0, "batches", 3)


def test_full_disk_is_named_before_anything_is_written(tmp_path: Path) -> None:
    require_free_disk(tmp_path, size_bytes=1)
    with pytest.raises(ResourceError, match="MB"):
        require_free_disk(tmp_path, size_bytes=1 << 60)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_first_signal_is_noted_and_the_handlers_come_back(name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with watch_signals() as watch:
        os.kill(os.getpid(), number)
        assert watch.name == name
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)]
)
def test_second_signal_ends_at_once(number: int, ending: type[BaseException]) -> None:
    with watch_signals() as watch:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(ending):
            os.kill(os.getpid(), number)
        assert watch.name == "SIGTERM"


def test_outside_the_main_thread_nothing_is_watched() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[tuple[SignalWatch, bool]] = []

    def watch_there() -> None:
        with watch_signals() as watch:
            seen.append((watch, signal.getsignal(signal.SIGTERM) == before))

    thread = threading.Thread(target=watch_there)
    thread.start()
    thread.join()
    assert [(watch.name, unchanged) for watch, unchanged in seen] == [(None, True)]


def test_loops_are_taken_where_they_were_compiled_before_or_somebody_can_wait(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("never_compiled", "compiled_once"):
        (tmp_path / f"{name}.py").write_text("", encoding="utf-8")
    (tmp_path / "__pycache__").mkdir(exist_ok=True)
    (tmp_path / "__pycache__" / "compiled_once.turn-3.py311.nbi").touch()

    def taken(module: str, loop: str, steps: int) -> bool:
        loops = KeptLoops(module, loop, loading=10, compiling=100)
        loops.spend(steps)
        return loops.take() is not None

    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert not taken("compiled_once", "another", 10)
    assert not taken("compiled_once", "turn", 9)
    assert taken("compiled_once", "turn", 10)
    assert taken("compiled_once", "turn", 0)  # loaded by another
    assert not taken("never_compiled", "turn", 99)
    assert taken("never_compiled", "turn", 100)


def test_where_numba_is_loaded_already_its_loops_cost_nothing_more(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "compiled_before.py").write_text("", encoding="utf-8")
    (tmp_path / "__pycache__").mkdir(exist_ok=True)
    (tmp_path / "__pycache__" / "compiled_before.turn-3.py311.nbi").touch()
    monkeypatch.setitem(sys.modules, "numba", ModuleType("numba"))
    assert KeptLoops("compiled_before", "turn", loading=10, compiling=100).take() is not None


def test_loops_that_were_kept_in_the_cache_of_the_user_are_found(tmp_path, monkeypatch):
    numba = pytest.importorskip("numba")
    package, kept = tmp_path / "package", tmp_path / "kept"
    package.mkdir()
    (package / "looping.py").write_text(
        "import numba\n\n\n@numba.njit(cache=True)\ndef turn(x):\n    return x + 1\n\n\nturn(1)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(package)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(kept))
    loops = KeptLoops("looping", "turn", loading=0, compiling=10)
    assert loops.take() is None
    command = [sys.executable, "-c", "import looping"]
    subprocess.run(command, cwd=package, check=True, env={**os.environ})
    assert not (package / "__pycache__" / "looping.turn-7.py311.nbi").exists()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(kept))
    assert loops.take() is not None


def test_it_is_said_when_loops_may_have_become_worth_it() -> None:
    loops = KeptLoops("a_module", "turn", loading=4, compiling=9)
    assert [loops.spend(3) for _ in range(4)] == [False, True, True, False]


def test_loops_that_cannot_be_had_are_none(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "without_its_package.py").write_text("import nobody_has_this", encoding="utf-8")
    loops = KeptLoops("without_its_package", "turn", loading=0, compiling=0)
    assert loops.take() is None
