"""Train: from tokens to a model, with all that has to be there first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from memlm.collect import CollectConfig, is_address
from memlm.errors import ConfigError, NotFoundError
from memlm.prepare import PrepareConfig
from memlm.records import TrainReport
from memlm.runtime import available_cores, ready_torch, require_package, watch_signals
from memlm.train import TrainConfig
from memlm.workflow.beginning import (
    Resumption,
    TextToLearn,
    begin_run,
    join_training,
    resume_training,
    say_of_rejected,
)
from memlm.workflow.collecting import collect_documents
from memlm.workflow.listener import Listener, SilentListener
from memlm.workflow.opening import AnyWorkspace, workspace_to_fill
from memlm.workflow.teaching import check_teaching
from memlm.workspace import Workspace

if TYPE_CHECKING:
    from memlm.train.loop import Step
    from memlm.train.plan import TrainPlan
    from memlm.train.run import TrainingRun

_SAMPLES_WHILE_TRAINING = 5

_SAMPLE_TOKENS = 80


def train_model(
    workspace: AnyWorkspace,
    *sources: Path | str,
    config: TrainConfig | None = None,
    collect: CollectConfig | None = None,
    prepare: PrepareConfig | None = None,
    held_out: Iterable[Path | str] = (),
    begin_with: str | None = None,
    resume: bool = False,
    strict_resume: bool = False,
    given: Collection[str] | None = None,
    tensorboard: bool = False,
    listener: Listener | None = None,
) -> TrainReport:
    """Train a network on the documents; collect `sources` and prepare first where that is needed.

    Ctrl-C and SIGTERM end it early with everything saved; `resume` goes on to the same result,
    which is the same to the bit on the same machine, and `strict_resume` insists on that. Options
    that differ from those it began with are then refused. A config cannot tell a default that was
    said from one that was not, so that such a one passes; `given` names what was said.
    `begin_with` names a model, as `load_model` takes it, that is taught further: in its own tokens,
    all of its weights or, by `config.adapter`, a small change beside them. `tensorboard` writes
    event files beside the model, which needs that package. Processes that
    torchrun starts train together: the first does all the rest and is the only one that
    `listener` hears, and all return the same report.
    """
    config = config or TrainConfig()
    config.check()
    held_out, is_resumed = tuple(held_out), resume or strict_resume
    if is_resumed:
        _check_resuming(held_out)
    else:
        check_teaching(config, prepare, begin_with)
    ready_torch()
    if tensorboard:
        require_package("tensorboard", extra="tensorboard")
    from memlm.train.distributed import joined_processes

    with joined_processes(config.device) as processes, ExitStack() as held:
        hears = listener or Listener()
        if not processes.is_first:
            hears = SilentListener()

        def begin() -> TrainingRun | None:
            if not processes.is_first:
                return None
            _check_sources(sources)
            opened = held.enter_context(workspace_to_fill(workspace, create=bool(sources)))
            if config.name is not None and not is_resumed and opened.has_model(config.name):
                raise ConfigError("model_exists", model=config.name)
            held.enter_context(opened.writing())
            if sources:
                _collect(opened, sources, collect, hears)
            if is_resumed:
                wish = Resumption(
                    strict=strict_resume, given=given, prepare=prepare, begin_with=begin_with
                )
                return resume_training(opened, config, wish, hears, processes)
            text = TextToLearn(prepare, held_out, collect)
            run = begin_run(opened, config, text, begin_with, hears, processes)
            held.enter_context(run.undone_unless_begun())
            return run

        first_run = processes.together(begin)
        begun = processes.broadcast(first_run and first_run.begun())
        run = processes.together(
            lambda: first_run or join_training(workspace, config, begun, processes)
        )
        with _event_files(run, is_wished=tensorboard) as record:
            return _run_training(run, hears, record)


def _check_resuming(held_out: Collection[Path | str]) -> None:
    if held_out:
        raise ConfigError("options_exclude", one="--resume", other="--held-out")


def _check_sources(sources: Iterable[Path | str]) -> None:
    for source in sources:
        if not is_address(source) and not Path(source).expanduser().exists():
            raise NotFoundError("source_missing", path=source)


def _collect(
    workspace: Workspace,
    sources: Iterable[Path | str],
    config: CollectConfig | None,
    listener: Listener,
) -> None:
    report = collect_documents(workspace, *sources, config=config, listener=listener)
    listener.note("collected", **asdict(report))
    say_of_rejected(workspace, report, listener)


def _event_files(
    run: TrainingRun, *, is_wished: bool
) -> AbstractContextManager[Callable[[Step], None]]:
    from memlm.train.events import event_files

    return event_files(run) if is_wished and run.processes.is_first else nullcontext(_ignore)


def _ignore(step: Step) -> None:
    """What is done with a step where no event files are wished."""


def _run_training(
    run: TrainingRun, listener: Listener, record: Callable[[Step], None]
) -> TrainReport:
    from memlm.train.crowding import CrowdWatch
    from memlm.train.log import CURVES
    from memlm.train.validation import is_memorising

    _say_how_it_begins(run, listener)
    _say_what_it_knows(run, listener)
    planned, has_warned = run.plan, False
    crowd = CrowdWatch()
    with watch_signals() as signals:
        for step in run.steps(should_stop=lambda: signals.name is not None):
            _say_what_was_measured(planned, run.plan, listener)
            planned = run.plan
            if run.training.device.type == "cpu" and crowd.notices():
                _say_crowded(run, crowd.waiting, listener)
            record(step)
            listener.step(run, step, _sampler(run, step))
            if step.held_out_loss is not None and not has_warned:
                train_loss = run.per_character(step.loss)
                if is_memorising(train_loss, step.held_out_loss, run.training.best_loss):
                    has_warned = True
                    listener.note("memorising", train=train_loss, held_out=step.held_out_loss)
        if run.training.has_lost_patience:
            listener.note("patience_lost", step=run.training.step, validations=run.plan.patience)
        stopped_by = next(filter(None, run.processes.gather(signals.name)), None)
        report = run.finish(stopped_by=stopped_by)
    curves = run.folder / CURVES
    where = curves.relative_to(run.folder.parents[1]).as_posix()
    return replace(report, curves=where if curves.exists() else None)


def _say_how_it_begins(run: TrainingRun, listener: Listener) -> None:
    listener.note("training", **_plan_facts(run))
    if run.processes.size > 1:
        listener.note("processes", processes=run.processes.size, lanes=run.plan.batch_size)
    for name in run.damaged_checkpoints:
        listener.note("checkpoint_damaged", checkpoint=name)
    if run.training.step:
        listener.note("resumed", step=run.training.step)
    if run.machine_changes:
        listener.note("resumed_inexact", changes=run.machine_changes)
    if not run.training.step and run.processes.is_first and (told := run.forecast()):
        listener.note("forecast", **asdict(told))


def _say_what_it_knows(run: TrainingRun, listener: Listener) -> None:
    """Say the loss of the model that a teaching begins with, so that one sees what it brings."""
    if run.training.step or run.origin.shape is None or not run.processes.is_first:
        return
    held_out = run.held_out(run.plan.validated_tokens)
    if held_out is not None:
        with run.training.with_result() as network:
            loss = held_out.loss(network)
        listener.note("before_teaching", loss=loss.nats_per_character)


def _say_crowded(run: TrainingRun, waiting: float, listener: Listener) -> None:
    threads, cores = run.plan.threads, available_cores()
    fewer = cores if threads > cores else threads - 1
    code = "crowded_fewer_threads" if fewer else "crowded"
    workspace = run.folder.parents[1]
    listener.note(code, waiting=waiting, fewer=fewer, model=run.folder.name, workspace=workspace)


def _say_what_was_measured(before: TrainPlan, now: TrainPlan, listener: Listener) -> None:
    if before.precision is None or before.is_compiled is None:
        code = "arithmetic_compiled" if now.is_compiled else "arithmetic"
        listener.note(code, precision=now.precision)
    if before.steps is None and now.steps is not None:
        listener.note("plan_fixed", steps=now.steps)
    elif before.steps != now.steps:
        listener.note("plan_put_right", before=before.steps, steps=now.steps)


def _sampler(run: TrainingRun, step: Step) -> Callable[[], str] | None:
    """Return what writes a sample after this step, at a few steps of the training only."""
    every = max(1, (run.plan.steps or 0) // _SAMPLES_WHILE_TRAINING)
    if run.plan.steps is None or step.step % every or step.step == run.plan.steps:
        return None

    def write() -> str:
        from memlm.generate import GenerateConfig, generate_texts

        network, tokenizer = run.training.network.eval(), run.store.tokenizer
        asked = run.held_out_question(step.step)
        config = GenerateConfig(tokens=_SAMPLE_TOKENS, seed=step.step, ignore_end=asked is None)
        with run.origin.reading(network) as reader:
            if asked is None:
                written = generate_texts(reader, tokenizer, "", config)[0].text
            else:
                answers = generate_texts(
                    reader, tokenizer, "", replace(config, beams=1),
                    prompt_ids=asked,
                )  # fmt: skip
                written = tokenizer.decode(asked.tolist()) + answers[0].text
        network.train()
        return written

    return write


def _plan_facts(run: TrainingRun) -> dict[str, object]:
    shape = run.plan.network
    return {
        "model": run.folder.name,
        "network": shape.kind,
        "parameters": shape.num_parameters,
        "layers": shape.layers,
        "hidden_width": shape.hidden_width,
        "tokens": run.facts.train_tokens,
        "batches": ", ".join(
            f"{phase.batch_size} x {phase.sequence_length}" for phase in run.plan.all_phases
        ),
        "threads": run.plan.threads,
        "device": run.training.device,
    }
