"""One training in its folder: planned, run, checkpointed, and finished as a model.

models/<name>/  config.json  model.safetensors  tokenizer.json   the model
                documents.bin  ids of the documents that it learned from
                run.json     what it was made from, the plan, how it ended
                steps.jsonl  losses as they fell (`log.py`)
                curves.svg   the same drawn
                checkpoints/ until it is finished
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import torch

from memlm.errors import ConfigError, DivergedError, InputError, NotFoundError
from memlm.models.config import NetworkConfig
from memlm.prepare import PrepareConfig, TokenStore
from memlm.records import TrainReport
from memlm.runtime import describe_machine, processor_has_bf16, require_free_disk
from memlm.storage import delete_folder, growing_folder, is_sealed, machine_errors, write_json
from memlm.tasks import TaskKind
from memlm.train.answers import MOST_LABELS, Answers, count_targets, find_answers
from memlm.train.batches import TokenStream
from memlm.train.checkpoint import load_checkpoint, save_checkpoint
from memlm.train.config import TrainConfig
from memlm.train.distributed import Processes, cores_of_each
from memlm.train.forecast import Forecast, forecast_loss
from memlm.train.learned import (
    count_labels,
    data_facts,
    label_bias,
    labels_of_units,
    tokens_hash,
)
from memlm.train.log import LOG, cut_log, is_logged, log_line
from memlm.train.loop import Step, train_steps
from memlm.train.origin import Origin
from memlm.train.plan import DataFacts, TrainPlan
from memlm.train.recipe import make_plan
from memlm.train.result import closing_tokens, keep_the_good, write_result
from memlm.train.resume import check_options, machine_changes
from memlm.train.speed import expected_steps, measured_plan
from memlm.train.training import Training
from memlm.train.validation import HeldOutText
from memlm.workspace import read_run

# Options that the forecast knows nothing of.
_UNFORECAST = frozenset({
    "adaptive_softmax", "attention_window", "batch_size", "phases", "residual",
    "sequence_length",
    "average_weights", "clip_norm", "dropout", "layers", "learning_rate", "muon_learning_rate",
    "optimizer", "schedule", "weight_decay", "weight_dropout",
})  # fmt: skip
_CHECKPOINT_FACTOR = 5  # weights, two moments, best weights, and some room
_ADAPTER_FACTOR = 1  # of the weights beneath: ours are written once, merged; the change is small


class TrainingRun:
    """A training that has a folder; made by `start_run`, `resume_run` or `join_run`."""

    def __init__(
        self,
        folder: Path,
        store: TokenStore,
        plan: TrainPlan,
        config: TrainConfig,
        *,
        processes: Processes | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.folder, self.store, self.origin = folder, store, origin or Origin()
        self.processes = processes or Processes()
        self.facts = data_facts(store, has_task=plan.has_task)
        self.training = Training(
            plan,
            device=self.processes.choose_device(config.device),
            processes=self.processes,
            origin=self.origin,
        )
        self.damaged_checkpoints: tuple[str, ...] = ()
        self.machine_changes = ""
        """Why a resumed training is not bit-exact; empty if it is."""
        self._saved_step: int | None = None

    @property
    def plan(self) -> TrainPlan:
        """The plan in force: its number of steps is fixed while it runs."""
        return self.training.plan

    def steps(self, *, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Step]:
        """Train, write checkpoints and the log; yield after every step.

        Where several processes train, all of them take these steps, and the first writes.
        """
        training, stream = self.training, self._stream()
        is_new = training.step == 0 and self.origin.shape is None  # else its weights have it
        if is_new and self.plan.network.label_tokens:
            bias = torch.from_numpy(label_bias(self.store))
            training.network.get_parameter("label_bias").data.copy_(bias)
        run = train_steps(
            training,
            stream,
            self.held_out(self.plan.validated_tokens) if self.processes.is_first else None,
            closing_validations=closing_tokens(self) / max(1, self.plan.validated_tokens),
            should_stop=should_stop,
        )
        noted = self.plan
        log = self.folder / LOG if self.processes.is_first else Path(os.devnull)
        with machine_errors(log), log.open("a", encoding="utf-8") as lines:
            try:
                for step in run:
                    if is_logged(step, self.plan):
                        loss = self.per_character(step.loss)
                        lines.write(log_line(step, nats_per_character=loss))
                    if step.held_out_loss is not None:
                        lines.flush()
                    if self.plan != noted:  # what was left open has been measured, for good:
                        noted = self.plan  # nobody goes on from before it
                        self._save(lines)
                        self.note(plan=self.plan.to_json())
                    if self._is_checkpoint(step.step) and not training.steps_astray:
                        self._save(lines)
                    yield step
            except DivergedError as error:
                lines.flush()
                self._tell_what_is_kept(error)
                raise

    @contextmanager
    def undone_unless_begun(self) -> Iterator[None]:
        """Inside the block a failure before the first step leaves no folder: nothing was learned.

        A training that diverged keeps its folder, which tells that it did.
        """
        try:
            yield
        except DivergedError:
            raise
        except BaseException:
            if self.training.step == 0:
                delete_folder(self.folder)
            raise

    def forecast(self) -> Forecast | None:
        """Return what to expect of this training; None for what was not measured.

        Measured were the recipes that memlm chooses: with another rate or depth it is a guess.
        Where the time is given, a few steps that teach nothing tell how many there will be.
        """
        plan = self.plan
        if not _UNFORECAST.isdisjoint(read_run(self.folder)["config"]):
            return None
        if not isinstance(plan.network, NetworkConfig) or self.origin.shape is not None:
            return None

        def tokens_read() -> float:
            if plan.steps is not None:
                return plan.tokens_read(plan.steps)
            return expected_steps(self.training, self._stream()) * plan.tokens_per_step

        return forecast_loss(self.store, self.facts, plan.network, tokens_read=tokens_read)

    def finish(self, *, stopped_by: str | None = None) -> TrainReport:
        """Write the model, and what came of it; keep the checkpoints if it was stopped."""
        if stopped_by is not None:
            self._save()
        report = self.processes.together(
            lambda: asdict(write_result(self, stopped_by)) if self.processes.is_first else None
        )
        return TrainReport(**self.processes.broadcast(report))

    def _tell_what_is_kept(self, error: DivergedError) -> None:
        self.processes.first_does(lambda: error.values.update(kept=keep_the_good(self)))

    def per_character(self, nats_per_token: float) -> float:
        """Turn a loss per training token into one per character."""
        tokens, characters = self.facts.train_tokens, float(self.facts.train_characters)
        if self._answers is not None:
            tokens = self._answers.tokens(self.store.units_of("train"))
            characters = float(self._answers.characters.sum())
        return nats_per_token * tokens / max(1.0, characters)

    @cached_property
    def _answers(self) -> Answers | None:
        """What alone is learned, where that is less than all of the text."""
        return _learned_answers(self.store, self.plan)

    def note(self, **changes: object) -> None:
        """Change `run.json`."""
        if self.processes.is_first:
            write_json(self.folder / "run.json", read_run(self.folder) | changes)

    def begun(self) -> dict[str, Any]:  # Any: JSON values
        """Return what another process needs to know to join."""
        return {
            "model": self.folder.name,
            "tokenizer": self.store.folder.name,
            "tokens": tokens_hash(self.store),
            "plan": self.plan.to_json(),
            "step": self.training.step,
        }

    def take_up(self, *, threads: int | None, strict: bool) -> None:
        """Go on from the newest sound checkpoint, if there is one.

        Raises ConfigError if `strict` and the machine is not the one that wrote it.
        """
        found = load_checkpoint(self.folder / "checkpoints", self.training)
        machine = found.machine or read_run(self.folder).get("machine", {})
        if threads is None and machine.get("processes", 1) != self.processes.size:
            threads = cores_of_each(self.processes)  # what each of the others had fits no more
        if threads is not None:
            self.training.plan = replace(self.plan, threads=threads)
        torch.set_num_threads(self.plan.threads)
        self.damaged_checkpoints = found.damaged
        if found.machine is None:
            return
        now = describe_machine(
            self.plan.threads, device=self.training.device, processes=self.processes.size
        )
        self.machine_changes = machine_changes(found.machine, now)
        if strict and self.machine_changes:
            raise ConfigError("resume_inexact", changes=self.machine_changes)
        self._saved_step = self.training.step

    def _save(self, log: TextIO | None = None) -> None:
        """Write a checkpoint, unless this step has one; before it the log, which it relies on."""
        if log is not None and self.processes.is_first:  # that of the others leads nowhere
            log.flush()
            os.fsync(log.fileno())
        if self._saved_step != self.training.step:
            save_checkpoint(self.folder / "checkpoints", self.training)
            self._saved_step = self.training.step

    def _stream(self) -> TokenStream:
        return token_stream(self.store, self.plan)

    @cached_property
    def _held_out_answers(self) -> Answers | None:
        """What alone is measured, where that is less than all of the text."""
        return find_answers(self.store, "held_out") if self.plan.has_task else None

    def held_out_question(self, number: int) -> npt.NDArray[np.int64] | None:
        """Return the tokens of a held-out question, another for each number; None without tasks."""
        answers, units = self._held_out_answers, self.store.units_of("held_out")
        if answers is None or not len(units):
            return None
        place = number % len(units)
        start = int(units[place]["token_start"])
        asked = self.store.tokens[start : int(answers.first[place])]
        return asked.astype(np.int64) if len(asked) else None

    def held_out(self, most_tokens: int) -> HeldOutText | None:
        """Return held-out text to measure on, of about so many tokens; None where there is none."""
        if not self.facts.held_out_tokens:
            return None
        tokenizer = self.store.tokenizer
        return HeldOutText(
            self.store.tokens,
            self.store.units_of("held_out"),
            most_tokens=most_tokens,
            special=(tokenizer.end, *tokenizer.labels.values()),
            end=tokenizer.end,
            labels=(
                labels_of_units(self.store, "held_out") if self.plan.network.label_tokens else None
            ),
            answers=self._held_out_answers,
        )

    def _is_checkpoint(self, step: int) -> bool:
        every = self.plan.save_every
        return every is not None and (step % every == 0) and step != self.plan.steps


def token_stream(store: TokenStore, plan: TrainPlan) -> TokenStream:
    """Return the text as `plan` reads it."""
    answers = _learned_answers(store, plan)
    return TokenStream(
        store.tokens,
        store.units_of("train"),
        batch_size=plan.batch_size,
        sequence_length=plan.sequence_length,
        seed=plan.seed,
        labels=labels_of_units(store) if plan.network.label_tokens else None,
        counts_from=None if answers is None else answers.first,
    )


def _learned_answers(store: TokenStore, plan: TrainPlan) -> Answers | None:
    """Return what alone is learned of a task's examples; None where all of the text is."""
    is_part = plan.has_task and plan.loss_on == "target"
    return find_answers(store, "train") if is_part else None


