"""The one loop that writes: state carried, never recomputed, all samples side by side.

A text begins after an end-of-document token and, if documents have labels, with a label: the one
wished for, or one (or none) that is drawn in proportion to how well it fits the prompt. Streamed
text comes in whole characters.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

import numpy as np
import numpy.typing as npt

from memlm.errors import InputError, NotFoundError
from memlm.generate.config import GenerateConfig
from memlm.generate.stopping import StopWatch
from memlm.generate.transforms import Forbid, Temperature, TopK, TopP, Transform, normalise
from memlm.language_model import (
    ExpectsSteps,
    LanguageModel,
    LogProbabilities,
    State,
    Tokenizer,
)
from memlm.records import Generation

_PROMPT_BLOCK = 512
_LARGEST_BLOCK_VALUES = 1 << 24


def generate_texts(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    config: GenerateConfig,
    *,
    on_text: Callable[[int, str], None] = lambda sample, text: None,
) -> list[Generation]:
    """Write `config.samples` texts that go on from `prompt`; `on_text` hears each as it grows.

    Raises InputError if the vocabulary lacks a symbol of the prompt, NotFoundError for a label that
    no document has.
    """
    config.check()
    if isinstance(model, ExpectsSteps):
        model.expect(config.tokens * config.samples)
    seed = config.seed if config.seed is not None else secrets.randbits(32)
    random = np.random.Generator(np.random.Philox(seed))
    prompt_ids = encode_prompt(tokenizer, prompt)
    labels = draw_labels(model, tokenizer, prompt_ids, config, random)
    found, state = _read_prompt(model, tokenizer, prompt_ids, labels)
    writers = [
        _Writer(tokenizer, prompt_ids, config, number, on_text) for number in range(len(labels))
    ]
    transforms = make_transforms(tokenizer, config)
    started = time.perf_counter()
    for tokens, _ in write_tokens(model, found, state, transforms, random, most=config.tokens):
        for writer, token in zip(writers, tokens, strict=True):
            writer.feed(int(token))
        if all(writer.ended_by for writer in writers):
            break
    seconds = max(time.perf_counter() - started, 1e-9)
    speed = sum(writer.tokens for writer in writers) / seconds
    names = {token: label for label, token in tokenizer.labels.items()}
    return [
        writer.finish(prompt, names.get(label) if label is not None else None, speed)
        for writer, label in zip(writers, labels, strict=True)
    ]


def write_tokens(
    model: LanguageModel,
    found: LogProbabilities,
    state: State,
    transforms: Sequence[Transform],
    random: np.random.Generator,
    *,
    most: int,
) -> Iterator[tuple[npt.NDArray[np.int64], State]]:
    """Yield at most so many tokens (B,), one after another, and the state before each is read.

    `found` (B, V) predicts the first. The last is never read.
    """
    for written in count(1):
        tokens = _draw(found, transforms, random)
        yield tokens, state
        if written == most:
            return
        found, state = model.advance(state, tokens)


@dataclass
class _Writer:
    """One of the texts that are being written."""

    tokenizer: Tokenizer
    prompt_ids: npt.NDArray[np.int64]
    config: GenerateConfig
    number: int
    on_text: Callable[[int, str], None]
    tokens: int = 0
    ended_by: Literal["", "length", "end", "stop"] = ""

    def __post_init__(self) -> None:
        self._text: list[str] = []
        self._decoder = self.tokenizer.decoder()
        for token in self.prompt_ids:  # what glue comes next depends on what came before
            self._decoder.feed(int(token))
        self._watch = StopWatch(self.config.stop)

    def feed(self, token: int) -> None:
        """Take the next token, unless the text has ended."""
        if self.ended_by:
            return
        self.tokens += 1
        if token == self.tokenizer.end and not self.config.ignore_end:
            self.ended_by = "end"
            return
        self._pass_on(self._watch.feed(self._decoder.feed(token)))
        if self._watch.has_stopped:
            self.ended_by = "stop"

    def finish(self, prompt: str, label: str | None, speed: float) -> Generation:
        """Return the text as it is now."""
        if self.ended_by != "stop":
            self._pass_on(self._watch.feed(self._decoder.finish()) + self._watch.finish())
        return Generation(
            prompt=prompt,
            text="".join(self._text),
            label=label,
            tokens=self.tokens,
            tokens_per_second=round(speed, 1),
            ended_by=self.ended_by or "length",
        )

    def _pass_on(self, text: str) -> None:
        if text:
            self._text.append(text)
            self.on_text(self.number, text)


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> npt.NDArray[np.int64]:
    """Return the tokens of a prompt; InputError if the vocabulary lacks a symbol of it."""
    encoding = tokenizer.encode(prompt)
    if tokenizer.unknown is not None:
        unknown = np.flatnonzero(encoding.ids == tokenizer.unknown)
        if len(unknown):
            ends = np.append(encoding.starts[1:], len(prompt))
            symbols = [_visible(prompt[encoding.starts[i] : ends[i]]) for i in unknown]
            raise InputError("prompt_unknown", symbols=" ".join(dict.fromkeys(symbols)))
    return encoding.ids.astype(np.int64)


def _visible(symbol: str) -> str:
    """Return a symbol as a message can show it: white space and controls by their number."""
    shown = symbol.strip()
    if shown.isprintable() and shown:
        return shown
    return " ".join(f"U+{ord(character):04X}" for character in symbol)


def draw_labels(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt_ids: npt.NDArray[np.int64],
    config: GenerateConfig,
    random: np.random.Generator,
) -> list[int | None]:
    """Return the label of each sample: the one wished for, or drawn by how well it fits.

    Raises NotFoundError for a label that no document has.
    """
    if not tokenizer.labels:
        if config.label is not None:
            raise NotFoundError("no_labels", label=config.label)
        return [None] * config.samples
    if config.label is not None:
        if config.label not in tokenizer.labels:
            known = ", ".join(tokenizer.labels)
            raise NotFoundError("label_unknown", label=config.label, known=known)
        return [tokenizer.labels[config.label]] * config.samples
    choices: list[int | None] = [None, *tokenizer.labels.values()]
    fit = _log_fit(model, tokenizer, prompt_ids, choices)
    shares = normalise(fit[None])[0]
    drawn = random.choice(len(choices), size=config.samples, p=shares)
    return [choices[int(place)] for place in drawn]


def _log_fit(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt_ids: npt.NDArray[np.int64],
    choices: list[int | None],
) -> npt.NDArray[np.float64]:
    """Return log p(label) + log p(prompt | label) of each label; None is a text without one."""
    found, state = model.advance(model.start(1), np.array([tokenizer.end]))
    labels = np.array([label for label in choices if label is not None])
    known = found[0, labels].astype(np.float64)
    without = np.log(max(1e-12, 1.0 - float(np.exp(known).sum())))
    fit = np.array([without, *known])
    if not len(prompt_ids):
        return fit
    state = model.select(state, np.zeros(len(choices), dtype=np.int64))
    opened, with_label = model.advance(model.select(state, np.arange(1, len(choices))), labels)
    rows = [(found, model.select(state, np.array([0]))), (opened, with_label)]
    likelihoods = [_log_likelihood(model, first, state, prompt_ids) for first, state in rows]
    return fit + np.concatenate(likelihoods)


def _log_likelihood(
    model: LanguageModel, first: LogProbabilities, state: State, ids: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return log p(ids) of each row, given the distribution (B, V) of the first of them."""
    total = first[:, ids[0]].astype(np.float64)
    rows, done = np.tile(ids[:-1], (len(first), 1)), 0
    for block in blocks(rows, model.vocabulary_size):
        found, state = model.read(state, block)
        targets = ids[done + 1 : done + 1 + block.shape[1]]
        total += found[:, np.arange(len(targets)), targets].sum(axis=1)
        done += len(targets)
    return total


