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
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import torch

from memlm.errors import ConfigError, DivergedError, InputError, NotFoundError
from memlm.prepare import TokenStore
from memlm.records import TrainReport
from memlm.runtime import (
    available_cores,
    describe_machine,
    processor_has_bf16,
    require_free_disk,
)
from memlm.storage import (
    delete_folder,
    is_sealed,
    machine_errors,
    new_file,
    seal_files,
    unseal_files,
    write_json,
)
from memlm.train.batches import TokenStream
from memlm.train.checkpoint import load_checkpoint, save_checkpoint, save_tensors
from memlm.train.config import TrainConfig
from memlm.train.distributed import Processes
from memlm.train.forecast import Forecast, forecast_loss
from memlm.train.learned import (
    count_labels,
    data_facts,
    label_bias,
    labels_of_units,
    learned_documents,
    tokens_hash,
)
from memlm.train.log import LOG, cut_log, draw_curves, is_logged, log_line
from memlm.train.loop import Step, train_steps
from memlm.train.plan import TrainPlan
from memlm.train.recipe import make_plan
from memlm.train.resume import check_options, machine_changes
from memlm.train.speed import flops_per_second
from memlm.train.training import Training
from memlm.train.trials import extra_seconds, seconds_per_step
from memlm.train.validation import HeldOutLoss, HeldOutText
from memlm.workspace import read_run

