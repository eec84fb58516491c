"""Beam search: the likeliest texts that are found when the N best beginnings are kept at each step.

Texts of different lengths are compared by Wu et al. 2016:

    score(Y) = log p(Y | prompt) / lp(Y),   lp(Y) = ((5 + |Y|) / 6)^alpha

with |Y| tokens. A text that ends (with its document, at a stop, at the last token, or where nothing
may follow) keeps its place among the N, as in Sutskever et al. 2014; the others go on beside it. So
one beam is greedy, and N beams find N texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memlm.errors import InputError
from memlm.generate.choosing import Choice
from memlm.generate.config import DEFAULT_LENGTH_PENALTY, GenerateConfig
from memlm.generate.forbidding import completed
from memlm.generate.pieces import Pieces
from memlm.generate.so_far import SoFar
from memlm.generate.transforms import LogWeights
from memlm.language_model import LanguageModel, LogProbabilities, State, Tokenizer, Tokens

_Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Beam:
    """A text that was found."""

    tokens: _Ids
    """What was written, without the prompt."""
    log_probability: float
    is_stuck: bool = False
    """It ends because nothing that may be written was left."""

    def score(self, length_penalty: float) -> float:
        """Return its log-probability over the penalty of its length."""
        penalty: float = ((5 + len(self.tokens)) / 6) ** length_penalty
        return self.log_probability / penalty


class _Ends:
    """Where a text ends: with its document, or at a stop."""

    def __init__(self, tokenizer: Tokenizer, config: GenerateConfig, begin: int) -> None:
        self._end = None if config.ignore_end else tokenizer.end
        self._stops = [stop.encode("utf-8") for stop in config.stop]
        self._pieces = Pieces(tokenizer) if config.stop else None
        self._begin = begin

    def has_ended(self, tokens: Tokens) -> bool:
        """Say whether a text ends with the last of its tokens (T,)."""
        if tokens[-1] == self._end:
            return True
        if self._pieces is None:
            return False
        return completed(self._stops, tokens, self._pieces, begin=self._begin)


def search_beams(
    model: LanguageModel,
    read: tuple[LogProbabilities, State],
    choice: Choice,
    *,
    tokenizer: Tokenizer,
    prompt_ids: Tokens,
    config: GenerateConfig,
) -> list[Beam]:
    """Return `config.beams` texts, the one with the best score first; fewer if there are no more.

    `read` is what came of the prompt, in one row: the distribution (1, V) after it, and the state.
    Raises InputError if nothing may be written at all.
    """
    found, state = read
    ends = _Ends(tokenizer, config, len(prompt_ids))
    so_far, totals = SoFar(prompt_ids, 1), np.zeros(1)
    done: list[Beam] = []
    for left in range(config.tokens, 0, -1):
        weights, is_stuck = choice.weights(found, so_far.tokens)
        done += _beams(so_far, totals, np.flatnonzero(is_stuck), len(prompt_ids), is_stuck=True)
        if is_stuck.all():
            break
        weights[is_stuck] = -np.inf
        rows, tokens, totals = _best(totals[:, None] + weights, (config.beams or 1) - len(done))
        so_far.select(rows)
        so_far.append(tokens)
        has_ended = np.array([left == 1 or ends.has_ended(row) for row in so_far.tokens], bool)
        done += _beams(so_far, totals, np.flatnonzero(has_ended), len(prompt_ids))
        going_on = np.flatnonzero(~has_ended)
        if not len(going_on):
            break
        so_far.select(going_on)
        totals = totals[going_on]
        state = model.select(state, rows[going_on])
        found, state = model.advance(state, tokens[going_on])
    if not any(len(beam.tokens) for beam in done):
        raise InputError("everything_forbidden")
    penalty = DEFAULT_LENGTH_PENALTY if config.length_penalty is None else config.length_penalty
    return sorted(done, key=lambda beam: -beam.score(penalty))


def _best(totals: LogWeights, most: int) -> tuple[_Ids, _Ids, npt.NDArray[np.float64]]:
    """Return the rows, the tokens and the totals of the best continuations (B, V), best first.

    At most `most`, and none that is forbidden; among equals the lower row and id.
    """
    flat = totals.ravel()
    # A sort of all would take most of the time, where the vocabulary is large.
    least = np.partition(flat, -most)[-most] if most < len(flat) else -np.inf
    candidates = np.flatnonzero((flat >= least) & (flat > -np.inf))
    best = candidates[np.argsort(-flat[candidates], kind="stable")[:most]]
    rows, tokens = np.divmod(best, totals.shape[1])
    return rows, tokens, flat[best]


def _beams(
    so_far: SoFar,
    totals: npt.NDArray[np.float64],
    rows: _Ids,
    begin: int,
    *,
    is_stuck: bool = False,
) -> list[Beam]:
    return [Beam(so_far.tokens[row, begin:].copy(), float(totals[row]), is_stuck) for row in rows]
