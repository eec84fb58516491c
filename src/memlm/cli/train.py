"""`memlm train`: from files to a model, in one command."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from memlm.cli.console import ConsoleListener, err, print_json, say, visible
from memlm.cli.options import (
    Collect,
    Common,
    CommonOptions,
    HoldOut,
    HoldOutOptions,
    Prepare,
    Teach,
    TeachOptions,
    Train,
    given_options,
)
from memlm.collect import CollectConfig
from memlm.messages import render
from memlm.prepare import PrepareConfig
from memlm.records import TrainReport
from memlm.runtime import process_place
from memlm.train import TrainConfig
from memlm.workflow import has_task, load_model, ready_blend, train_model

_EXIT_CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}


def train(
    workspace: Path,
    /,
    *sources: str,
    resume: bool = False,
    strict_resume: bool = False,
    tensorboard: bool = False,
    teaching: Teach = TeachOptions(),  # noqa: B008  # frozen
    training: Train = TrainConfig(),  # noqa: B008  # frozen
    cutting: Prepare = PrepareConfig(),  # noqa: B008  # frozen
    holding: HoldOut = HoldOutOptions(),  # noqa: B008  # frozen
    reading: Collect = CollectConfig(),  # noqa: B008  # frozen
    common: Common = CommonOptions(),  # noqa: B008  # frozen
) -> int:
    training.check()
    cutting.check()
    with ConsoleListener() as listener:
        report = train_model(
            workspace,
            *sources,
            config=training,
            collect=reading,
            prepare=cutting,
            held_out=holding.held_out,
            begin_with=teaching.begin_with,
            resume=resume,
            strict_resume=strict_resume,
            given=given_options(),
            tensorboard=tensorboard,
            listener=listener,
        )
        if process_place().is_first and report.stopped_by is None:
            model = load_model(workspace, report.model)
            if not has_task(model):  # the weights answer alone
                ready_blend(model, listener=listener)
    if not process_place().is_first:  # the first one tells how it ended
        return 0
    if common.json:
        print_json(asdict(report))
    else:
        print_train_report(report, workspace=workspace)
    return exit_code(report.stopped_by)


def exit_code(stopped_by: str | None) -> int:
    """Return what a command ends with whose training ended in time, or by this signal."""
    return _EXIT_CODES.get(stopped_by or "", 0)


def print_train_report(report: TrainReport, *, workspace: Path) -> None:
    """Say how a training ended and what to do next."""
    if report.stopped_by:
        values = {"signal": report.stopped_by, "step": report.steps, "model": report.model}
        said = render("note.stopped", workspace=workspace, **values)
        err.print(Text(visible(said)))
        if report.curves:
            err.print(Text(visible(render("train.curves", path=workspace / report.curves))))
        return
    say("note.trained", model=report.model, steps=report.steps, seconds=report.seconds)
    if report.held_out_nats_per_character is None or report.held_out_bits_per_byte is None:
        say("note.no_held_out")
    else:
        say(
            "note.held_out",
            nats=report.held_out_nats_per_character,
            bits=report.held_out_bits_per_byte,
            n=report.held_out_characters,
        )
    if report.best_step != report.steps:
        say("note.best_kept", step=report.best_step)
    if report.curves:
        say("train.curves", path=workspace / report.curves)
    say("train.next_of_task" if report.task else "train.next", workspace=workspace)
