"""Measure: what answers to a task are worth, beside what does without a language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memlm.generate import task_baselines as others
from memlm.generate import task_metrics as metrics
from memlm.language_model import unknown_bytes
from memlm.predict.score import NATS_PER_UNKNOWN_BYTE, read_long
from memlm.records import Document, Finding, TaskAnswer
from memlm.tasks import read_example
from memlm.workflow.adapting import tokens_learned
from memlm.workflow.answering import Answerer
from memlm.workflow.learned import learned_ids
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, Model
from memlm.workflow.opening import documents_of
from memlm.workflow.tracing import trace_texts

if TYPE_CHECKING:
    from memlm.language_model import Tokenizer

Pair = tuple[str, str]
"""Source and target."""
Values = dict[str, float]


@dataclass(frozen=True)
class Measured:
    """Findings, and what each baseline reaches by the same measures."""

    findings: Mapping[str, Finding]
    baselines: Mapping[str, Mapping[str, float]]

    def joined(self) -> dict[str, Finding]:
        """Return the findings, each with the best of its baselines."""
        return {
            name: replace(found, baseline=others.best_baseline(name, self.baselines))
            for name, found in self.findings.items()
        }


def measure_translations(pairs: Sequence[Pair], answers: Sequence[TaskAnswer]) -> Measured:
    """Return BLEU and chrF, beside the sources and the nearest examples' targets."""
    targets = [target for _, target in pairs]

    def of(texts: Sequence[str]) -> dict[str, Finding]:
        return metrics.translation_findings(texts, targets)

    near = [one.examples[0].answer if one.examples else "" for one in answers]
    return Measured(
        of([one.text for one in answers]),
        {"copy": _values(of([source for source, _ in pairs])), "nearest": _values(of(near))},
    )


def measure_summaries(pairs: Sequence[Pair], answers: Sequence[TaskAnswer]) -> Measured:
    """Return ROUGE and chrF, beside the first sentences of the sources."""
    targets = [target for _, target in pairs]
    lead = [others.lead_sentence(source) for source, _ in pairs]
    return Measured(
        metrics.summary_findings([one.text for one in answers], targets),
        {"lead": _values(metrics.summary_findings(lead, targets))},
    )


def measure_labels(
    model: Model, pairs: Sequence[Pair], answers: Sequence[TaskAnswer], listener: Listener
) -> Measured:
    """Return what labels and their probabilities are worth, beside what scikit-learn makes of it.

    It learns from the examples that the model learned from, and is tuned on the held-out ones.
    """
    labels = list(answers[0].probabilities)
    true = [target for _, target in pairs]
    shares = np.array([[one.probabilities[label] for label in labels] for one in answers])
    listener.note("baselines_learning")
    found = others.label_baselines(
        list(learned_pairs(model)),
        list(held_out_pairs(model)),
        [source for source, _ in pairs],
        labels,
    )
    baselines = {
        name: _values(metrics.label_findings(true, said, labels)) for name, said in found.items()
    }
    return Measured(metrics.label_findings(true, shares, labels), baselines)


def measure_replies(
    model: Model, pairs: Sequence[Pair], answers: Sequence[TaskAnswer], losses: Sequence[ReplyLoss]
) -> Measured:
    """Return how likely the true replies are, and how varied and how recited the written ones."""
    targets = [target for _, target in pairs]
    nats, unigram = (np.array([getattr(one, name) for one in losses]) for name in _LOSSES)
    tokens, characters = (np.array([getattr(one, name) for one in losses]) for name in _SIZES)
    findings = metrics.loss_findings(nats, tokens, characters)
    by_unigram = metrics.loss_findings(unigram, tokens, characters)

    def variety(texts: Sequence[str]) -> dict[str, Finding]:
        found = {f"distinct_{order}": metrics.distinct_finding(texts, order) for order in (1, 2)}
        return found | {"recited_share": _recited(model, texts)}

    return Measured(
        findings | variety([one.text for one in answers]),
        {"unigram": _values(by_unigram), "true": _values(variety(targets))},
    )


@dataclass(frozen=True)
class ReplyLoss:
    """What one true reply costs, in nats, and how much text it is."""

    nats: float
    unigram_nats: float
    """By how often each token stands in the training replies."""
    tokens: int
    characters: int


_LOSSES = ("nats", "unigram_nats")
_SIZES = ("tokens", "characters")


def reply_losses(model: Model, answerer: Answerer) -> Callable[[str, str], ReplyLoss]:
    """Return what tells the cost of a true reply behind its source, as `score` would.

    The end of the reply is not counted, and what the vocabulary lacks is charged by its bytes.
    """
    tokenizer = model.tokenizer
    learned = (_ids(tokenizer, target) for _, target in learned_pairs(model))
    unigram = others.unigram_nats(learned, answerer.predictor.vocabulary_size)

    def loss_of(source: str, target: str) -> ReplyLoss:
        encoding = tokenizer.encode(target)
        ids = encoding.ids.astype(np.int64)
        unknown = unknown_bytes(tokenizer, target, encoding).sum() * NATS_PER_UNKNOWN_BYTE
        stream = np.concatenate([[tokenizer.end], answerer.question(source), ids])
        read = np.concatenate(list(read_long(answerer.predictor, stream)))
        return ReplyLoss(
            nats=float(read[len(read) - len(ids) :].sum() + unknown),
            unigram_nats=float(unigram[ids].sum() + unknown),
            tokens=len(ids),
            characters=len(target),
        )

    return loss_of


def learned_pairs(model: Model) -> Iterator[Pair]:
    """Yield the examples that a model learned from, as far as they are still documents."""
    ids = None if model.name == MEMORY else learned_ids(model.workspace, model.name)
    known = None if ids is None else set(ids.tolist())

    def was_learned(one: Document) -> bool:
        return one.split in (None, "train") if known is None else int(one.id, 16) in known

    with documents_of(model.workspace) as store:
        found = (read_example(one.text) for one in store if was_learned(one))
        yield from (pair for pair in found if pair is not None)


def held_out_pairs(model: Model) -> Iterator[Pair]:
    """Yield the examples that were held out from a model; none where its tokens are gone."""
    tokens = None if model.name == MEMORY else tokens_learned(model)
    if tokens is None:
        return
    numbers = dict.fromkeys(tokens.units_of("held_out")["document"].tolist())
    with documents_of(model.workspace) as store:
        for number in numbers:
            document = store.get(tokens.document_ids[number])
            example = read_example(document.text) if document is not None else None
            if example is not None:
                yield example


def _ids(tokenizer: Tokenizer, text: str) -> npt.NDArray[np.int64]:
    return tokenizer.encode(text).ids.astype(np.int64)


def _recited(model: Model, texts: Sequence[str]) -> Finding:
    """Return how many of the characters of texts stand in stretches recited from the documents."""
    traces = trace_texts(model.workspace, texts, with_excerpts=False)
    sizes = np.array([one.characters for one in traces])
    recited = np.array([one.recited_share for one in traces]) * sizes
    return metrics.ratio_finding(recited, sizes, unit="of characters")


def _values(findings: Mapping[str, Finding]) -> Values:
    return {name: found.value for name, found in findings.items()}
