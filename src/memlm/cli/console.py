"""What people see: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from memlm import messages
from memlm.records import Rejected, SpanSource, Trace
from memlm.runtime import peak_gpu_bytes, peak_memory_bytes
from memlm.workflow import Listener

if TYPE_CHECKING:
    from memlm.train.loop import Step
    from memlm.train.run import TrainingRun

_WARNINGS = (
    "checkpoint_damaged", "crowded", "crowded_fewer_threads", "memorising", "resumed_inexact",
)  # fmt: skip
_SHOWN_REJECTED = 8
_SHOWN_SPANS = 10
_SHOWN_CHARACTERS = 60
_SHOWN_SAMPLE = 200
_SECONDS_BETWEEN_LINES = 10.0
_DRAWN_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_DRAWN_CONTROLS |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
# Overrides and isolates of direction could make a name read as another.
_DRAWN_CONTROLS |= dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
_KIND_STYLES = {"recited": "bold red", "recombined": "yellow", "new": ""}


class _Results(Console):
    """Standard output: whoever reads it ends us by leaving, as is the custom."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        raise BrokenPipeError  # rich would end us as if by a mistake of our own


class _Messages(Console):
    """Standard error: nobody has to listen, and a training goes on without (`2>&1 | head`)."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        with suppress(OSError):  # Python itself writes there once more, at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


out = _Results(file=None, highlight=False, soft_wrap=True)
err = _Messages(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object, *, default: Callable[[Any], object] | None = None) -> None:
    """Print one JSON object, as the only thing on standard output.

    `default` turns what JSON has no form for into what it has, one at a time.
    """  # Any: whatever the caller has put there
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    is_ascii = not encoding.startswith("utf")
    found = _without_infinities(value)
    print(json.dumps(found, ensure_ascii=is_ascii, allow_nan=False, default=default))


def _without_infinities(value: Any) -> Any:  # Any: JSON
    """Return `value` with null for what JSON has no number for (an interval without an end)."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _without_infinities(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinities(part) for part in value]
    return value


def print_error(code: str, message: str, hint: str, *, as_json: bool) -> None:
    """Print what went wrong: one line for people, one object for programs."""
    if as_json:
        print_json({"error": {"code": code, "message": message, "hint": hint}})
    else:
        said = messages.join(message, hint).replace("\n", " ")
        err.print(Text(f"memlm: {visible(said)}", style="red"))


def say(key: str, **values: Any) -> None:  # Any: what the sentence formats
    """Print a sentence on standard output."""
    out.print(Text(visible(messages.render(key, **values))))


def heading(key: str, **values: Any) -> None:  # Any: what the sentence formats
    """Print a sentence that opens a part."""
    out.print()
    out.print(Text(visible(messages.render(key, **values)), style="bold"))


def drop_reason(code: str) -> str:
    """Return why documents were dropped, without the numbers that differ from one to the next."""
    sentence = messages.find(f"dropped.{code}") or code
    return sentence.partition("{")[0].rstrip(" :：(（")


def print_rejected(rejected: tuple[Rejected, ...], *, count: int, path: object) -> None:
    """List some of `count` things that could not be read, and say where the rest are.

    One of each reason comes first: what is rare is not hidden behind what is common.
    """
    if not rejected:
        return
    err.print(Text(messages.render("note.rejected_some", count=count), style="yellow"))
    _print_problems(rejected)
    if count > _SHOWN_REJECTED:
        more = messages.render("note.rejected_more", count=count - _SHOWN_REJECTED, path=path)
        err.print(Text(visible(f"  {more}")))


def print_left_out(rejected: Sequence[Rejected]) -> None:
    """List some of what could not be read and is nowhere else listed."""
    if not rejected:
        return
    err.print(Text(messages.render("note.unread", count=len(rejected)), style="yellow"))
    _print_problems(rejected)
    if len(rejected) > _SHOWN_REJECTED:
        more = messages.render("note.unread_more", count=len(rejected) - _SHOWN_REJECTED)
        err.print(Text(f"  {more}"))


