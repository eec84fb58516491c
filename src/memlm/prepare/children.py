"""Work on several parts of a corpus at once, in processes of our own.

A job is the name of a function of this room and what it is given, as JSON; a child does one job
after the other and answers each with JSON. Nothing is pickled, no text passes between processes
(children open the documents themselves), and, unlike `multiprocessing`, nothing of the caller's
program is run again. What a job writes does not depend on who does it, so any number of children
gives the same bytes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from queue import SimpleQueue
from threading import Thread
from typing import Any

from memlm.errors import MemlmError, ResourceError, error_from_json
from memlm.runtime import available_cores

_JOBS = {"clean": "memlm.prepare.cleaning", "encode": "memlm.prepare.token_parts"}
_FEWEST_CHARACTERS = 4_000_000
Result = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Job:
    """One call of `run_job` of a module of this room."""

    kind: str
    given: Mapping[str, object]
    characters: int
    """How much work it is."""


def run_jobs(jobs: Sequence[Job], *, processes: int | None = None) -> Iterator[tuple[int, Result]]:
    """Do all jobs; yield (number of the job, its result) as they are done, in no fixed order.

    `processes` None: one a core, and none beside this one where there is little to do. Raises what
    a job raised, ResourceError where a child was ended from outside.
    """
    if processes is None:
        is_much = sum(job.characters for job in jobs) >= _FEWEST_CHARACTERS
        processes = available_cores() if is_much else 1
    if min(processes, len(jobs)) <= 1:
        for number, job in enumerate(jobs):
            yield number, _do(job.kind, job.given)
        return
    todo = iter(enumerate(jobs))
    done: SimpleQueue[tuple[int, str | None]] = SimpleQueue()
    children = [_Child(done) for _ in range(min(processes, len(jobs)))]
    try:
        busy = sum(child.take(next(todo, None)) for child in children)
        while busy:
            number, answer = done.get()
            yield number, _understand(answer)
            child = next(child for child in children if child.number == number)
            busy -= not child.take(next(todo, None))
    finally:
        for child in children:
            child.end()


class _Child:
    """A process that waits for jobs, and the thread that waits for its answers."""

    def __init__(self, done: SimpleQueue[tuple[int, str | None]]) -> None:
        self.number = -1
        self._done = done
        command = [sys.executable, "-m", "memlm.prepare"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )

    def take(self, numbered: tuple[int, Job] | None) -> bool:
        """Begin a job, if there is one."""
        if numbered is None:
            return False
        self.number, job = numbered
        assert self._process.stdin is not None
        line = json.dumps({"kind": job.kind, "given": job.given}, ensure_ascii=True)
        with suppress(OSError):  # it has died; the thread will say so
            self._process.stdin.write(line.encode("ascii") + b"\n")
            self._process.stdin.flush()
        Thread(target=self._wait, args=(self.number,), daemon=True).start()
        return True

    def _wait(self, number: int) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self._done.put((number, line.decode("ascii") if line.endswith(b"\n") else None))

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # what could not be flushed any more
                pipe.close()


class ChildMistakeError(RuntimeError):
    """A child made a mistake of our own; it carries where, without any text of the user's."""


def _understand(answer: str | None) -> Result:
    if answer is None:
        raise ResourceError("child_ended")
    found = json.loads(answer)
    if "error" in found:
        raise error_from_json(found)
    if "mistake" in found:
        raise ChildMistakeError(found["mistake"])
    return dict(found["result"])


def _do(kind: str, given: Mapping[str, object]) -> Result:
    work: Callable[..., Result] = import_module(_JOBS[kind]).run_job
    return work(**given)


def _answer(line: bytes) -> Result:
    job = json.loads(line)
    try:
        return {"result": _do(job["kind"], job["given"])}
    except MemlmError as error:
        return error.to_json()
    except Exception as error:  # our own mistake: the parent reports it
        frames = traceback.extract_tb(error.__traceback__)
        places = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
        return {"mistake": f"{type(error).__name__} in {places}"}


def do_jobs() -> None:
    """Do jobs until there are no more: the parent has ended where standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches children too; the parent decides
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing that is printed may be an answer
    for line in sys.stdin.buffer:
        try:
            answers.write(json.dumps(_answer(line), ensure_ascii=True).encode("ascii") + b"\n")
            answers.flush()
        except OSError:  # the parent was killed while we worked: nobody waits for the answer
            # What could not be flushed would be tried again, and be said, when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), answers.fileno())
            return
