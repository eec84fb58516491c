"""Parsers of foreign formats run apart: in a child process that may fail without harm.

HTML, PDF, DOCX, ODT and EPUB come from strangers, and their parsers are large. So one child process
(`parser_process.py`) does the parsing, file after file; it may take only so much time and memory,
reach no network and write no file. When it dies or is killed, that is a problem of the file which
it was reading, and the next file gets a new child. Both sides speak JSON lines over pipes:

    parent: {"kind": ..., "task": {...}, "path": ...}   child: {"ready": true}    (packages loaded)
    parent: the bytes, where there is no path           child: {"parsed": {...}} or {"error": ...}
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from memlm.collect.config import Limits, Reading
from memlm.errors import InputError
from memlm.records import SourceNote, SourceProblem, SourceText

_START_SECONDS = 120.0
_TASKS_OF_A_CHILD = 500  # what its packages leak must not be held against the next file


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a parser is told beside the bytes."""

    name: str
    """Name of the file, for sentences about it."""
    limits: Limits = field(default_factory=Limits)
    encoding: str | None = None
    """Encoding that the user named; it decides."""
    charset: str | None = None
    """Encoding that a server named; it may be wrong."""
    address: str | None = None
    """Web address that the bytes came from."""
    password: str | None = field(default=None, repr=False)
    """Password of an encrypted file."""


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """What a parser found."""

    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    """Title, date and author, those that the file states."""
    notes: tuple[SourceNote, ...] = ()


def parse_apart(kind: str, data: bytes | Path, task: Task) -> Parsed:
    """Return what the parser `kind` (a key of `parser_process.PARSERS`) finds in `data`.

    Raises InputError where the file is damaged or too large, takes too long or too much memory,
    or brings the parser down. Safe to call from several threads; they take turns.
    """
    _check_size(data, task)
    with _lock:
        while True:
            child = _ready_child()
            is_fresh = child.tasks == 0
            try:
                return child.parse(kind, data, task)
            except InputError as error:
                if not child.is_alive():
                    end_child()
                # What the files before this one left behind may have been too much, not this one.
                if is_fresh or error.code not in ("parser_memory", "parser_crashed"):
                    raise


def read_apart(
    kind: str, path: Path, reading: Reading
) -> Iterator[SourceText | SourceProblem | SourceNote]:
    """Yield the text of a file that the parser `kind` reads apart, and the notes about it."""
    task = Task(
        name=path.name,
        limits=reading.limits,
        encoding=reading.config.encoding,
        password=reading.config.password,
    )
    parsed = parse_apart(kind, path, task)
    yield from parsed.notes
    yield SourceText(text=parsed.text, fields=parsed.fields)


def _check_size(data: bytes | Path, task: Task) -> None:
    size = len(data) if isinstance(data, bytes) else data.stat().st_size
    most = task.limits.parsed_bytes
    if size > most:
        raise InputError("parse_too_large", path=task.name, size_mb=size / 1e6, most_mb=most / 1e6)
    if size == 0:
        raise InputError("file_empty", path=task.name)


class _Child:
    """One child process and the pipes to it."""

    def __init__(self) -> None:
        self.tasks = 0
        self.owner = os.getpid()
        folders = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
        is_posix = os.name == "posix"
        self._process = subprocess.Popen(
            # -P: a file of the folder we happen to be in is no package of ours.
            [sys.executable, "-B", "-P", "-m", "memlm.collect.parser_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # parsers print pieces of what they read
            env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)},
            # Ctrl-C is for us; the child ends when its pipe does.
            start_new_session=is_posix,
            creationflags=0 if is_posix else getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )

    def parse(self, kind: str, data: bytes | Path, task: Task) -> Parsed:
        self.tasks += 1
        asked: dict[str, object] = {"kind": kind, "task": asdict(task)}
        asked |= {"bytes": len(data)} if isinstance(data, bytes) else {"path": str(data.resolve())}
        with self._killed_after(_START_SECONDS, task):
            self._send(json.dumps(asked).encode() + b"\n")
            self._receive(task)
        with self._killed_after(task.limits.parse_seconds, task):
            self._send(data if isinstance(data, bytes) else b"")
            answer = self._receive(task)
        if "error" in answer:
            if answer["is_spent"]:
                self.end()
            raise InputError(answer["error"], **answer["values"])
        found = answer["parsed"]
        notes = tuple(SourceNote(**note) for note in found["notes"])
        return Parsed(text=found["text"], fields=found["fields"], notes=notes)

    def is_alive(self) -> bool:
        return self.owner == os.getpid() and self._process.poll() is None

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self.owner == os.getpid():  # in a fork of us it is somebody else's
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        try:
            self._process.stdin.close()
        except OSError:  # what was still to be sent has nowhere to go
            return

    @contextmanager
    def _killed_after(self, seconds: float, task: Task) -> Iterator[None]:
        late = threading.Event()

        def kill() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        except BaseException as error:  # Ctrl-C too leaves half an answer in the pipe
            self._process.kill()
            self._process.wait()
            if late.is_set() and isinstance(error, InputError):
                raise InputError("parser_slow", path=task.name, seconds=seconds) from None
            raise
        finally:
            timer.cancel()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError:
            return  # it died; what it last said tells why

    def _receive(self, task: Task) -> dict[str, Any]:  # Any: JSON
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise InputError("parser_crashed", path=task.name)
        answer: dict[str, Any] = json.loads(line)
        return answer


_lock = threading.Lock()
_children: list[_Child] = []  # one at most; a process is costly to start, so it stays


def _ready_child() -> _Child:
    if _children and (not _children[0].is_alive() or _children[0].tasks >= _TASKS_OF_A_CHILD):
        end_child()
    if not _children:
        _children.append(_Child())
    return _children[0]


@atexit.register
def end_child() -> None:
    """End the child process; the next file would start a new one."""
    while _children:
        _children.pop().end()
