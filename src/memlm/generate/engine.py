"""The one loop that writes: state carried, never recomputed, all samples side by side.

A text begins after an end-of-document token and, if documents have labels, with a label (see
`prompt.py`). Streamed text comes in whole characters. A search for the likeliest texts has a loop
of its own (`beams.py`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from memlm.errors import InputError
from memlm.generate.beams import search_beams
from memlm.generate.choosing import Choice, choose_transforms
from memlm.generate.config import GenerateConfig
from memlm.generate.dice import Dice, first_to_arrive
from memlm.generate.prompt import draw_labels, encode_prompt, read_prompt
from memlm.generate.so_far import SoFar
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
    prompt_ids: npt.NDArray[np.int64] | None = None,
    dice: Dice | None = None,
    on_text: Callable[[int, str], None] = lambda sample, text: None,
) -> list[Generation]:
    """Write `config.samples` texts that go on from `prompt`; `on_text` hears each as it grows.

    `prompt_ids` are the tokens of the prompt, where it is not simply to be cut into them.
    `dice` draw the text, those of the seed if none are given. What a search finds is heard when it
    is done; it may find fewer texts. Raises InputError if the vocabulary lacks a symbol of the
    prompt or of an allowed word, or if nothing may be written, NotFoundError for a label that no
    document has.
    """
    config.check()
    if isinstance(model, ExpectsSteps):
        model.expect(config.tokens * (config.beams or config.samples))
    seed = config.seed if config.seed is not None else secrets.randbits(32)
    random = np.random.Generator(np.random.Philox(seed))
    if prompt_ids is None:
        prompt_ids = encode_prompt(tokenizer, prompt)
    choice = choose_transforms(tokenizer, config, prompt, prompt_ids)
    labels = draw_labels(model, tokenizer, prompt_ids, config, random)
    read = read_prompt(model, tokenizer, prompt_ids, labels)
    writers = [
        Writer(tokenizer, prompt_ids, config, number, on_text) for number in range(config.samples)
    ]
    started = time.perf_counter()
    if config.beams is None:
        dice = dice or Dice(seed)
        for tokens, is_stuck, _ in write_tokens(model, read, choice, dice, prompt_ids):
            for writer, token, has_none in zip(writers, tokens.tolist(), is_stuck, strict=True):
                writer.feed(token, is_stuck=bool(has_none))
            if all(writer.ended_by for writer in writers):
                break
        if not any(writer.tokens for writer in writers):
            raise InputError("everything_forbidden")
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


def write_tokens(
    model: LanguageModel,
    read: tuple[LogProbabilities, State],
    choice: Choice,
    dice: Dice,
    prompt_ids: Tokens,
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], State]]:
    """Yield token after token of texts side by side (B,), without end.

    With each comes which texts had none left to choose from (B,), and the state before it is read.
    `read` is what the first is drawn from (B, V), with the state behind the prompt.
    """
    found, state = read
    so_far = SoFar(prompt_ids, len(found))
    while True:
        weights, is_stuck = choice.weights(found, so_far.tokens)
        tokens = first_to_arrive(weights, dice.throw(*weights.shape))
        yield tokens, is_stuck, state
        so_far.append(tokens)
        found, state = model.advance(state, tokens)