def _print_problems(rejected: Iterable[Rejected]) -> None:
    """List the first of each reason, then the second of each, and so on, up to a few."""
    seen: Counter[str] = Counter()
    ranked = []
    for item in rejected:
        ranked.append((seen[item.reason], item))
        seen[item.reason] += 1
    for _, item in sorted(ranked, key=lambda pair: pair[0])[:_SHOWN_REJECTED]:
        place = f"{item.source}:{item.position}" if item.position else item.source
        err.print(Text(visible(f"  {place}: {item.reason}")))


def print_shares(found: Mapping[str, Any]) -> None:  # Any: as `Trace` has them
    """Show the shares of a text, each in the colour that its characters have."""
    legend = Text()
    for kind, style in _KIND_STYLES.items():
        legend.append(messages.render(f"kind.{kind}"), style=style)
        legend.append(f" {found[f'{kind}_share']:.1%}   ")
    legend.append(messages.render("trace.characters", count=found["characters"]))
    out.print(legend)


def print_trace(trace: Trace) -> None:
    """Show a traced text in colour, its shares, and where its longest spans come from."""
    out.print(coloured(trace))
    out.print()
    print_shares(vars(trace))
    if trace.folded:
        from memlm.pages.trace import said_folds

        out.print(Text(said_folds(trace.folded), style="dim"))
    recited = [span for span in trace.spans if span.kind == "recited"]
    shown = sorted(recited or trace.spans, key=lambda span: span.start - span.end)[:_SHOWN_SPANS]
    if not shown:
        return
    heading("trace.longest_recited" if recited else "trace.longest_recombined")
    for span in shown:
        source = span.sources[0]
        line = Text("  ")
        line.append(
            messages.render(
                "trace.place", source=visible(source.source), start=source.start, end=source.end
            ),
            style="cyan",
        )
        if span.count > 1:
            line.append(" " + messages.render("trace.more_places", count=span.count - 1))
        if source.masked:
            line.append(f" {said_masked(source)}", style="magenta")
        line.append(f"  {quoted(span.text)}", style=_KIND_STYLES[span.kind])
        out.print(line)
    if len(recited) > len(shown):
        say("trace.more_spans", count=len(recited) - len(shown))


def said_masked(source: SpanSource) -> str:
    """Say which kinds of personal data in a source were masked; nothing where none were."""
    if not source.masked:
        return ""
    kinds = (messages.render(f"personal.{kind}") for kind in source.masked)
    return messages.render("trace.masked", kinds=messages.render("list.comma").join(kinds))


def coloured(trace: Trace) -> Text:
    """Return the traced text with the kind of every character as its colour."""
    text = Text(visible(trace.text))
    for kind in ("recombined", "recited"):  # the stronger is laid over the weaker
        for span in trace.spans:
            if span.kind == kind:
                text.stylize(_KIND_STYLES[kind], span.start, span.end)
    return text


def visible(text: str) -> str:
    """Return a text with control characters drawn, one for one: none may steer the terminal."""
    return text.translate(_DRAWN_CONTROLS)


def as_shown(text: str) -> str:
    """Return a text as a terminal may see it; a file or a pipe gets what was written."""
    return visible(text) if out.is_terminal else text


def shorten(text: str) -> str:
    """Return a text on one line, its middle left out if it is long."""
    line = _one_line(text)
    half = _SHOWN_CHARACTERS // 2
    return line if len(line) <= 2 * half else f"{line[:half]} … {line[-half:]}"


def quoted(text: str) -> str:
    """Return a text as `shorten` does, between quotes."""
    return f"“{shorten(text)}”"


def size(size_bytes: int) -> str:
    """Return a number of bytes for people: 1.5 MB, 2.3 GB."""
    is_large = size_bytes >= 1e9
    return f"{size_bytes / (1e9 if is_large else 1e6):,.1f} {'GB' if is_large else 'MB'}"


def trace_to_json(trace: Trace) -> dict[str, object]:
    """Return a trace as JSON, without repeating the text that was given, nor what pages show."""
    bare = asdict(replace(trace, text="", excerpts=()))
    left_out = {"text", "name", "excerpts"} | (set() if trace.shares else {"shares"})
    return {name: value for name, value in bare.items() if name not in left_out}


