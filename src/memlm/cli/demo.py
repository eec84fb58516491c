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
    visible,
)
from memlm.cli.options import Common, CommonOptions
from memlm.cli.train import exit_code, print_train_report
from memlm.errors import NotFoundError
from memlm.generate.config import GenerateConfig
from memlm.records import Generation, Trace, TrainReport
from memlm.runtime import is_installed
from memlm.train import TrainConfig
from memlm.workflow import (
    MEMORY,
    Model,
    collect_documents,
    ensure_model,
    generate_text,
    load_model,
    ready_blend,
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
    started, config = time.monotonic(), TrainConfig(minutes=minutes)
    config.check()
    if common.json:
        found, stopped_by = _run_silently(workspace, config)
        print_json(found | {"seconds": time.monotonic() - started})
        return exit_code(stopped_by)
    out.print(Text(f"{'—' * 3} ", style="dim"), end="")
    say("demo.welcome")
    with ConsoleListener() as listener:
        heading("demo.collect")
        say("note.collected", **_collect(workspace, listener))
        heading("demo.trace")
        say("demo.reading")
        out.print()
        print_trace(trace_text(workspace, _TRACED, listener=listener))
        heading("demo.remember")
        for prompt, text in _remember(workspace, listener).items():
            out.print(Text(prompt, style="dim"), end="")
            out.print(Text(visible(text)))
        if is_installed("torch"):
            stopped_by = _learn_and_write(workspace, config, listener)
            if stopped_by is not None:
                return exit_code(stopped_by)
        else:
            heading("demo.light")
    heading("demo.next")
    say("demo.commands", workspace=workspace)
    return 0


def _collect(workspace: Path, listener: ConsoleListener) -> dict[str, object]:
    with as_file(files("memlm") / "demo_text") as folder:
        sources = [folder / "alice", folder / "time-machine", folder / "tang-poems.jsonl"]
        return collect_documents(workspace, *sources, listener=listener).__dict__


def _remember(workspace: Path, listener: ConsoleListener) -> dict[str, str]:
    """Return what the memory writes, which has not been trained."""
    memory = ensure_model(workspace, MEMORY, listener=listener)
    config = GenerateConfig(tokens=_TOKENS, seed=_SEED)
    return {
        prompt: generate_text(memory, prompt, config=config, listener=listener)[0].text
        for prompt in _PROMPTS
    }


def _learn(
    workspace: Path, config: TrainConfig, listener: ConsoleListener
) -> tuple[Model | None, TrainReport | None]:
    """Return the model that is there, or a new one and how its training went; None if stopped."""
    try:
        return load_model(workspace, listener=listener), None
    except NotFoundError:
        report = train_model(workspace, config=config, listener=listener)
    if report.stopped_by:
        return None, report
    model = load_model(workspace, report.model)
    ready_blend(model, listener=listener)
    return model, report


def _learn_and_write(workspace: Path, config: TrainConfig, listener: ConsoleListener) -> str | None:
    """Show it to people; return the signal that stopped it, if one did."""
    heading("demo.train", minutes=config.minutes)
    model, report = _learn(workspace, config, listener)
    if report is None:
        say("demo.has_model", workspace=workspace)
    else:
        print_train_report(report, workspace=workspace)
    if model is None:
        return report.stopped_by if report else None
    for key, prompt in zip(("demo.generate", "demo.generate_zh"), _PROMPTS, strict=True):
        heading(key)
        written, trace = _write(workspace, model, prompt, listener)
        out.print(Text(written.prompt, style="dim"), end="")
        print_trace(trace)
    return None


def _write(
    workspace: Path, model: Model, prompt: str, listener: ConsoleListener
) -> tuple[Generation, Trace]:
    config = GenerateConfig(tokens=_TOKENS, seed=_SEED)
    written = generate_text(model, prompt, config=config, trace_in=workspace, listener=listener)[0]
    assert written.trace is not None  # it was asked for
    return written, written.trace


def _run_silently(workspace: Path, config: TrainConfig) -> tuple[dict[str, object], str | None]:
    """Do all of it; return what came out, for programs, and the signal that stopped it."""
    with ConsoleListener() as listener:
        found: dict[str, object] = {"workspace": str(workspace)}
        found["characters"] = _collect(workspace, listener)["characters"]
        found["trace"] = trace_to_json(trace_text(workspace, _TRACED, listener=listener))
        found["remembered"] = _remember(workspace, listener)
        if not is_installed("torch"):
            return found, None
        model, report = _learn(workspace, config, listener)
        if model is None:
            stopped_by = report.stopped_by if report else None
            return found | {"stopped_by": stopped_by}, stopped_by
        texts = {}
        for prompt in _PROMPTS:
            written, trace = _write(workspace, model, prompt, listener)
            texts[prompt] = {"text": written.text} | trace_to_json(trace)
        return found | {"generated": texts}, None
