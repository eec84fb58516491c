"""Parsers run apart: what they may not do, and what happens when one fails."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memlm.collect import Limits
from memlm.collect.apart import Task, end_child, parse_apart
from memlm.errors import InputError

# Stands in for pypdf in the child, and does what the file says.
DOING_AS_TOLD = """
class PdfReader:
    is_encrypted, metadata = False, None
    def __init__(self, file):
        global tasks
        tasks = globals().get("tasks", 0) + 1
        self._code = file.read().decode().partition(chr(10))[2]
    @property
    def pages(self):
        return [self]
    def extract_text(self):
        names = {"tasks": tasks}
        exec(self._code, names)
        return str(names.get("text", "read"))
"""
NETWORK = """
import socket
try:
    socket.create_connection(("127.0.0.1", 9), timeout=1)
except PermissionError as error:
    text = "refused"
except OSError:
    text = "tried"
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Run Python in the place of a parser and return the text that it found."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "pypdf.py").write_text(DOING_AS_TOLD)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    end_child()

    def parse(code: str, limits: Limits | None = None) -> str:
        task = Task(name="a.pdf", limits=limits or Limits())
        return parse_apart("pdf", f"%PDF-\n{code}".encode(), task).text

    yield parse
    end_child()


def code_of(run, code: str, limits: Limits | None = None) -> str:
    with pytest.raises(InputError) as caught:
        run(code, limits)
    assert "a.pdf" in str(caught.value)
    return caught.value.code


def test_one_child_reads_many_files(run) -> None:
    assert len({run("import os; text = os.getpid()") for _ in range(3)}) == 1


@pytest.mark.parametrize(
    "code",
    ["import os; os._exit(3)", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"],
    ids=["exit", "signal"],
)
def test_crash_is_a_problem_of_its_file_alone(run, code: str) -> None:
    assert code_of(run, code) == "parser_crashed"
    assert run("text = 'next'") == "next"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_segmentation_fault_is_a_problem_of_its_file_alone(run) -> None:
    assert code_of(run, "import ctypes; ctypes.string_at(0)") == "parser_crashed"
    assert run("text = 'next'") == "next"


def test_file_is_not_blamed_for_what_those_before_it_left(run) -> None:
    run("")
    assert run("import os; tasks > 1 and os._exit(1); text = 'read'") == "read"


def test_parser_that_takes_too_long_is_ended(run) -> None:
    run("")
    started = time.monotonic()
    assert code_of(run, "while True: pass", Limits(parse_seconds=0.3)) == "parser_slow"
    assert time.monotonic() - started < 5
    assert run("text = 'next'") == "next"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the address space")
def test_parser_that_takes_too_much_memory_is_ended(run) -> None:
    limits = Limits(parse_memory_bytes=500 * 10**6)
    assert code_of(run, "x = bytearray(6 * 10**8)", limits) == "parser_memory"
    assert run("text = len(bytearray(6 * 10**8))") == str(6 * 10**8)


def test_parser_reaches_no_network(run) -> None:
    assert run(NETWORK) == "refused"


@pytest.mark.parametrize(
    "attempt",
    ["open(path, 'w')", "open(path, 'r+')", "os.open(path, os.O_CREAT | os.O_RDWR)",
     "os.remove(path)", "os.system('true')", "subprocess.run(['true'])"],
)  # fmt: skip
def test_parser_changes_nothing_and_starts_nothing(run, tmp_path: Path, attempt: str) -> None:
    (tmp_path / "kept.txt").write_text("kept")
    code = f"import os, subprocess\npath = {str(tmp_path / 'kept.txt')!r}\n"
    code += f"try: {attempt}\nexcept PermissionError: text = 'refused'"
    assert run(code) == "refused"
    assert (tmp_path / "kept.txt").read_text() == "kept"


def test_child_loads_nothing_that_a_parser_does_not_need(run) -> None:
    heavy = ("torch", "tokenizers", "rjieba", "numba", "trafilatura")
    assert run(f"import sys; text = [name for name in {heavy} if name in sys.modules]") == "[]"


def test_what_a_parser_prints_goes_nowhere(run) -> None:
    assert run("import sys; print('{}'); sys.stderr.write('x'); text = 'read'") == "read"


def test_error_of_a_parser_is_said_without_the_text(run) -> None:
    with pytest.raises(InputError) as caught:
        run("raise KeyError('secret words')")
    assert caught.value.code == "file_damaged"
    assert "secret" not in str(caught.value)


def test_mistake_of_a_package_is_a_problem_of_its_file_alone(run, tmp_path: Path) -> None:
    fake = "def bare_extraction(*_, **__): raise KeyError('secret words')"
    (tmp_path / "packages" / "trafilatura.py").write_text(fake)
    with pytest.raises(InputError) as caught:
        parse_apart("page", b"<p>secret words</p>", Task(name="a.html"))
    assert caught.value.code == "parser_failed"
    assert "secret" not in str(caught.value)
    assert run("text = 'next'") == "next"


def test_file_over_the_limit_is_not_parsed(run) -> None:
    assert code_of(run, "", Limits(parsed_bytes=3)) == "parse_too_large"


def test_text_over_the_limit_is_not_taken(run) -> None:
    limits = Limits(text_bytes=10)
    with pytest.raises(InputError, match=r"a\.pdf"):
        run("text = 'x' * 11", limits)


def test_text_of_many_megabytes_comes_through(run) -> None:
    assert len(run("text = '灯' * 10**6")) == 10**6
