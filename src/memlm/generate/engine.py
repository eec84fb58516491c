"""The one loop that writes: state carried, never recomputed, all samples side by side.

A text begins after an end-of-document token and, if documents have labels, with a label (see
`prompt.py`). Streamed text comes in whole characters. A search for the likeliest texts has a loop
of its own (`beams.py`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from memlm.errors import InputError
from memlm.generate.beams import search_beams
from memlm.generate.choosing import Choice, choose_transforms
from memlm.generate.config import GenerateConfig
from memlm.generate.prompt import draw_labels, encode_prompt, read_prompt
from memlm.generate.so_far import SoFar
from memlm.generate.transforms import LogWeights, normalise
from memlm.generate.writer import Writer
from memlm.language_model import (
    ExpectsSteps,
    LanguageModel,
    LogProbabilities,
    State,
    Tokenizer,
    Tokens,
)
from memlm.records import Generation


def generate_texts(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    config: GenerateConfig,
    *,
    on_text: Callable[[int, str], None] = lambda sample, text: None,
) -> list[Generation]:
    """Write `config.samples` texts that go on from `prompt`; `on_text` hears each as it grows.

    What a search finds is heard when it is done; it may find fewer texts. Raises InputError if the
    vocabulary lacks a symbol of the prompt or of an allowed word, or if nothing may be written,
    NotFoundError for a label that no document has.
    """
    config.check()
    if isinstance(model, ExpectsSteps):
        model.expect(config.tokens * (config.beams or config.samples))
    seed = config.seed if config.seed is not None else secrets.randbits(32)
    random = np.random.Generator(np.random.Philox(seed))
    prompt_ids = encode_prompt(tokenizer, prompt)
    choice = choose_transforms(tokenizer, config, prompt, prompt_ids)
    labels = draw_labels(model, tokenizer, prompt_ids, config, random)
    read = read_prompt(model, tokenizer, prompt_ids, labels)
    writers = [
        Writer(tokenizer, prompt_ids, config, number, on_text) for number in range(config.samples)
    ]
    started = time.perf_counter()
    if config.beams is None:
        _draw_texts(model, read, choice, random, writers=writers, prompt_ids=prompt_ids)
    else:
        beams = search_beams(
            model, read, choice, tokenizer=tokenizer, prompt_ids=prompt_ids, config=config
        )
        writers, labels = writers[: len(beams)], labels * config.samples
        for writer, beam in zip(writers, beams, strict=False):
            writer.take(beam)
    seconds = max(time.perf_counter() - started, 1e-9)
    speed = sum(writer.tokens for writer in writers) / seconds
    names = {token: label for label, token in tokenizer.labels.items()}
    return [
        writer.finish(prompt, names.get(label) if label is not None else None, speed)
        for writer, label in zip(writers, labels, strict=False)
    ]


def _draw_texts(
    model: LanguageModel,
    read: tuple[LogProbabilities, State],
    choice: Choice,
    random: np.random.Generator,
    *,
    writers: Sequence[Writer],
    prompt_ids: Tokens,
) -> None:
    """Draw token after token for each writer, until all have enough."""
    found, state = read
    so_far = SoFar(prompt_ids, len(writers))
    while True:
        weights, is_stuck = choice.weights(found, so_far.tokens)
        tokens = _draw(weights, random)
        for writer, token, has_none in zip(writers, tokens.tolist(), is_stuck, strict=True):
            writer.feed(token, is_stuck=bool(has_none))
        if all(writer.ended_by for writer in writers):
            break
        so_far.append(tokens)
        found, state = model.advance(state, tokens)
    if not any(writer.tokens for writer in writers):
        raise InputError("everything_forbidden")


def _draw(weights: LogWeights, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return a token of each row (B,), drawn by log-weights (B, V)."""
    cumulative = np.cumsum(normalise(weights), axis=1)
    points = random.random((len(cumulative), 1)) * cumulative[:, -1:]
    return np.asarray((cumulative <= points).sum(axis=1), dtype=np.int64)
