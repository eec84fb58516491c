"""Begin a training: prepare its text, choose its network and its name; or take it up again."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlm.collect import CollectConfig
from memlm.errors import InputError, NotFoundError
from memlm.models import NetworkConfig
from memlm.prepare import PrepareConfig, TokenStore
from memlm.records import CollectReport, PrepareReport
from memlm.storage import read_manifest
from memlm.train import TrainConfig
from memlm.train.schedule import parse_phases
from memlm.workflow.listener import Listener
from memlm.workflow.models import known_models, sound_runs
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of
from memlm.workflow.own_tokens import as_it_cuts
from memlm.workflow.preparing import (
    open_tokens,
    prepare_documents,
    say_what_cleaning_took,
)
from memlm.workflow.teaching import (
    check_same_origin,
    check_tokens,
    model_to_teach,
    origin_again,
    teaching_origin,
)
from memlm.workspace import Workspace, read_run

if TYPE_CHECKING:
    from memlm.train.distributed import Processes
    from memlm.train.origin import Origin
    from memlm.train.plan import DataFacts
    from memlm.train.run import TrainingRun

_TAIL = re.compile(r"(-(tuned|lora))?-([0-9]+|[0-9a-f]{8})$")
_LONGEST_STEM = 100  # of a name: a folder has at most 255 bytes


@dataclass(frozen=True, kw_only=True)
class Resumption:
    """How a training is to be taken up: see `resume_run`."""

    strict: bool
    given: Collection[str] | None
    prepare: PrepareConfig | None
    begin_with: str | None


@dataclass(frozen=True)
class TextToLearn:
    """How the text of a training is to be prepared."""

    prepare: PrepareConfig | None
    held_out: tuple[Path | str, ...]
    collect: CollectConfig | None


def begin_run(
    workspace: Workspace,
    config: TrainConfig,
    text: TextToLearn,
    begin_with: str | None,
    listener: Listener,
    processes: Processes,
) -> TrainingRun:
    """Prepare what is to be learned, and begin: with random weights, or the model that is named."""
    if begin_with is None:
        name = _prepared(workspace, text, text.prepare, listener)
        return _new_run(workspace, name, config, listener, processes, None)
    # In a function of its own: the model as it was loaded is let go before the network is built.
    origin, name = _pupil(workspace, config, text, begin_with, listener)
    return _new_run(workspace, name, config, listener, processes, origin)


def _pupil(
    workspace: Workspace,
    config: TrainConfig,
    text: TextToLearn,
    begin_with: str,
    listener: Listener,
) -> tuple[Origin, str]:
    """Return the model that is named, to begin with, and the name of the documents as it cuts them.

    What it cannot be taught is said before they are prepared, which may take long.
    """
    model = model_to_teach(workspace, begin_with, listener)
    origin = teaching_origin(workspace, model, begin_with, config)
    last = workspace.settings().get("tokenizer")
    name = _prepared(workspace, text, as_it_cuts(model, text.prepare or PrepareConfig()), listener)
    workspace.remember(tokenizer=last)  # whoever trains anew cuts text as if this had not been
    with documents_of(workspace) as documents:
        unknown = documents.labels().keys() - model.tokenizer.labels.keys()
        count = sum(documents.labels()[label] for label in unknown)
    if count:
        listener.note("teaching_without_labels", model=model.name, count=count)
    check_tokens(model, origin, open_tokens(workspace.prepared(name)), listener)
    return origin, name


def _prepared(
    workspace: Workspace, text: TextToLearn, config: PrepareConfig | None, listener: Listener
) -> str:
    """Prepare the documents, and return the name of their tokens."""
    report = prepare_documents(
        workspace,
        config=config,
        held_out=text.held_out,
        collect=text.collect,
        listener=listener,
    )
    say_of_rejected(workspace, report, listener)
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
    from memlm.train.learned import data_facts
    from memlm.train.run import start_run

    store = open_tokens(workspace.prepared(tokenizer))
    documents = read_manifest(store.folder)["made_from"]["documents"]
    stem = config.network
    if origin is not None:
        stem = _stem_of_taught(origin, config)
    elif stem == "auto":
        facts = data_facts(store, has_task=workspace.task is not None)
        stem = _chosen_network(facts, config, listener, processes)
    name = config.name or _new_name(workspace, stem)
    run = start_run(
        workspace.model(name),
        store,
        config,
        made_from={"documents": documents, "tokenizer": tokenizer},
        task=workspace.task,
        processes=processes,
        origin=origin,
    )
    _say_what_was_reduced(run, config, listener)
    return run


def resume_training(
    workspace: Workspace,
    config: TrainConfig,
    wish: Resumption,
    listener: Listener,
    processes: Processes,
) -> TrainingRun:
    from memlm.train.run import resume_run

    name = config.name or _unfinished(workspace, listener)
    about = read_run(workspace.model(name)) if workspace.has_model(name) else {}
    check_same_origin(workspace, about.get("origin"), wish.begin_with)
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


def join_training(
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
    if config.muon_learning_rate is not None and plan.optimizer != "muon":
        other = f"--optimizer {plan.optimizer}"
        listener.note("option_idle", option="--muon-learning-rate", other=other)
    if isinstance(plan.network, NetworkConfig):
        for option, other in config.idle_options(plan.network.kind):
            listener.note("option_idle", option=option, other=other)


def say_of_rejected(
    workspace: Workspace, report: CollectReport | PrepareReport, listener: Listener
) -> None:
    """Note what was rejected, a line for each of the first."""
    for item in report.rejected:
        listener.note("rejected", **asdict(item))
    more = report.documents_rejected - len(report.rejected)
    if more:
        listener.note("rejected_more", count=more, path=workspace.rejected_file)


def _chosen_network(
    facts: DataFacts, config: TrainConfig, listener: Listener, processes: Processes
) -> str:
    """Return what `auto` stands for, and say why."""
    from memlm.train.distributed import cores_of_each
    from memlm.train.recipe import network_choice

    choice = network_choice(config, facts, cores=cores_of_each(processes), processes=processes.size)
    if not choice.losses:
        listener.note("auto_network_of_task", network=choice.network)
        return choice.network
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
