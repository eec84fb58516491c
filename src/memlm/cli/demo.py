"""`memlm demo`: the whole walk on text that comes with the package."""

from __future__ import annotations

import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from memlm.cli.console import (
    ConsoleListener,
    heading,
    out,
    print_json,
    print_trace,
    say,
    trace_to_json,
)
from memlm.cli.options import Common, CommonOptions
from memlm.cli.train import print_train_report
from memlm.errors import NotFoundError
from memlm.generate.config import GenerateConfig
from memlm.records import Generation, Trace
from memlm.runtime import is_installed
from memlm.train import TrainConfig
from memlm.workflow import (
    Model,
    collect_documents,
    generate_text,
    load_model,
    trace_text,
    train_model,
)

DEFAULT_MINUTES = 2.0
_TRACED = (
    "‘Curiouser and curiouser!’ cried Alice, and she closed the lid of her laptop. Outside it was "
    "night over Shanghai, and somebody on the next balcony read aloud:\n"
    "白日依山尽，黄河入海流。\n欲穷千里目，更上一层电梯。\n"
)
_PROMPTS = ("Alice ", "春")
_SEED, _TOKENS = 7, 300


def demo(
    workspace: Path = Path("memlm-demo"),
    /,
    *,
    minutes: Annotated[float, Parameter(help="Minutes of training.")] = DEFAULT_MINUTES,
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    started = time.monotonic()
    if common.json:
        print_json(_run_silently(workspace, minutes) | {"seconds": time.monotonic() - started})
        return 0
    out.print(Text(f"{'—' * 3} ", style="dim"), end="")
    say("demo.welcome")
    with ConsoleListener() as listener:
        heading("demo.collect")
        say("note.collected", **_collect(workspace, listener))
        heading("demo.trace")
        say("demo.reading")
        out.print()
        print_trace(trace_text(workspace, _TRACED, listener=listener))
        if is_installed("torch"):
            _learn_and_write(workspace, minutes, listener)
        else:
            heading("demo.light")
    heading("demo.next")
    say("demo.commands", workspace=workspace)
    return 0


def _collect(workspace: Path, listener: ConsoleListener) -> dict[str, object]:
    with as_file(files("memlm") / "demo_text") as folder:
        sources = [folder / "alice", folder / "time-machine", folder / "tang-poems.jsonl"]
        return collect_documents(workspace, *sources, listener=listener).__dict__


def _learn_and_write(workspace: Path, minutes: float, listener: ConsoleListener) -> None:
    heading("demo.train", minutes=minutes)
    try:
        model = load_model(workspace)
        say("demo.has_model", workspace=workspace)
    except NotFoundError:
        report = train_model(workspace, config=TrainConfig(minutes=minutes), listener=listener)
        print_train_report(report, workspace=workspace)
        if report.stopped_by:
            return
        model = load_model(workspace)
    for key, prompt in zip(("demo.generate", "demo.generate_zh"), _PROMPTS, strict=True):
        heading(key)
        written, trace = _write(workspace, model, prompt, listener)
        out.print(Text(written.prompt, style="dim"), end="")
        print_trace(trace)


def _write(
    workspace: Path, model: Model, prompt: str, listener: ConsoleListener
) -> tuple[Generation, Trace]:
    config = GenerateConfig(tokens=_TOKENS, seed=_SEED)
    written = generate_text(model, prompt, config=config, trace_in=workspace, listener=listener)[0]
    assert written.trace is not None  # it was asked for
    return written, written.trace


def _run_silently(workspace: Path, minutes: float) -> dict[str, object]:
    """Do all of it and return what came out, for programs."""
    with ConsoleListener() as listener:
        found: dict[str, object] = {"workspace": str(workspace)}
        found["characters"] = _collect(workspace, listener)["characters"]
        found["trace"] = trace_to_json(trace_text(workspace, _TRACED, listener=listener))
        if not is_installed("torch"):
            return found
        train_model(workspace, config=TrainConfig(minutes=minutes), listener=listener)
        model = load_model(workspace)
        texts = {}
        for prompt in _PROMPTS:
            written, trace = _write(workspace, model, prompt, listener)
            texts[prompt] = {"text": written.text} | trace_to_json(trace)
        return found | {"generated": texts}
