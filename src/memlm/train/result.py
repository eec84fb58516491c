"""What a training leaves: its model, sealed, and a record of what came of it.

Only the first of several processes does this. A training that ended or was stopped leaves its last
weights, or its best where they are clearly better; one that diverged its best, or nothing.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from memlm.messages import render
from memlm.records import TrainReport
from memlm.storage import delete_folder, is_sealed, new_file, seal_files, unseal_files
from memlm.train.checkpoint import delete_unproven
from memlm.train.learned import learned_documents
from memlm.train.log import draw_curves
from memlm.train.validation import HeldOutLoss
from memlm.workspace import read_run

if TYPE_CHECKING:
    from memlm.train.run import TrainingRun

_MOST_CLOSING_TOKENS, _ENOUGH_CLOSING_TOKENS = 1_000_000, 20_000
_CLOSING_SHARE = 30  # validations: a few per cent of the time, however slow the network
_CLEARLY_BETTER = 0.995
_NOT_KEPT = ("model", "curves")  # in `run.json`: they change with the name of the folder


def write_result(run: TrainingRun, stopped_by: str | None) -> TrainReport:
    """Write the model of a training that ended or was stopped, and what came of it."""
    training, started = run.training, time.monotonic()
    training.network.load_weights(training.result())
    best_step = _take_best(run)
    report = _write_sealed(run, best_step, stopped_by, since=started)
    draw_curves(run.folder, per_character=run.per_character)
    # Said last: whoever is killed before this line has a training that can be resumed.
    _note_result(run, "stopped" if stopped_by else "finished", report)
    if stopped_by is None:
        delete_folder(run.folder / "checkpoints")
    return report


def keep_the_good(run: TrainingRun) -> str:
    """Keep of a training that diverged what is worth keeping, and say in words what it is.

    The last weights are not: they may be finite and of no use. The best on held-out text become
    the model, if they are better than guessing evenly.
    """
    training = run.training
    checkpoints = delete_unproven(run.folder / "checkpoints", training)
    draw_curves(run.folder, per_character=run.per_character)
    if training.best_weights is not None and training.best_loss < _even_loss(run):
        training.network.load_weights(training.best_weights)
        report = _write_sealed(run, training.best_step, None, since=time.monotonic())
        _note_result(run, "diverged", replace(report, train_nats_per_character=None))
        return render("kept.model", step=training.best_step, model=run.folder.name)
    run.note(status="diverged")
    if is_sealed(run.folder):
        return render("kept.earlier_model", model=run.folder.name)
    if checkpoints:
        return render("kept.checkpoint", checkpoint=checkpoints[0].name, model=run.folder.name)
    return render("kept.nothing")


def _even_loss(run: TrainingRun) -> float:
    sample = run.held_out(run.plan.validated_tokens)
    assert sample is not None  # there was a validation
    return sample.even_loss(run.plan.network.vocabulary_size).nats_per_character


def _note_result(run: TrainingRun, status: str, report: TrainReport) -> None:
    results = {name: value for name, value in asdict(report).items() if name not in _NOT_KEPT}
    run.note(status=status, results=results)


def _write_sealed(
    run: TrainingRun, best_step: int, stopped_by: str | None, *, since: float
) -> TrainReport:
    """Write the network as it is now as the model, and return what it is worth."""
    training = run.training
    closing = _closing_loss(run)
    # A model that was sealed when this training was stopped is no model while half replaced.
    unseal_files(run.folder)
    files = _write_model(run)
    report = TrainReport(
        model=run.folder.name,
        network=run.plan.network.kind,
        parameters=run.plan.network.num_parameters,
        steps=training.step,
        seconds=round(training.seconds + time.monotonic() - since, 2),
        held_out_nats_per_character=closing.nats_per_character if closing else None,
        held_out_bits_per_byte=closing.bits_per_byte if closing else None,
        held_out_characters=round(closing.characters) if closing else 0,
        train_nats_per_character=(
            run.per_character(training.recent_loss) if training.step else None
        ),
        best_step=best_step,
        stopped_by=stopped_by,
        task=read_run(run.folder).get("task"),
    )
    made_from = read_run(run.folder)["made_from"]
    seal_files(run.folder, files, made_from=made_from)
    return report


def _take_best(run: TrainingRun) -> int:
    """Put the best weights in place where they are clearly better than the last."""
    training = run.training
    if training.best_weights is None or training.best_step == training.step:
        return training.step
    sample = run.held_out(run.plan.validated_tokens)
    assert sample is not None
    last = sample.loss(training.network).nats_per_character
    # Whoever ends for want of gain asked for the best; else a tie goes to the last.
    if training.best_loss >= last * (1.0 if run.plan.patience else _CLEARLY_BETTER):
        return training.step
    training.network.load_weights(training.best_weights)
    return training.best_step


def _closing_loss(run: TrainingRun) -> HeldOutLoss | None:
    text = run.held_out(closing_tokens(run))
    return text.loss(run.training.network) if text else None


def closing_tokens(run: TrainingRun) -> int:
    """Held-out tokens that the last loss is of: all, where that takes little of the time."""
    enough = max(_ENOUGH_CLOSING_TOKENS, _CLOSING_SHARE * run.plan.validated_tokens)
    return min(run.facts.held_out_tokens, _MOST_CLOSING_TOKENS, enough)


def _write_model(run: TrainingRun) -> tuple[str, ...]:
    """Write the files of the model, and return their names."""
    written = run.origin.write(run.training.network, run.folder)
    with new_file(run.folder / "documents.bin") as temporary:
        np.union1d(learned_documents(run.store), run.origin.documents).tofile(temporary)
    return (*written, "documents.bin", "tokenizer.json")