class _Bars(Progress):
    """Bars that have a line below them for what is measured, which no narrow terminal cuts off."""

    state = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the bars, then the line."""
        yield from super().get_renderables()
        # Wrapped here, because a console that wraps nothing (`soft_wrap`) would cut it off.
        yield from Text(self.state).wrap(err, err.width)


class ConsoleListener(Listener):
    """Shows progress: a moving bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._progress: _Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last_line = time.monotonic()
        self._held_out: float | None = None

    def __enter__(self) -> ConsoleListener:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def note(self, code: str, **values: Any) -> None:  # Any: what the sentence formats
        style = "yellow" if code in _WARNINGS else "dim"
        self._close_finished()
        err.print(Text(visible(messages.render(f"note.{code}", **values)), style=style))

    def progress(self, stage: str, done: int, total: int) -> None:
        if not err.is_terminal:
            if done < total and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
                self._last_line = time.monotonic()
                err.print(Text(f"{messages.render(f'stage.{stage}')} {done / total:.0%}"))
            return
        self._show(stage, done, total, "")

    def step(self, run: TrainingRun, step: Step, sample: Callable[[], str] | None) -> None:
        total = run.plan.steps
        if step.held_out_loss is not None:
            self._held_out = step.held_out_loss
        if err.is_terminal:
            self._show("train", step.step, total or 0, "  ".join(self._measured(run, step)))
        elif self._is_told(step, has_sample=sample is not None) or step.step == total:
            share = f"{step.step}/{total}" if total else f"{step.step}"
            parts = [*self._measured(run, step), *_time_left(run, step)]
            err.print(Text(f"{messages.render('stage.train')} {share}  {'  '.join(parts)}"))
        if sample is not None:
            said = messages.render("trace.sample", text=_one_line(sample())[:_SHOWN_SAMPLE])
            err.print(Text(f"  {said}", style="dim italic"))
        if step.step == total:
            self._close()

    def _is_told(self, step: Step, *, has_sample: bool) -> bool:
        """Say whether a step is worth a line: a validation, or a sample where there are none."""
        return step.held_out_loss is not None or (has_sample and self._held_out is None)

    def _measured(self, run: TrainingRun, step: Step) -> list[str]:
        """Return what is known of a training so far, each with its unit."""
        loss, held_out = run.per_character(step.loss), self._held_out
        if held_out is None:
            parts = [messages.render("trace.loss", loss=loss)]
        else:
            parts = [messages.render("trace.losses", loss=loss, held_out=held_out)]
        speed = run.plan.tokens_read(step.step) / max(step.seconds, 1e-9)
        parts.append(messages.render("trace.speed", speed=speed))
        for key, peak in (
            ("trace.memory", peak_memory_bytes()),
            ("trace.gpu_memory", peak_gpu_bytes(run.training.device)),
        ):
            if peak is not None:
                parts.append(messages.render(key, size=size(peak)))
        return parts

    def rest(self) -> None:
        """Take all bars away, before something else is written or typed."""
        self._close()

    def _show(self, stage: str, done: int, total: int, state: str) -> None:
        if self._progress is None:
            count = (MofNCompleteColumn(),) if stage == "train" else ()
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), *count)
            self._progress = _Bars(*columns, TimeRemainingColumn(), console=err, transient=True)
            self._progress.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(
                messages.render(f"stage.{stage}"), total=total or None
            )
        self._progress.state = state
        self._progress.update(self._tasks[stage], completed=done, total=total or None)

    def _close_finished(self) -> None:
        if self._progress is not None and self._progress.finished:
            self._close()

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress, self._tasks = None, {}


def _time_left(run: TrainingRun, step: Step) -> list[str]:
    """Return how long a training still takes, where that is known and not nothing."""
    if not run.plan.steps or step.step >= run.plan.steps:
        return []
    left = step.seconds / step.step * (run.plan.steps - step.step)
    return [messages.render("trace.left", minutes=int(left // 60), seconds=left % 60)]


def _one_line(text: str) -> str:
    return visible(text.replace("\n", "⏎"))
