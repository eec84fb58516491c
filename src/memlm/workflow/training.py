"""Train: from tokens to a model, with all that has to be there first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from memlm.collect import CollectConfig, is_address
from memlm.errors import ConfigError, InputError, NotFoundError
from memlm.prepare import PrepareConfig, TokenStore
from memlm.records import TrainReport
from memlm.runtime import available_cores, choose_device, watch_signals
from memlm.storage import read_manifest
from memlm.train import TrainConfig
from memlm.workflow.collecting import collect_documents
from memlm.workflow.listener import Listener
from memlm.workflow.models import known_models, sound_runs
from memlm.workflow.opening import AnyWorkspace, workspace_to_fill
from memlm.workflow.preparing import open_tokens, prepare_documents
from memlm.workspace import Workspace, read_run

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
    resume: bool = False,
    strict_resume: bool = False,
    listener: Listener | None = None,
) -> TrainReport:
    """Train a network on the documents; collect `sources` and prepare first where that is needed.

    Ctrl-C and SIGTERM end it early with everything saved; `resume` goes on to the same result,
    which is the same to the bit on the same machine, and `strict_resume` insists on that.
    """
    resume = resume or strict_resume
    config, hears = config or TrainConfig(), listener or Listener()
    config.check()
    choose_device(config.device)
    from memlm.train.run import resume_run

    for source in sources:
        if not is_address(source) and not Path(source).expanduser().exists():
            raise NotFoundError("source_missing", path=source)
    with workspace_to_fill(workspace, create=bool(sources)) as opened:
        if config.name is not None and not resume and opened.model(config.name).exists():
            raise ConfigError("model_exists", model=config.name)
        with opened.writing():
            if sources:
                report = collect_documents(opened, *sources, config=collect, listener=listener)
                hears.note("collected", **asdict(report))
                for item in report.rejected:
                    hears.note("rejected", **asdict(item))
                more = report.documents_rejected - len(report.rejected)
                if more:
                    hears.note("rejected_more", count=more, path=opened.rejected_file)
            if resume:
                name = config.name or _unfinished(opened, hears)
                tokens = _tokens_of(opened, name)
                run = resume_run(opened.model(name), tokens, config, strict=strict_resume)
            else:
                prepare_documents(
                    opened, config=prepare, held_out=held_out, collect=collect, listener=listener
                )
                run = _new_run(opened, config)
                _say_what_was_reduced(run, config, hears)
            return _run_training(run, hears)


def _new_run(workspace: Workspace, config: TrainConfig) -> TrainingRun:
    from memlm.train.run import start_run

    tokenizer = workspace.settings()["tokenizer"]
    store = open_tokens(workspace.prepared(tokenizer))
    documents = read_manifest(store.folder)["made_from"]["documents"]
    name = config.name or _new_name(workspace, config)
    made_from = {"documents": documents, "tokenizer": tokenizer}
    return start_run(workspace.model(name), store, config, made_from=made_from)


def _say_what_was_reduced(run: TrainingRun, config: TrainConfig, listener: Listener) -> None:
    """Note each option of the batch that the text is too small for."""
    for name in ("batch_size", "sequence_length"):
        asked, used = getattr(config, name), getattr(run.plan, name)
        if asked is not None and used < asked:
            listener.note(
                "option_reduced",
                option="--" + name.replace("_", "-"),
                asked=asked,
                used=used,
                tokens=run.facts.train_tokens,
            )


def _run_training(run: TrainingRun, listener: Listener) -> TrainReport:
    from memlm.train.crowding import CrowdWatch
    from memlm.train.run import is_memorising

    listener.note("training", **_plan_facts(run))
    for name in run.damaged_checkpoints:
        listener.note("checkpoint_damaged", checkpoint=name)
    if run.training.step:
        listener.note("resumed", step=run.training.step)
    if run.machine_changes:
        listener.note("resumed_inexact", changes=run.machine_changes)
    planned, has_warned = run.plan, False
    crowd = CrowdWatch()
    with watch_signals() as signals:
        for step in run.steps(should_stop=lambda: signals.name is not None):
            _say_what_was_measured(planned, run.plan, listener)
            planned = run.plan
            if run.training.device.type == "cpu" and crowd.notices():
                _say_crowded(run, crowd.waiting, listener)
            listener.step(run, step, _sampler(run, step))
            if step.held_out_loss is not None and not has_warned:
                train_loss = run.per_character(step.loss)
                if is_memorising(train_loss, step.held_out_loss, run.training.best_loss):
                    has_warned = True
                    listener.note("memorising", train=train_loss, held_out=step.held_out_loss)
        if run.training.has_lost_patience:
            listener.note("patience_lost", step=run.training.step, validations=run.plan.patience)
        return run.finish(stopped_by=signals.name)


def _say_crowded(run: TrainingRun, waiting: float, listener: Listener) -> None:
    threads, cores = run.plan.threads, available_cores()
    fewer = cores if threads > cores else threads - 1
    code = "crowded_fewer_threads" if fewer else "crowded"
    listener.note(code, waiting=waiting, fewer=fewer, model=run.folder.name)


def _say_what_was_measured(before: TrainPlan, now: TrainPlan, listener: Listener) -> None:
    if before.precision is None or before.is_compiled is None:
        code = "arithmetic_compiled" if now.is_compiled else "arithmetic"
        listener.note(code, precision=now.precision)
    if before.steps is None and now.steps is not None:
        listener.note("plan_fixed", steps=now.steps)


def _sampler(run: TrainingRun, step: Step) -> Callable[[], str] | None:
    """Return what writes a sample after this step, at a few steps of the training only."""
    every = max(1, (run.plan.steps or 0) // _SAMPLES_WHILE_TRAINING)
    if run.plan.steps is None or step.step % every or step.step == run.plan.steps:
        return None

    def write() -> str:
        from memlm.generate import GenerateConfig, generate_texts
        from memlm.models.network import NetworkModel

        network = run.training.network
        config = GenerateConfig(tokens=_SAMPLE_TOKENS, seed=step.step, ignore_end=True)
        written = generate_texts(NetworkModel(network), run.store.tokenizer, "", config)
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
        "batch_size": run.plan.batch_size,
        "sequence_length": run.plan.sequence_length,
        "threads": run.plan.threads,
        "device": run.training.device,
    }


def _new_name(workspace: Workspace, config: TrainConfig) -> str:
    kind = "lstm" if config.network == "auto" else config.network
    number = 1
    while workspace.model(f"{kind}-{number}").exists():
        number += 1
    return f"{kind}-{number}"


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
