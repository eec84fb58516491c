"""Train: from tokens to a model, with all that has to be there first."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlm.collect import CollectConfig, is_address
from memlm.errors import ConfigError, InputError, NotFoundError
from memlm.prepare import PrepareConfig, TokenStore
from memlm.records import CollectReport, PrepareReport, TrainReport
from memlm.runtime import available_cores, ready_torch, require_package, watch_signals
from memlm.storage import read_manifest
from memlm.train import TrainConfig
from memlm.train.schedule import parse_phases
from memlm.workflow.collecting import collect_documents
from memlm.workflow.listener import Listener, SilentListener
from memlm.workflow.models import known_models, sound_runs
from memlm.workflow.opening import AnyWorkspace, as_workspace, workspace_to_fill
from memlm.workflow.own_tokens import as_it_cuts
from memlm.workflow.preparing import (
    open_tokens,
    prepare_documents,
    say_what_cleaning_took,
)
from memlm.workflow.teaching import (
    check_teaching,
    check_tokens,
    model_to_teach,
    origin_again,
    teaching_origin,
)
from memlm.workspace import Workspace, read_run

if TYPE_CHECKING:
    from memlm.train.distributed import Processes
    from memlm.train.loop import Step
    from memlm.train.origin import Origin
    from memlm.train.plan import TrainPlan
    from memlm.train.run import TrainingRun

_SAMPLES_WHILE_TRAINING = 5

_SAMPLE_TOKENS = 80

_TAIL = re.compile(r"(-(tuned|lora))?-([0-9]+|[0-9a-f]{8})$")
_LONGEST_STEM = 100  # of a name: a folder has at most 255 bytes


@dataclass(frozen=True, kw_only=True)
class _Resumption:
    """How a training is to be taken up: see `resume_run`."""

    strict: bool
    given: Collection[str] | None
    prepare: PrepareConfig | None


@dataclass(frozen=True)
class _TextToLearn:
    """How the text of a training is to be prepared."""

    prepare: PrepareConfig | None
    held_out: tuple[Path | str, ...]
    collect: CollectConfig | None


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
        _check_resuming(held_out, begin_with)
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
                wish = _Resumption(strict=strict_resume, given=given, prepare=prepare)
                return _resumed_run(opened, config, wish, hears, processes)
            text = _TextToLearn(prepare, held_out, collect)
            run = _begun_run(opened, config, text, begin_with, hears, processes)
            held.enter_context(run.undone_unless_begun())
            return run

        first_run = processes.together(begin)
        begun = processes.broadcast(first_run and first_run.begun())
        run = processes.together(
            lambda: first_run or _joined_run(workspace, config, begun, processes)
        )
        with _event_files(run, is_wished=tensorboard) as record:
            return _run_training(run, hears, record)


def _check_resuming(held_out: Collection[Path | str], begin_with: str | None) -> None:
    for option, value in (("--held-out", held_out), ("--from", begin_with)):
        if value:
            raise ConfigError("options_exclude", one="--resume", other=option)


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
    _say_of_rejected(workspace, report, listener)


def _say_of_rejected(
    workspace: Workspace, report: CollectReport | PrepareReport, listener: Listener
) -> None:
    """Note what was rejected, a line for each of the first."""
    for item in report.rejected:
        listener.note("rejected", **asdict(item))
    more = report.documents_rejected - len(report.rejected)
    if more:
        listener.note("rejected_more", count=more, path=workspace.rejected_file)


def _begun_run(
    workspace: Workspace,
    config: TrainConfig,
    text: _TextToLearn,
    begin_with: str | None,
    listener: Listener,
    processes: Processes,
) -> TrainingRun:
    """Prepare what is to be learned, and begin: with random weights, or the model that is named."""
    if begin_with is None:
        name = _prepared(workspace, text, text.prepare, listener)
        return _new_run(workspace, name, config, listener, processes, None)
    last = workspace.settings().get("tokenizer")
    pupil = model_to_teach(workspace, begin_with, listener)
    name = _prepared(workspace, text, as_it_cuts(pupil, text.prepare or PrepareConfig()), listener)
    if last is not None:  # whoever trains anew cuts text as before
        workspace.remember(tokenizer=last)
    check_tokens(pupil, open_tokens(workspace.prepared(name)), listener)
    origin = teaching_origin(workspace, pupil, begin_with, config)
    return _new_run(workspace, name, config, listener, processes, origin)


def _prepared(
    workspace: Workspace, text: _TextToLearn, config: PrepareConfig | None, listener: Listener
) -> str:
    """Prepare the documents, and return the name of their tokens."""
    report = prepare_documents(
        workspace,
        config=config,
        held_out=text.held_out,
        collect=text.collect,
        listener=listener,
    )
    _say_of_rejected(workspace, report, listener)
    say_what_cleaning_took(report, listener)
    return report.tokenizer


def _new_run(
    workspace: Workspace,
    tokenizer: str,
    config: TrainConfig,
    listener: Listener,
    processes: Processes,
    origin: Origin | None,
) -> TrainingRun:
    from memlm.train.run import start_run

    store = open_tokens(workspace.prepared(tokenizer))
    documents = read_manifest(store.folder)["made_from"]["documents"]
    stem = config.network
    if origin is not None:
        stem = _stem_of_taught(origin, config)
    elif stem == "auto":
        stem = _chosen_network(store, config, listener, processes)
    name = config.name or _new_name(workspace, stem)
    run = start_run(
        workspace.model(name),
        store,
        config,
        made_from={"documents": documents, "tokenizer": tokenizer},
        processes=processes,
        origin=origin,
    )
    _say_what_was_reduced(run, config, listener)
    return run


def _resumed_run(
    workspace: Workspace,
    config: TrainConfig,
    wish: _Resumption,
    listener: Listener,
    processes: Processes,
) -> TrainingRun:
    from memlm.train.run import resume_run

    name = config.name or _unfinished(workspace, listener)
    about = read_run(workspace.model(name)) if workspace.has_model(name) else {}
    return resume_run(
        workspace.model(name),
        _tokens_of(workspace, name),
        config,
        given=wish.given,
        prepare=wish.prepare,
        strict=wish.strict,
        processes=processes,
        origin=origin_again(workspace, about.get("origin")),
    )


def _joined_run(
    workspace: AnyWorkspace,
    config: TrainConfig,
    begun: Mapping[str, Any],  # Any: JSON values
    processes: Processes,
) -> TrainingRun:
    """Return the run that the first process has begun, as another one takes part in it."""
    from memlm.train.run import join_run

    try:
        opened = as_workspace(workspace)
        tokens = open_tokens(opened.prepared(begun["tokenizer"]))
    except NotFoundError as error:
        path = workspace.path if isinstance(workspace, Workspace) else workspace
        raise InputError("workspace_not_shared", path=path, process=processes.rank) from error
    folder = opened.model(begun["model"])
    origin = origin_again(opened, read_run(folder).get("origin"))
    return join_run(folder, tokens, config, begun=begun, processes=processes, origin=origin)


def _say_what_was_reduced(run: TrainingRun, config: TrainConfig, listener: Listener) -> None:
    """Note each option that the text is too small for, or that means nothing to what auto chose."""
    plan = run.plan
    numbers: list[tuple[str, int | str | None, int | str]] = [
        ("--batch-size", config.batch_size, plan.batch_size),
        ("--sequence-length", config.sequence_length, plan.sequence_length),
    ]
    if config.phases is not None:
        both = zip(parse_phases(config.phases), plan.phases, strict=True)
        numbers += [("--phases", asked.size, used.size) for asked, used in both]
    for option, asked, used in numbers:
        if asked is not None and used != asked:
            values = {"asked": asked, "used": used, "tokens": run.facts.train_tokens}
            listener.note("option_reduced", option=option, **values)
    if run.origin.shape is None:
        for option, other in config.idle_options(plan.network.kind):
            listener.note("option_idle", option=option, other=other)


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

        network = run.training.network.eval()
        config = GenerateConfig(tokens=_SAMPLE_TOKENS, seed=step.step, ignore_end=True)
        with run.origin.reading(network) as reader:
            written = generate_texts(reader, run.store.tokenizer, "", config)
        network.train()
        return written[0].text

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


def _chosen_network(
    store: TokenStore, config: TrainConfig, listener: Listener, processes: Processes
) -> str:
    """Return what `auto` stands for, and say why."""
    from memlm.train.distributed import cores_of_each
    from memlm.train.learned import data_facts
    from memlm.train.recipe import network_choice

    choice = network_choice(
        config, data_facts(store), cores=cores_of_each(processes), processes=processes.size
    )
    (best, loss), (second, other), *_ = choice.losses.items()
    listener.note(
        "auto_network",
        network=best,
        loss=loss,
        second=second,
        other=other,
        characters=choice.characters,
        minutes=choice.minutes,
    )
    return choice.network


def _stem_of_taught(origin: Origin, config: TrainConfig) -> str:
    """Return what a taught model is called before its number: what it was, and how it was taught.

    The hash that a brought model carries says nothing to people, and the number of one that was
    trained here would only be followed by another.
    """
    stem = str((origin.about() or {})["model"])
    return f"{_TAIL.sub('', stem)}-{'tuned' if config.adapter == 'none' else config.adapter}"


def _new_name(workspace: Workspace, network: str) -> str:
    """Return a free name that says the network; no name of a model has a plus."""
    stem, number = network.replace("+", "-")[:_LONGEST_STEM], 1
    while workspace.model(f"{stem}-{number}").exists():
        number += 1
    return f"{stem}-{number}"


def _unfinished(workspace: Workspace, listener: Listener) -> str:
    """Return the newest training that can go on; one that diverged would only do so again."""
    from memlm.train.run import is_finished

    for name, run in sound_runs(workspace, listener)[::-1]:
        if run["status"] != "diverged" and not is_finished(workspace.model(name), run):
            return name
    raise NotFoundError("nothing_to_resume", path=workspace.path)


def _tokens_of(workspace: Workspace, model: str) -> TokenStore:
    path = workspace.model(model) / "run.json"
    if not path.exists():
        raise NotFoundError("model_missing", model=model, known=known_models(workspace))
    folder = workspace.prepared(read_run(path.parent)["made_from"]["tokenizer"])
    if not folder.exists():
        raise InputError("resume_other_tokens", model=model)
    return open_tokens(folder)