def start_run(
    folder: Path,
    store: TokenStore,
    config: TrainConfig,
    *,
    made_from: Mapping[str, object],
    task: TaskKind | None = None,
    processes: Processes | None = None,
    origin: Origin | None = None,
) -> TrainingRun:
    """Plan a training of `store`'s tokens and give it the (new) folder; `task` is noted.

    Where several processes train, the first one does so, and the others follow by `join_run`.
    """
    config.check()
    if (folder / "run.json").exists():
        raise ConfigError("model_exists", model=folder.name)
    processes = processes or Processes()
    device = processes.choose_device(config.device)  # a wrong one is said before there is a folder
    origin = origin or Origin()
    facts = data_facts(store, has_task=task is not None)
    plan = _plan(folder, store, config, facts, device=device, processes=processes, origin=origin)
    torch.set_num_threads(plan.threads)
    # Built before there is a folder: the memory may have no room for it.
    run = TrainingRun(folder, store, plan, config, processes=processes, origin=origin)
    with growing_folder(folder) as temporary:
        write_json(temporary / "tokenizer.json", store.tokenizer.to_json())
        write_json(
            temporary / "run.json",
            {
                "started": datetime.now(UTC).isoformat(timespec="microseconds"),
                "status": "running",
                "made_from": dict(made_from) | {"tokens": tokens_hash(store)},
                "labels": count_labels(store),
                "task": task,
                "targets": count_targets(store, most=MOST_LABELS) if task == "classify" else None,
                "config": config.changed(),
                "origin": origin.about(),
                "plan": plan.to_json(),
                "machine": describe_machine(plan.threads, device=device, processes=processes.size),
            },
        )
    return run


