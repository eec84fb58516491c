"""Ask: score, generate, trace and evaluate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from memlm import messages
from memlm.collect import CollectConfig, Reading, read_file
from memlm.errors import InputError
from memlm.index import open_index
from memlm.memory import trace_spans
from memlm.prepare import PrepareConfig
from memlm.records import Finding, Generation, Score, SourceProblem, SourceText, Trace
from memlm.runtime import resend_signal
from memlm.train import TrainConfig
from memlm.workflow.listener import Listener
from memlm.workflow.models import Model, load_model, usable_models
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of, ensure_index
from memlm.workflow.reading import existing_file
from memlm.workflow.training import train_model

if TYPE_CHECKING:
    from memlm.generate import GenerateConfig


def ensure_model(
    workspace: AnyWorkspace,
    name: str | None = None,
    *,
    config: TrainConfig | None = None,
    prepare: PrepareConfig | None = None,
    listener: Listener | None = None,
) -> Model:
    """Load a model, training one first where the workspace has documents but no model."""
    opened = as_workspace(workspace)
    hears = listener or Listener()
    if name is None and not usable_models(opened):
        documents_of(opened)  # nothing to train on is said as such
        hears.note("no_model_yet")
        report = train_model(opened, config=config, prepare=prepare, listener=listener)
        if report.stopped_by is not None:
            hears.note(
                "stopped",
                signal=report.stopped_by,
                step=report.steps,
                workspace=opened.path,
                model=report.model,
            )
            resend_signal(report.stopped_by)
        name = report.model
    elif (config or TrainConfig()).changed().keys() - {"device"} or prepare not in (
        None,
        PrepareConfig(),
    ):
        hears.note("options_without_training")
    model = load_model(opened, name, device=config.device if config else "auto")
    if opened.documents_file.exists():
        with documents_of(opened) as store:
            if store.digest() != model.documents_digest:
                hears.note("model_is_stale", model=model.name)
    return model


def score_text(model: Model, text: str, *, window: int | None = None) -> Score:
    """Return how well a model predicts a text; see `predict/score.py` for the protocol."""
    from memlm.predict import score_text as score

    return score(model.predictor, model.tokenizer, text, window=window)


def generate_text(
    model: Model,
    prompt: str = "",
    *,
    config: GenerateConfig | None = None,
    trace_in: AnyWorkspace | None = None,
    on_text: Callable[[int, str], None] = lambda sample, text: None,
    listener: Listener | None = None,
) -> list[Generation]:
    """Write texts that go on from a prompt, each traced if `trace_in` names a workspace."""
    from memlm.generate import GenerateConfig as Config
    from memlm.generate import generate_texts

    written = generate_texts(
        model.predictor, model.tokenizer, prompt, config or Config(), on_text=on_text
    )
    if trace_in is None:
        return written
    return [
        replace(one, trace=trace_text(trace_in, one.text, listener=listener)) for one in written
    ]


def trace_text(workspace: AnyWorkspace, text: str, *, listener: Listener | None = None) -> Trace:
    """Trace a text against all documents: which spans are recited or recombined, and from where."""
    opened = as_workspace(workspace)
    ensure_index(opened, listener or Listener())
    with documents_of(opened) as store:
        names: dict[str, str] = {}

        def source_of(identity: str) -> str:
            if identity not in names:
                names[identity] = store.source_of(identity) or identity
            return names[identity]

        return trace_spans(open_index(opened.character_index), text, source_of=source_of)


def evaluate_task(
    model: Model,
    path: Path | str,
    *,
    config: CollectConfig | None = None,
    workspace: AnyWorkspace | None = None,
    listener: Listener | None = None,
) -> dict[str, Finding]:
    """Predict the label of every text in a file and compare: accuracy and macro F1.

    With `workspace`, texts that stand in its documents are noted: they are no test.
    Raises InputError if the file has no labels or the model learned none.
    """
    from memlm.generate.evaluate import evaluate_labels, majority_label
    from memlm.predict import label_probabilities

    if not model.label_counts:
        raise InputError("model_without_labels", model=model.name)
    texts = _labelled_texts(path, config or CollectConfig(), listener or Listener())
    true = [str(item.label) for item in texts]
    never_seen = sum(label not in model.label_counts for label in true)
    if never_seen == len(true):
        found_labels, known = sorted(set(true)), ", ".join(model.label_counts)
        raise InputError("labels_all_unknown", found=", ".join(found_labels[:10]), known=known)
    if never_seen:
        (listener or Listener()).note("labels_never_seen", count=never_seen)
    if workspace is not None:
        collected = count_collected(workspace, [item.text for item in texts], listener=listener)
        if collected:
            (listener or Listener()).note("learned_texts", count=collected, n=len(texts))
    total = sum(model.label_counts.values()) + len(model.label_counts)
    priors = {label: (count + 1) / total for label, count in model.label_counts.items()}
    found = label_probabilities(
        model.predictor, model.tokenizer, [item.text for item in texts], priors=priors
    )
    predicted = [max(shares, key=lambda label: shares[label]) for shares in found]
    return evaluate_labels(true, predicted, majority=majority_label(Counter(model.label_counts)))


def _labelled_texts(
    path: Path | str, config: CollectConfig, listener: Listener
) -> list[SourceText]:
    items = list(read_file(existing_file(path), Reading(config=config)))
    for item in items:
        if isinstance(item, SourceProblem):
            reason = messages.render(f"error.{item.code}.message", **item.values)
            listener.note("row_left_out", line=item.position, reason=reason)
    texts = [item for item in items if isinstance(item, SourceText)]
    labelled = [item for item in texts if item.label is not None]
    if not labelled:
        raise InputError("file_without_labels", path=path)
    if len(labelled) < len(texts):
        listener.note("rows_without_label", count=len(texts) - len(labelled))
    return labelled


def count_collected(
    workspace: AnyWorkspace, texts: Iterable[str], *, listener: Listener | None = None
) -> int:
    """Return how many of these texts stand whole in the documents, where a model learns them."""
    opened = as_workspace(workspace)
    if not opened.documents_file.exists():
        return 0
    ensure_index(opened, listener or Listener())
    index = open_index(opened.character_index)
    return sum(index.count(text) > 0 for text in texts)
