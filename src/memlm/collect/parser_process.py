"""The child process in which foreign formats are parsed; `apart.py` starts it and asks it.

Before it reads anything it gives up what a parser has no need of: the network, other programs, and
writing files (an audit hook refuses them). On POSIX systems memory and processor time are bounded
for each task; the parent ends it when its time is over.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from memlm.collect.apart import Parsed, Task
from memlm.collect.config import Limits
from memlm.errors import InputError

# Kind -> module of this room, its function, and the package that takes long to load.
PARSERS = {
    "page": ("markup", "parse_page", "trafilatura"),
    "pdf": ("pdf", "parse_pdf", "pypdf"),
    "docx": ("office", "parse_docx", "zipfile"),
    "odt": ("office", "parse_odt", "zipfile"),
    "epub": ("epub", "parse_epub", "lxml.html"),
}
_FORBIDDEN = (
    "socket.", "subprocess.", "shutil.", "os.system", "os.exec", "os.fork", "os.posix_spawn",
    "os.spawn", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink",
    "os.truncate", "os.chmod", "os.chown", "os.startfile",
)  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
_SPARE_SECONDS = 5


def main() -> None:
    """Answer the parent until it hangs up."""
    asks, answers = _take_pipes()
    sys.addaudithook(_refuse)
    while line := asks.readline():
        asked = json.loads(line)
        module, function, package = PARSERS[asked["kind"]]
        import_module(package)
        parse = getattr(import_module(f"memlm.collect.{module}"), function)
        limits = Limits(**asked["task"].pop("limits"))
        task = Task(**asked["task"], limits=limits)
        _say(answers, {"ready": True})
        _bound(limits)
        _say(answers, _answer(parse, partial(_open, asks, asked), task))


def _open(asks: BinaryIO, asked: dict[str, Any]) -> BinaryIO:  # Any: JSON
    return (
        BytesIO(asks.read(asked["bytes"])) if "bytes" in asked else Path(asked["path"]).open("rb")
    )


def _answer(
    parse: Callable[[BinaryIO, Task], Parsed], open_file: Callable[[], BinaryIO], task: Task
) -> dict[str, object]:
    try:
        with open_file() as file:
            parsed = parse(file, task)
        size = len(parsed.text.encode())
        if size > task.limits.text_bytes:
            raise InputError("file_too_large", path=task.name, size_mb=size / 1e6)
        return {"parsed": asdict(parsed)}
    except InputError as error:
        return {"error": error.code, "values": error.values, "is_spent": False}
    except MemoryError:
        most_mb = task.limits.parse_memory_bytes / 1e6
        values = {"path": task.name, "most_mb": most_mb}
        return {"error": "parser_memory", "values": values, "is_spent": True}
    except RecursionError:
        return {"error": "elements_too_deep", "values": {"path": task.name}, "is_spent": True}
    except Exception as error:  # one document; the message may hold its text, the kind does not
        values = {"path": task.name, "kind": type(error).__name__}
        return {"error": "parser_failed", "values": values, "is_spent": True}


def _say(answers: BinaryIO, answer: dict[str, object]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return the pipes to the parent, where no parser finds them: 0, 1 and 2 lead nowhere."""
    asks, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    return asks, answers


def _refuse(event: str, values: tuple[Any, ...]) -> None:  # Any: whatever the event is about
    if event == "open":
        _, mode, flags = values
        is_writing = bool(flags & _WRITING) if isinstance(flags, int) else "r" not in (mode or "r")
        if is_writing:
            raise PermissionError("a parser writes no files")
    elif event.startswith(_FORBIDDEN):
        raise PermissionError(f"a parser may not: {event}")


def _bound(limits: Limits) -> None:
    """Bound memory and processor time for the task to come, where the system can."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock is all there is
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + limits.parse_seconds) + _SPARE_SECONDS
    wishes = ((resource.RLIMIT_AS, limits.parse_memory_bytes), (resource.RLIMIT_CPU, seconds))
    for kind, wish in wishes:
        hard = resource.getrlimit(kind)[1]
        try:
            resource.setrlimit(kind, (wish if hard < 0 else min(wish, hard), hard))
        except (ValueError, OSError):  # macOS does not bound the address space
            continue


if __name__ == "__main__":
    main()