def _plan(
    folder: Path,
    store: TokenStore,
    config: TrainConfig,
    facts: DataFacts,
    *,
    device: torch.device,
    processes: Processes,
    origin: Origin,
) -> TrainPlan:
    """Return the plan of a training that is to have this folder, whose disk has room for it."""
    if config.patience is not None and not facts.held_out_tokens:
        raise ConfigError("needs_held_out", option="--patience")
    cores = cores_of_each(processes)
    has_bf16 = device.type == "cpu" and processor_has_bf16()
    torch.set_num_threads(config.threads or cores)

    def make(**measured: float) -> TrainPlan:
        plan = make_plan(
            config,
            facts,
            cores=cores,
            processes=processes.size,
            is_on_gpu=device.type == "cuda",
            has_bf16=has_bf16,
            shape=origin.shape,
            **measured,
        )
        # Before a network is built to be measured.
        processes.check_lanes(min(phase.batch_size for phase in plan.all_phases))
        _require_room(folder, plan)
        return plan

    if config.steps is not None or config.epochs is not None:
        return make()
    return measured_plan(
        make,
        stream_of=lambda plan: token_stream(store, plan),
        device=device,
        processes=processes,
        may_choose_threads=config.threads is None and processes.size == 1,
        origin=origin,
    )


def _require_room(folder: Path, plan: TrainPlan) -> None:
    factor = _CHECKPOINT_FACTOR if plan.adapter_rank is None else _ADAPTER_FACTOR
    size = plan.network.num_parameters * 4 * factor
    with machine_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        require_free_disk(folder.parent, size_bytes=size)


