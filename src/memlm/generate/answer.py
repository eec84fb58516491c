"""Answers: the source of a task is read, and what the model goes on with is its target.

A label is an answer that is one of a few: each is asked how likely it is behind the source, its end
included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.generate.config import GenerateConfig
from memlm.generate.engine import generate_texts
from memlm.language_model import LanguageModel, Tokenizer
from memlm.records import Generation
from memlm.tasks import MARK, TaskKind, write_question

BEAMS = 4
_LEAST_ROOM = 20
_LABELS_AT_ONCE = 64
"""Each takes the state of the whole source along: a thousand may be larger than memory."""
_SHARES_OF_ROOM = {"translate": 2.0, "reply": 1.0, "summarise": 0.5, "classify": 1.0}
"""Tokens that an answer may have for each of its source, beside those that any may have."""


def encode_question(tokenizer: Tokenizer, source: str) -> npt.NDArray[np.int64]:
    """Return the tokens of a source and of the sign behind it, as examples have them.

    A symbol that the vocabulary lacks is read as unknown. Raises InputError for an empty source, or
    one with the sign in it.
    """
    asked = write_question(source).removesuffix(MARK)
    parts = [tokenizer.encode(part).ids for part in (asked, MARK)]
    return np.concatenate(parts).astype(np.int64)


def cut_question(
    ids: npt.NDArray[np.int64], sign: int, longest: int
) -> tuple[npt.NDArray[np.int64], int]:
    """Return a question of at most `longest` tokens, and how many of its source's were left out.

    What is kept is its beginning, and the sign, which is its last `sign` tokens.
    """
    excess = len(ids) - longest
    if excess <= 0:
        return ids, 0
    return np.concatenate([ids[: longest - sign], ids[len(ids) - sign :]]), excess


def answer_config(kind: TaskKind, wish: GenerateConfig, source_tokens: int) -> GenerateConfig:
    """Return how an answer is written, where `wish` leaves it open: what is usual for the task.

    Translations and summaries are searched for (beams), replies are drawn.
    """
    default = GenerateConfig()
    found = wish
    if wish.tokens == default.tokens:
        share = _SHARES_OF_ROOM[kind]
        found = replace(found, tokens=_LEAST_ROOM + round(share * source_tokens))
    draws = {"temperature", "top_k", "top_p", "min_p", "typical", "beams"}
    is_open = all(getattr(wish, name) == getattr(default, name) for name in draws)
    if is_open and kind == "reply":
        return replace(found, temperature=0.7, top_p=0.9)
    if is_open and wish.samples <= BEAMS:
        return replace(found, beams=BEAMS)
    return found


def answer_question(
    model: LanguageModel,
    tokenizer: Tokenizer,
    source: str,
    ids: npt.NDArray[np.int64],
    config: GenerateConfig,
) -> list[Generation]:
    """Return the answers to a source whose tokens, the sign among them, are `ids`."""
    return generate_texts(model, tokenizer, source + MARK, config, prompt_ids=ids)


def label_scores(
    model: LanguageModel,
    tokenizer: Tokenizer,
    ids: npt.NDArray[np.int64],
    labels: Sequence[str],
) -> npt.NDArray[np.float64]:
    """Return log p(label, end | source) of each label, for a source whose tokens are `ids`."""
    opened = np.concatenate([[tokenizer.end], ids])
    state = model.start(1)
    if len(opened) > 1:
        _, state = model.read(state, opened[None, :-1])
    first, state = model.advance(state, opened[-1:])
    targets = [
        np.append(tokenizer.encode(label).ids.astype(np.int64), tokenizer.end) for label in labels
    ]
    scores = np.array([first[0, ids[0]] for ids in targets], dtype=np.float64)
    for low in range(0, len(targets), _LABELS_AT_ONCE):
        some = targets[low : low + _LABELS_AT_ONCE]
        scores[low : low + len(some)] += _rest_scores(model, state, some, pad=tokenizer.end)
    return scores


def _rest_scores(
    model: LanguageModel, state: Any, targets: Sequence[npt.NDArray[np.int64]], *, pad: int
) -> npt.NDArray[np.float64]:
    """Return log p of each target's tokens behind its first, which comes behind a state of one.

    Any: a state is whatever the model says.
    """
    longest = max(map(len, targets)) - 1
    rows = np.full((len(targets), longest), pad)
    wanted = np.full((len(targets), longest), -1)
    for row, ids in enumerate(targets):
        rows[row, : len(ids) - 1], wanted[row, : len(ids) - 1] = ids[:-1], ids[1:]
    state = model.select(state, np.zeros(len(targets), dtype=np.int64))
    found, _ = model.read(state, rows)
    picked = np.take_along_axis(found, np.maximum(wanted, 0)[..., None], axis=2)[..., 0]
    return np.asarray(np.where(wanted >= 0, picked, 0.0).sum(axis=1, dtype=np.float64))