def _read_prompt(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt_ids: npt.NDArray[np.int64],
    labels: list[int | None],
) -> tuple[LogProbabilities, State]:
    """Return the distribution (B, V) of the first token to write, and the state.

    Samples with one label have read the same: it is read once, and its row repeated.
    """
    distinct = list(dict.fromkeys(labels))
    # Beside rows with a label, one without begins with a second end, which changes nothing.
    blank = [tokenizer.end] if any(label is not None for label in labels) else []
    openings = [[tokenizer.end, *(blank if label is None else [label])] for label in distinct]
    rows = np.array([opening + prompt_ids.tolist() for opening in openings])
    state = model.start(len(distinct))
    for block in blocks(rows[:, :-1], model.vocabulary_size):
        _, state = model.read(state, block)
    found, state = model.advance(state, rows[:, -1])
    chosen = np.array([distinct.index(label) for label in labels])
    return found[chosen], model.select(state, chosen)


def blocks(rows: npt.NDArray[np.int64], vocabulary_size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the columns of rows (B, T) in stretches whose B x T x V values can be held."""
    widest = _LARGEST_BLOCK_VALUES // (len(rows) * vocabulary_size)
    block = max(1, min(_PROMPT_BLOCK, widest))
    for start in range(0, rows.shape[1], block):
        yield rows[:, start : start + block]


def make_transforms(tokenizer: Tokenizer, config: GenerateConfig) -> list[Transform]:
    """Return what a config does to each distribution; InputError if no token is left to write."""
    never = {*tokenizer.labels.values(), *tokenizer.blanks}
    if tokenizer.unknown is not None:
        never.add(tokenizer.unknown)
    if config.ignore_end:
        never.add(tokenizer.end)
    if len(never) == tokenizer.vocabulary_size:
        raise InputError("nothing_to_write")
    chosen: list[Transform] = [Forbid(sorted(never)), Temperature(config.temperature)]
    if config.top_k is not None:
        chosen.append(TopK(config.top_k))
    if config.top_p is not None:
        chosen.append(TopP(config.top_p))
    return chosen


def _draw(
    found: LogProbabilities, transforms: Sequence[Transform], random: np.random.Generator
) -> npt.NDArray[np.int64]:
    weights = found.astype(np.float64)
    for transform in transforms:
        weights = transform(weights)
    cumulative = np.cumsum(normalise(weights), axis=1)
    points = random.random((len(cumulative), 1)) * cumulative[:, -1:]
    return np.asarray((cumulative <= points).sum(axis=1), dtype=np.int64)