def join_run(
    folder: Path,
    store: TokenStore,
    config: TrainConfig,
    *,
    begun: Mapping[str, Any],  # Any: JSON values
    processes: Processes,
    origin: Origin | None = None,
) -> TrainingRun:
    """Take part in a training that the first process has begun, as its `begun` tells.

    Raises InputError if the files here are not those that it has.
    """
    plan = TrainPlan.from_json(begun["plan"], path=folder / "run.json")
    run = TrainingRun(folder, store, plan, config, processes=processes, origin=origin)
    load_checkpoint(folder / "checkpoints", run.training)
    run.training.plan = plan
    torch.set_num_threads(plan.threads)
    if tokens_hash(store) != begun["tokens"] or run.training.step != begun["step"]:
        raise InputError("workspace_not_shared", path=folder, process=processes.rank)
    return run


def resume_run(
    folder: Path,
    store: TokenStore,
    config: TrainConfig,
    *,
    given: Collection[str] | None = None,
    prepare: PrepareConfig | None = None,
    strict: bool = False,
    processes: Processes | None = None,
    origin: Origin | None = None,
) -> TrainingRun:
    """Take up the training in `folder` from its newest sound checkpoint.

    Options of `config` that are in `given` were said (None: those that differ from their defaults),
    and so was what `prepare` does not leave open.
    Raises NotFoundError if there is nothing to take up, ConfigError if options differ from those it
    was started with or, if `strict`, it could not go on to the bit, InputError if the tokens are
    not those that it learns.
    """
    path = folder / "run.json"
    found = read_run(folder)
    if is_finished(folder, found):
        raise NotFoundError("resume_finished", model=folder.name)
    if found["made_from"]["tokens"] != tokens_hash(store):
        raise InputError("resume_other_tokens", model=folder.name)
    check_options(config, found["config"], given=given, prepare=prepare, store=store)
    plan = TrainPlan.from_json(found["plan"], path=path)
    run = TrainingRun(folder, store, plan, config, processes=processes, origin=origin)
    run.processes.check_lanes(min(phase.batch_size for phase in plan.all_phases))
    run.take_up(threads=config.threads, strict=strict)
    cut_log(folder, run.training.step)
    run.note(status="running")
    return run


def is_finished(folder: Path, run: Mapping[str, object]) -> bool:
    """Say whether the training in `folder`, whose `run.json` says `run`, has come to its end."""
    return run["status"] == "finished" and is_sealed(folder)
