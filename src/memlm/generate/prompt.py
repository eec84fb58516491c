"""What is read before anything is written: the end of a document, a label, the prompt.

Of labels it is the one wished for, or one (or none) that is drawn in proportion to how well it fits
the prompt. A prompt may have any length: it is read in blocks, and never twice by rows that begin
alike. What it says in special tokens' names is text like any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from memlm.errors import InputError, NotFoundError
from memlm.generate.config import GenerateConfig
from memlm.generate.transforms import normalise
from memlm.language_model import LanguageModel, LogProbabilities, State, Tokenizer

_PROMPT_BLOCK = 512
_LARGEST_BLOCK_VALUES = 1 << 24


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> npt.NDArray[np.int64]:
    """Return the tokens of a prompt; InputError if the vocabulary lacks a symbol of it."""
    if symbols := unknown_symbols(tokenizer, prompt):
        raise InputError("prompt_unknown", symbols=" ".join(symbols))
    return tokenizer.encode(prompt).ids.astype(np.int64)


def unknown_symbols(tokenizer: Tokenizer, text: str) -> Counter[str]:
    """Return the symbols of a text that the vocabulary lacks, as a message can show them.

    They come in the order of the text, each with how often it stands there.
    """
    if tokenizer.unknown is None:
        return Counter()
    encoding = tokenizer.encode(text)
    unknown = np.flatnonzero(encoding.ids == tokenizer.unknown)
    ends = np.append(encoding.starts[1:], len(text))
    return Counter(_visible(text[encoding.starts[place] : ends[place]]) for place in unknown)


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
    """Return the token of each sample's label, None for none; a search has one for all its texts.

    Raises NotFoundError for a label that no document has.
    """
    samples = config.samples if config.beams is None else 1
    if not tokenizer.labels:
        if config.label is not None:
            raise NotFoundError("no_labels", label=config.label)
        return [None] * samples
    if config.label is not None:
        if config.label not in tokenizer.labels:
            known = ", ".join(tokenizer.labels)
            raise NotFoundError("label_unknown", label=config.label, known=known)
        return [tokenizer.labels[config.label]] * samples
    choices: list[int | None] = [None, *tokenizer.labels.values()]
    fit = _log_fit(model, tokenizer, prompt_ids, choices)
    shares = normalise(fit[None])[0]
    drawn = random.choice(len(choices), size=samples, p=shares)
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


def read_prompt(
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
