"""Evaluate: how good is what a model says of a file whose answers are known?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memlm.collect import CollectConfig
from memlm.errors import ConfigError, InputError
from memlm.generate.answer_config import AnswerConfig
from memlm.records import SourceText, TaskAnswer, TaskFindings
from memlm.runtime import require_package
from memlm.storage import new_file
from memlm.tasks import TaskKind, read_example
from memlm.workflow.answering import Answerer, task_of_model
from memlm.workflow.blending import blended_predictor
from memlm.workflow.known_answers import labelled_texts, task_texts
from memlm.workflow.learned import count_collected
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, Model
from memlm.workflow.opening import AnyWorkspace
from memlm.workflow.showing import check_page_place

if TYPE_CHECKING:
    from memlm.workflow.measuring import Measured, Pair, ReplyLoss

_NEEDED = {"translate": "sacrebleu", "summarise": "sacrebleu", "classify": "sklearn"}
_SEED = 0


def evaluate_task(
    model: Model,
    path: Path | str,
    *,
    config: CollectConfig | None = None,
    workspace: AnyWorkspace | None = None,
    memories: Sequence[str] | None = None,
    answering: AnswerConfig | None = None,
    limit: int | None = None,
    answers: Path | str | None = None,
    listener: Listener | None = None,
) -> TaskFindings:
    """Answer every row of a file and compare: the usual measures of the task, with baselines.

    A model that learned no task, but labels, tells those of the texts: accuracy and macro F1; it is
    blended with `memories` only where they are named. With a task, `memories` and `answering` are
    as in `answer_task`. `limit` is how many rows to take, the first; `answers` is a file for all
    answers, a JSON object a line, each with its source, its target and the nearest examples. With
    `workspace`, texts that the model learned from are noted: they are no test.

    Raises InputError if the file has no targets or labels or the model learned neither,
    MissingExtraError without what measures its task.
    """
    if limit is not None and limit < 1:
        raise ConfigError("value_too_small", option="--limit", value=limit, least=1)
    check_page_place(answers)
    hears, config = listener or Listener(), config or CollectConfig()
    task = _task_of(model)
    if task is None:
        told, found = _evaluate_labels(
            model, path, config, workspace, memories=memories or (), limit=limit, listener=hears
        )
    else:
        told, found = _evaluate_answers(
            model,
            task_texts(model, path, config, task, limit, hears),
            _Asked(model, task, answering or AnswerConfig(), memories, hears),
            workspace,
        )
    if answers is not None:
        answers = _write_answers(Path(answers).expanduser(), told)
    return replace(found, answers=None if answers is None else str(answers))


def _task_of(model: Model) -> TaskKind | None:
    try:
        return task_of_model(model)
    except InputError as error:
        if error.code != "model_without_task":
            raise
        return None


# -- labels by Bayes' rule ----------------------------------------------------------------------


def _note_learned(
    model: Model,
    texts: Sequence[str],
    workspace: AnyWorkspace,
    *,
    remembers: bool,
    listener: Listener,
) -> None:
    """Note how many texts the model learned from, or else that a memory has some."""
    learned = count_collected(workspace, texts, model=model, listener=listener)
    if learned:
        listener.note("learned_texts", count=learned, n=len(texts))
    elif remembers and count_collected(workspace, texts, is_remembered=True, listener=listener):
        listener.note("text_remembered")


def _evaluate_labels(
    model: Model,
    path: Path | str,
    config: CollectConfig,
    workspace: AnyWorkspace | None,
    *,
    memories: Sequence[str],
    limit: int | None,
    listener: Listener,
) -> tuple[list[tuple[Pair, TaskAnswer]], TaskFindings]:
    from memlm.generate.evaluate import evaluate_labels, majority_label
    from memlm.predict import label_probabilities

    if not model.label_counts:
        raise InputError("model_without_labels", model=model.name)
    texts = labelled_texts(path, config, limit, listener)
    true = [str(item.label) for item in texts]
    words = [item.text for item in texts]
    _check_labels(true, list(model.label_counts), listener)
    if workspace is not None:
        remembers = bool(memories) or model.name == MEMORY
        _note_learned(model, words, workspace, remembers=remembers, listener=listener)
    total = sum(model.label_counts.values()) + len(model.label_counts)
    priors = {label: (count + 1) / total for label, count in model.label_counts.items()}
    found = label_probabilities(
        blended_predictor(model, memories=memories, listener=listener),
        model.tokenizer,
        words,
        priors=priors,
    )
    told = [
        TaskAnswer(asked=text, text=max(shares, key=lambda label: shares[label]),
                   probabilities=shares)
        for text, shares in zip(words, found, strict=True)
    ]  # fmt: skip
    findings = evaluate_labels(
        true, [one.text for one in told], majority=majority_label(Counter(model.label_counts))
    )
    return list(zip(zip(words, true, strict=True), told, strict=True)), TaskFindings(
        model=model.name,
        task=None,
        findings=findings,
        baselines={"majority": {name: one.baseline for name, one in findings.items()}},
    )


def _check_labels(true: Sequence[str], known: Sequence[str], listener: Listener) -> None:
    """Note how many labels were never learned; InputError where none was."""
    never_seen = sum(label not in known for label in true)
    if never_seen == len(true):
        found = ", ".join(sorted(set(true))[:10])
        raise InputError("labels_all_unknown", found=found, known=", ".join(known))
    if never_seen:
        listener.note("labels_never_seen", count=never_seen)


# -- answers ------------------------------------------------------------------------------------


class _Asked:
    """A model that answers one source after the other, and what is kept of it."""

    def __init__(
        self,
        model: Model,
        task: TaskKind,
        answering: AnswerConfig,
        memories: Sequence[str] | None,
        listener: Listener,
    ) -> None:
        from memlm.generate import GenerateConfig

        if task in _NEEDED:
            require_package(_NEEDED[task], extra="tasks")
        answering.check()
        # The nearest example is a baseline; and the same figure comes again for the same weights.
        examples = max(1, answering.examples)
        self.model, self.task, self.listener = model, task, listener
        self.remembers = memories not in ((), []) and (task != "classify" or memories is not None)
        self._answerer = Answerer(
            model,
            GenerateConfig(seed=_SEED),
            replace(answering, examples=examples),
            memories,
            _OncePerFile(listener),
        )

    def answers(self, pairs: Sequence[Pair]) -> tuple[list[TaskAnswer], list[ReplyLoss]]:
        """Return what is answered to each source, and what each true reply costs."""
        from memlm.workflow.measuring import reply_losses

        found, losses = [], []
        with self._answerer.ready() as answerer:
            if self.task == "classify":
                true = [target for _, target in pairs]
                _check_labels(true, answerer.labeller.labels, self.listener)
            loss_of = reply_losses(self.model, answerer) if self.task == "reply" else None
            for number, (source, target) in enumerate(pairs):
                found.append(answerer.answer(source))
                if loss_of is not None:
                    losses.append(loss_of(source, target))
                self.listener.progress("answer", number + 1, len(pairs))
        cut = sum(one.left_out > 0 for one in found)
        if cut:
            self.listener.note("sources_cut", count=cut, n=len(pairs))
        return found, losses


class _OncePerFile(Listener):
    """Passes on what it hears, but for what would be said of every row."""

    def __init__(self, other: Listener) -> None:
        self._other = other

    def note(self, code: str, **values: Any) -> None:  # Any: whatever the sentence formats
        if code != "source_cut":
            self._other.note(code, **values)

    def progress(self, stage: str, done: int, total: int) -> None:
        self._other.progress(stage, done, total)


def _evaluate_answers(
    model: Model, texts: Sequence[SourceText], asked: _Asked, workspace: AnyWorkspace | None
) -> tuple[list[tuple[Pair, TaskAnswer]], TaskFindings]:
    from memlm.generate.task_metrics import signatures

    whole = [item.text for item in texts]
    if workspace is not None:
        _note_learned(model, whole, workspace, remembers=asked.remembers, listener=asked.listener)
    pairs = [pair for pair in map(read_example, whole) if pair is not None]
    told, losses = asked.answers(pairs)
    measured = _measured(asked, pairs, told, losses)
    findings = measured.joined()
    used = findings.keys() & {"bleu", "chrf"}
    signed = signatures([target for _, target in pairs]) if used else {}
    return list(zip(pairs, told, strict=True)), TaskFindings(
        model=model.name,
        task=asked.task,
        findings=findings,
        baselines=measured.baselines,
        signatures={name: sign for name, sign in signed.items() if name in used},
    )


def _measured(
    asked: _Asked,
    pairs: Sequence[Pair],
    told: Sequence[TaskAnswer],
    losses: Sequence[ReplyLoss],
) -> Measured:
    from memlm.workflow import measuring

    if asked.task == "translate":
        return measuring.measure_translations(pairs, told)
    if asked.task == "summarise":
        return measuring.measure_summaries(pairs, told)
    if asked.task == "reply":
        return measuring.measure_replies(asked.model, pairs, told, losses)
    return measuring.measure_labels(asked.model, pairs, told, asked.listener)


def _write_answers(file: Path, told: Sequence[tuple[Pair, TaskAnswer]]) -> Path:
    """Write a JSON object a line; return the path."""
    with new_file(file) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        for (source, target), answer in told:
            row = {
                "source": source,
                "target": target,
                "answer": answer.text,
                "probabilities": dict(answer.probabilities),
                "nearest": [asdict(example) for example in answer.examples],
            }
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    return file
