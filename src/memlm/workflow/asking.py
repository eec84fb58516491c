"""Ask: score and generate."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from memlm.errors import InputError
from memlm.language_model import LanguageModel
from memlm.predict.blend import COUNTS, BlendedModel
from memlm.prepare import PrepareConfig
from memlm.records import Generation, Score, TokenShare
from memlm.runtime import resend_signal
from memlm.train import TrainConfig
from memlm.workflow.blending import blended_predictor, memories_in
from memlm.workflow.bringing import in_windows
from memlm.workflow.erasing import finish_erasing
from memlm.workflow.learned import say_of_missing
from memlm.workflow.listener import Listener
from memlm.workflow.models import (
    MEMORY,
    AnyPrecision,
    Model,
    load_model,
    newest_model,
    writing_model,
)
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of
from memlm.workflow.prompting import note_long_prompt, only_answer
from memlm.workflow.remembering import memory_model
from memlm.workflow.tracing import trace_texts
from memlm.workflow.training import train_model
from memlm.workspace import Workspace

if TYPE_CHECKING:
    from memlm.generate import GenerateConfig, Shot


def ensure_model(
    workspace: AnyWorkspace,
    name: str | None = None,
    *,
    config: TrainConfig | None = None,
    prepare: PrepareConfig | None = None,
    writes: bool = False,
    precision: AnyPrecision = "float32",
    listener: Listener | None = None,
) -> Model:
    """Load a model, training one first where the workspace has documents but no model.

    `MEMORY` names the workspace's memory, which is brought in step with the documents instead.
    What `writes` and `precision` are for is said in `load_model`.
    """
    opened = as_workspace(workspace)
    hears = listener or Listener()
    finish_erasing(opened, listener=listener)
    if name == MEMORY:
        return memory_model(opened, prepare=prepare, listener=hears)
    if name is None:
        name = newest_model(opened, hears)
    if name is None:
        documents_of(opened)  # nothing to train on is said as such
        hears.note("no_model_yet", workspace=opened.path)
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
    elif _has_more_options(opened, name, config, prepare):
        hears.note("options_without_training")
    device = config.device if config else "auto"
    if config is not None and config.precision == "bf16" and precision == "float32":
        precision = "bf16"  # which only a brought model computes in
    model = load_model(
        opened, name, device=device, writes=writes, precision=precision, listener=hears
    )
    # A figure is of the weights as they are. What writes has the memory beside them, in step with
    # the documents, and is asked again and again.
    if not writes and opened.documents_file.exists():
        with documents_of(opened) as store:
            if store.digest() != model.documents_digest:
                hears.note("model_is_stale", model=model.name)
    return model


def _has_more_options(
    workspace: Workspace, name: str, config: TrainConfig | None, prepare: PrepareConfig | None
) -> bool:
    """Say whether options were given that have no effect on a model that is there already."""
    heard = {"device"} if workspace.has_written_model(name) else {"device", "precision"}
    changed = (config or TrainConfig()).changed().keys() - heard
    return bool(changed) or prepare not in (None, PrepareConfig())


def score_text(
    model: Model,
    text: str,
    *,
    window: int | None = None,
    adapt: bool = False,
    memories: Sequence[str] | None = None,
    listener: Listener | None = None,
) -> Score:
    """Return how well a model predicts a text; see `predict/score.py` for the protocol.

    It is blended with `memories`: None means those by default, an empty list none. With `adapt` a
    copy of it, and they, learn from each stretch once that is scored; `model` stays as it is. A
    brought model reads in windows of its own context unless another is given.
    """
    from memlm.predict import score_text as score
    from memlm.predict.score import check_protocol

    check_protocol(window, is_adaptive=adapt)
    hears = listener or Listener()
    read, own_window = in_windows(model, window)
    predictor = blended_predictor(read, memories=memories, adapt=adapt, listener=hears)
    if not memories_in(predictor):
        window = own_window
    found = score(
        predictor,
        model.tokenizer,
        text,
        window=window,
        is_adaptive=adapt,
        progress=lambda done, total: hears.progress("score", done, total),
    )
    found = replace(found, memories=memories_in(predictor))
    if window == own_window:
        return found
    # The memories have read all of the text, and only the weights do so in windows.
    protocol = f"{found.protocol}, weights in windows of {own_window}"
    return replace(found, protocol=protocol, window=own_window)


def generate_text(
    model: Model,
    prompt: str = "",
    *,
    config: GenerateConfig | None = None,
    shots: Sequence[Shot] = (),
    trace_in: AnyWorkspace | None = None,
    memories: Sequence[str] | None = None,
    on_text: Callable[[int, str], None] = lambda sample, text: None,
    listener: Listener | None = None,
) -> list[Generation]:
    """Write texts that go on from a prompt, each traced if `trace_in` names a workspace.

    With `shots` they are answers to it, in the pattern of these examples; `on_text` hears what
    comes before an answer's first word too.
    """
    from memlm.generate import GenerateConfig as Config
    from memlm.generate import generate_texts, write_few_shot
    from memlm.generate.dice import Dice
    from memlm.workflow.reading_ahead import reading_ahead

    how, given = config or Config(), prompt
    how.check()
    if shots:
        if not prompt.strip():
            raise InputError("shots_without_prompt")
        few_shot = write_few_shot(shots, prompt)
        how, given = replace(how, stop=(*how.stop, few_shot.stop)), few_shot.prompt
    note_long_prompt(model, given, listener or Listener())
    model = writing_model(model, precision=how.precision)
    predictor = blended_predictor(model, memories=memories, listener=listener)
    dice = Dice(how.seed if how.seed is not None else secrets.randbits(32))
    ahead = reading_ahead(predictor, model, how, dice, listener or Listener())
    written = generate_texts(ahead, model.tokenizer, given, how, dice=dice, on_text=on_text)
    if trace_in is not None:
        written = [replace(one, shares=_token_shares(predictor, model, one)) for one in written]
    if shots:
        written = [only_answer(one, prompt) for one in written]
    if trace_in is None:
        return written
    say_of_missing(trace_in, model, listener or Listener())
    traces = trace_texts(
        trace_in,
        [one.text for one in written],
        shares=[one.shares for one in written],
        listener=listener,
    )
    return [replace(one, trace=trace) for one, trace in zip(written, traces, strict=True)]


def _token_shares(
    predictor: LanguageModel, model: Model, one: Generation
) -> tuple[TokenShare, ...]:
    """Return whose each token of a text is: of the weights, of each memory."""
    tokenizer = model.tokenizer
    encoding = tokenizer.encode(one.prompt + one.text)
    opening = [tokenizer.end, *([tokenizer.labels[one.label]] if one.label is not None else [])]
    stream = np.concatenate([opening, encoding.ids.astype(np.int64)])
    if isinstance(predictor, BlendedModel):
        shares = predictor.shares(stream)
    elif model.name == MEMORY:
        shares = {COUNTS: np.ones(len(stream) - 1)}
    else:  # the weights alone: there is nothing to tell apart
        return ()
    ends = np.append(encoding.starts[1:], len(one.prompt) + len(one.text)).tolist()
    begin, skipped = len(one.prompt), len(opening) - 1
    return tuple(
        TokenShare(
            start=start - begin,
            end=end - begin,
            shares={name: round(float(part[skipped + place]), 4) for name, part in shares.items()},
        )
        for place, (start, end) in enumerate(zip(encoding.starts.tolist(), ends, strict=True))
        if start >= begin
    )