MODEL_FILES = ("config.json", "documents.bin", "model.safetensors", "tokenizer.json")
_MOST_CLOSING_TOKENS, _ENOUGH_CLOSING_TOKENS = 1_000_000, 20_000
_CLOSING_SHARE = 30  # validations: a few per cent of the time, however slow the network
_CLEARLY_BETTER = 0.995
_SHARE_OF_STEPS = 0.9  # of the time; validations and updates take the rest
_NOT_KEPT = ("model", "curves")  # in `run.json`: they change with the name of the folder
_CHECKPOINT_FACTOR = 5  # weights, two moments, best weights, and some room


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
    ) -> None:
        self.folder, self.store = folder, store
        self.processes = processes or Processes()
        self.facts = data_facts(store)
        self.training = Training(
            plan, device=self.processes.choose_device(config.device), processes=self.processes
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
        if self.plan.network.label_tokens and training.step == 0:  # else the checkpoint has it
            bias = torch.from_numpy(label_bias(self.store))
            training.network.label_bias.data.copy_(bias)
        run = train_steps(
            training,
            stream,
            self._held_out(self.plan.validated_tokens) if self.processes.is_first else None,
            closing_validations=self._closing_tokens / max(1, self.plan.validated_tokens),
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
                    if self._is_checkpoint(step.step):
                        self._save(lines)
                    yield step
            except DivergedError as error:
                # Before the step that failed the weights were good; those that a validation found
                # wanting are the step's own work, and the last checkpoint goes before them.
                lines.flush()
                if error.values["step"] > training.step:
                    self._save(lines)
                self._draw_curves()
                self.note(status="diverged")
                raise

    def forecast(self) -> Forecast | None:
        """Return what to expect of this training; None for what was not measured.

        Where the time is given, a few steps that teach nothing tell how many there will be.
        """
        plan = self.plan

        def tokens_read() -> float:
            if plan.steps is not None:
                return plan.tokens_read(plan.steps)
            stream = self._stream()
            first = seconds_per_step(self.training, stream, plan)
            cost = first + extra_seconds(self.training, stream)  # of a mean step
            return _SHARE_OF_STEPS * 60 * (plan.minutes or 0) / cost * plan.tokens_per_step

        return forecast_loss(self.store, self.facts, plan.network, tokens_read=tokens_read)

    def finish(self, *, stopped_by: str | None = None) -> TrainReport:
        """Write the model, and what came of it; keep the checkpoints if it was stopped."""
        if stopped_by is not None:
            self._save()
        report = self.processes.together(
            lambda: asdict(self._write_result(stopped_by)) if self.processes.is_first else None
        )
        return TrainReport(**self.processes.broadcast(report))

    def _write_result(self, stopped_by: str | None) -> TrainReport:
        training, started = self.training, time.monotonic()
        training.network.load_weights(training.result())
        best_step = self._take_best()
        closing = self._closing_loss()
        # A model that was sealed when this training was stopped is no model while half replaced.
        unseal_files(self.folder)
        self._write_model()
        report = TrainReport(
            model=self.folder.name,
            network=self.plan.network.kind,
            parameters=self.plan.network.num_parameters,
            steps=training.step,
            seconds=round(training.seconds + time.monotonic() - started, 2),
            held_out_nats_per_character=closing.nats_per_character if closing else None,
            held_out_bits_per_byte=closing.bits_per_byte if closing else None,
            held_out_characters=round(closing.characters) if closing else 0,
            train_nats_per_character=(
                self.per_character(training.recent_loss) if training.step else None
            ),
            best_step=best_step,
            stopped_by=stopped_by,
        )
        made_from = read_run(self.folder)["made_from"]
        seal_files(self.folder, MODEL_FILES, made_from=made_from)
        self._draw_curves()
        # Said last: whoever is killed before this line has a training that can be resumed.
        results = {name: value for name, value in asdict(report).items() if name not in _NOT_KEPT}
        self.note(status="stopped" if stopped_by else "finished", results=results)
        if stopped_by is None:
            delete_folder(self.folder / "checkpoints")
        return report

    def per_character(self, nats_per_token: float) -> float:
        """Turn a loss per training token into one per character."""
        return nats_per_token * self.facts.train_tokens / max(1, self.facts.train_characters)

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
        return TokenStream(
            self.store.tokens,
            self.store.units_of("train"),
            batch_size=self.plan.batch_size,
            sequence_length=self.plan.sequence_length,
            seed=self.plan.seed,
            labels=labels_of_units(self.store) if self.plan.network.label_tokens else None,
        )

    def _held_out(self, most_tokens: int) -> HeldOutText | None:
        if not self.facts.held_out_tokens:
            return None
        tokenizer = self.store.tokenizer
        special = max([tokenizer.end, tokenizer.unknown or 0, *tokenizer.labels.values()])
        return HeldOutText(
            self.store.tokens,
            self.store.units_of("held_out"),
            most_tokens=most_tokens,
            first_text_token=special + 1,
            unknown=tokenizer.unknown,
            end=tokenizer.end,
        )

    def _is_checkpoint(self, step: int) -> bool:
        every = self.plan.checkpoint_every
        return every is not None and (step % every == 0) and step != self.plan.steps

    def _draw_curves(self) -> None:
        if self.processes.is_first:
            draw_curves(self.folder, per_character=self.per_character)

    def _take_best(self) -> int:
        """Put the best weights in place where they are clearly better than the last."""
        training = self.training
        if training.best_weights is None or training.best_step == training.step:
            return training.step
        sample = self._held_out(self.plan.validated_tokens)
        assert sample is not None
        last = sample.loss(training.network).nats_per_character
        # Whoever ends for want of gain asked for the best; else a tie goes to the last.
        if training.best_loss >= last * (1.0 if self.plan.patience else _CLEARLY_BETTER):
            return training.step
        training.network.load_weights(training.best_weights)
        return training.best_step

    def _closing_loss(self) -> HeldOutLoss | None:
        text = self._held_out(self._closing_tokens)
        return text.loss(self.training.network) if text else None

    @property
    def _closing_tokens(self) -> int:
        """Held-out tokens that the last loss is of: all, where that takes little of the time."""
        enough = max(_ENOUGH_CLOSING_TOKENS, _CLOSING_SHARE * self.plan.validated_tokens)
        return min(self.facts.held_out_tokens, _MOST_CLOSING_TOKENS, enough)

    def _write_model(self) -> None:
        weights = self.training.network.weights()
        with new_file(self.folder / "model.safetensors") as temporary:
            save_tensors(weights, temporary)
        write_json(self.folder / "config.json", self.plan.network.to_json())
        with new_file(self.folder / "documents.bin") as temporary:
            learned_documents(self.store).tofile(temporary)


def start_run(
    folder: Path,
    store: TokenStore,
    config: TrainConfig,
    *,
    made_from: Mapping[str, object],
    processes: Processes | None = None,
) -> TrainingRun:
    """Plan a training of `store`'s tokens and give it the (new) folder.

    Where several processes train, the first one does so, and the others follow by `join_run`.
    """
    config.check()
    processes = processes or Processes()
    device = processes.choose_device(config.device)  # a wrong one is said before there is a folder
    facts = data_facts(store)
    if config.patience is not None and not facts.held_out_tokens:
        raise ConfigError("needs_held_out", option="--patience")
    cores = cores_of_each(processes)
    has_bf16 = device.type == "cpu" and processor_has_bf16()
    torch.set_num_threads(config.threads or cores)
    plan = make_plan(
        config,
        facts,
        cores=cores,
        processes=processes.size,
        is_on_gpu=device.type == "cuda",
        has_bf16=has_bf16,
        flops_per_second=(
            flops_per_second(device, precision="bf16" if has_bf16 else "float32")
            if config.steps is None and config.epochs is None
            else None
        ),
    )
    processes.check_lanes(min(phase.batch_size for phase in plan.all_phases))
    torch.set_num_threads(plan.threads)
    size = plan.network.num_parameters * 4 * _CHECKPOINT_FACTOR
    with machine_errors(folder):
        folder.mkdir(parents=True)
        require_free_disk(folder, size_bytes=size)
    write_json(folder / "tokenizer.json", store.tokenizer.to_json())
    write_json(
        folder / "run.json",
        {
            "started": datetime.now(UTC).isoformat(timespec="microseconds"),
            "status": "running",
            "made_from": dict(made_from) | {"tokens": tokens_hash(store)},
            "labels": count_labels(store),
            "config": config.changed(),
            "plan": plan.to_json(),
            "machine": describe_machine(plan.threads, device=device, processes=processes.size),
        },
    )
    return TrainingRun(folder, store, plan, config, processes=processes)


def join_run(
    folder: Path,
    store: TokenStore,
    config: TrainConfig,
    *,
    begun: Mapping[str, Any],  # Any: JSON values
    processes: Processes,
) -> TrainingRun:
    """Take part in a training that the first process has begun, as its `begun` tells.

    Raises InputError if the files here are not those that it has.
    """
    plan = TrainPlan.from_json(begun["plan"], path=folder / "run.json")
    run = TrainingRun(folder, store, plan, config, processes=processes)
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
    strict: bool = False,
    processes: Processes | None = None,
) -> TrainingRun:
    """Take up the training in `folder` from its newest sound checkpoint.

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
    check_options(config, found["config"])
    plan = TrainPlan.from_json(found["plan"], path=path)
    run = TrainingRun(folder, store, plan, config, processes=processes)
    run.processes.check_lanes(min(phase.batch_size for phase in plan.all_phases))
    run.take_up(threads=config.threads, strict=strict)
    cut_log(folder, run.training.step)
    run.note(status="running")
    return run


def is_finished(folder: Path, run: Mapping[str, object]) -> bool:
    """Say whether the training in `folder`, whose `run.json` says `run`, has come to its end."""
    return run["status"] == "finished" and is_sealed(folder)


def cores_of_each(processes: Processes) -> int:
    """Return how many cores each of the processes on this machine has."""
    return max(1, available_cores() // processes.on_this_machine)


def is_memorising(train_loss: float, held_out_loss: float, best_loss: float) -> bool:
    """Say whether a network learns its text by heart: held-out loss rises while the other falls."""
    return held_out_loss > 1.02 * best_loss and train_loss < 0.85 * held_out_loss
