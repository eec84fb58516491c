"""Reading ahead: a model that has already read what may well be written next.

A memory guesses the next few tokens, and the model reads the guess in one block, which takes less
time than as many single steps. Where the text then goes as guessed, its distributions are there
already; where it does not, what was read in vain is left aside. Tokens are drawn from the model's
own distributions, one after the other, as without a guess: so that nothing is lost, and with the
same seed the text is the same (speculative decoding, Leviathan et al. 2023, with a guess that is
certain of itself, and the drawing coupled; the guess from a text, as He et al. 2024 have it).

The distribution after a guessed token comes from a block instead of a step: rounding may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from memlm.language_model import (
    ExpectsSteps,
    Hidden,
    LanguageModel,
    LogProbabilities,
    ShowsHidden,
    State,
    Tokens,
)
from memlm.memory.guesses import LONGEST_MATCH, Place

_WIDEST = 16
"""Tokens that are guessed at most; where guesses fail, fewer."""
_COST = 0.15
"""What each token more costs in a block, in single steps: about so on processors."""
_FIRST_LUCK, _FORGOTTEN = 0.6, 0.1
"""Guesses that come true before any was tried; how fast what was long ago is forgotten."""
_NUM_LENGTHS = LONGEST_MATCH.bit_length() + 1


class Guesser(Protocol):
    """Guesses how a text goes on."""

    def find(self, tokens: Sequence[int]) -> Place | None:
        """Return a place where a text goes on that ends with these tokens, if there is one."""

    def go_on(self, place: Place, token: int) -> Place | None:
        """Return the place after one more token, if it is the one that stands there."""

    def guess(self, place: Place, most: int) -> list[int]:
        """Return at most so many tokens that stand there."""


@dataclass(frozen=True)
class _Ahead:
    """What was read beyond the text."""

    tokens: tuple[int, ...]
    """All that were read after `_Text.base`: those of the text first, then the guess."""
    own: int
    """How many of them are the text's."""
    length: int
    """Tokens of the text that stand before the guess where it was found."""
    found: LogProbabilities
    """The distribution after each of them, (N, V)."""
    hidden: Hidden | None
    """The hidden states after each of them (N, D), of a model that shows them."""
    after: State
    """The model's state after all of them."""


@dataclass(frozen=True)
class _Text:
    """What is carried for one text; nothing in it is ever changed."""

    base: State
    """The model's own state after all but the last few tokens."""
    known: tuple[int, ...] = ()
    """These last few."""
    ahead: _Ahead | None = None
    place: Place | None = None
    tail: tuple[int, ...] = ()
    """The last `LONGEST_MATCH` tokens."""
    luck: tuple[float, ...] = (_FIRST_LUCK,) * _NUM_LENGTHS
    """Share of guessed tokens that came true lately, by the bit length of the match before them."""


class ReadingAhead:
    """A `LanguageModel` that reads ahead where one text is written, and says what `model` says."""

    def __init__(self, model: LanguageModel, guesser: Guesser) -> None:
        self._model, self._guesser = model, guesser
        self.steps = self.reads = 0
        """Tokens that were asked for one at a time, and calls of the model that it took."""

    @property
    def vocabulary_size(self) -> int:
        return self._model.vocabulary_size

    def expect(self, steps: int) -> None:
        """Tell the model that so many single steps will come."""
        if isinstance(self._model, ExpectsSteps):
            self._model.expect(steps)

    def start(self, batch: int) -> State:
        state = self._model.start(batch)
        return _Text(state) if batch == 1 else state

    def read(self, state: State, tokens: Tokens) -> tuple[LogProbabilities, State]:
        if not isinstance(state, _Text):
            return self._model.read(state, tokens)
        found, after = self._model.read(self._settled(state), tokens)
        return found, _Text(after, tail=_tail(state.tail, np.asarray(tokens)[0]))

    def advance(self, state: State, tokens: Tokens) -> tuple[LogProbabilities, State]:
        if not isinstance(state, _Text):
            return self._model.advance(state, tokens)
        found, _, after = self._advance(state, int(tokens[0]))
        return found, after

    def select(self, state: State, rows: Tokens) -> State:
        if not isinstance(state, _Text):
            chosen = self._model.select(state, rows)
            return _Text(chosen) if len(rows) == 1 else chosen
        return state if len(rows) == 1 else self._model.select(self._settled(state), rows)

    def _settled(self, state: _Text) -> State:
        """Return the model's own state after all that the text has."""
        if not state.known:
            return state.base
        _, after = self._model.read(state.base, np.array([state.known]))
        return after

    def _advance(self, state: _Text, token: int) -> tuple[LogProbabilities, Hidden | None, _Text]:
        self.steps += 1
        known, ahead = (*state.known, token), state.ahead
        place = self._guesser.go_on(state.place, token) if state.place is not None else None
        text = replace(state, known=known, place=place, tail=_tail(state.tail, (token,)))
        if ahead is None or ahead.tokens[: len(known)] != known:
            if ahead is not None:
                text = _learned(text, ahead, came_true=len(state.known) - ahead.own)
            text, ahead = self._read_ahead(text)
        at = len(known) - 1
        if len(known) == len(ahead.tokens):  # the whole guess came true, or there was none
            text = _learned(text, ahead, came_true=len(known) - ahead.own)
            text = replace(text, base=ahead.after, known=(), ahead=None)
        found, hidden = ahead.found[None, at], ahead.hidden
        return found, None if hidden is None else hidden[None, at], text

    def _read_ahead(self, text: _Text) -> tuple[_Text, _Ahead]:
        """Return what the model says after the known tokens and a guess, and the text with it."""
        place, guess = text.place or self._guesser.find(text.tail), []
        if place is not None:
            guess = self._guesser.guess(place, best_width(text.luck[place.length.bit_length()]))
        self.reads += 1
        length = place.length if place is not None else 0
        ahead = self._ask(text.base, (*text.known, *guess), len(text.known), length)
        return replace(text, place=place, ahead=ahead), ahead

    def _ask(self, state: State, tokens: tuple[int, ...], own: int, length: int) -> _Ahead:
        if len(tokens) == 1:
            found, after = self._model.advance(state, np.array(tokens))
            return _Ahead(tokens, own, length, found, None, after)
        block, after = self._model.read(state, np.array([tokens]))
        return _Ahead(tokens, own, length, block[0], None, after)


class ReadingAheadHidden(ReadingAhead):
    """The same of a model that shows its hidden states."""

    def __init__(self, model: ShowsHidden, guesser: Guesser) -> None:
        super().__init__(model, guesser)
        self._showing = model

    @property
    def hidden_size(self) -> int:
        return self._showing.hidden_size

    def read_hidden(self, state: State, tokens: Tokens) -> tuple[LogProbabilities, Hidden, State]:
        if not isinstance(state, _Text):
            return self._showing.read_hidden(state, tokens)
        found, hidden, after = self._showing.read_hidden(self._settled(state), tokens)
        return found, hidden, _Text(after, tail=_tail(state.tail, np.asarray(tokens)[0]))

    def advance_hidden(
        self, state: State, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, State]:
        if not isinstance(state, _Text):
            return self._showing.advance_hidden(state, tokens)
        found, hidden, after = self._advance(state, int(tokens[0]))
        assert hidden is not None  # a model that shows them always does
        return found, hidden, after

    def hidden_states(self, state: State, tokens: Tokens) -> tuple[Hidden, State]:
        if not isinstance(state, _Text):
            return self._showing.hidden_states(state, tokens)
        hidden, after = self._showing.hidden_states(self._settled(state), tokens)
        return hidden, _Text(after, tail=_tail(state.tail, np.asarray(tokens)[0]))

    def _ask(self, state: State, tokens: tuple[int, ...], own: int, length: int) -> _Ahead:
        if len(tokens) == 1:
            found, hidden, after = self._showing.advance_hidden(state, np.array(tokens))
            return _Ahead(tokens, own, length, found, hidden, after)
        block, states, after = self._showing.read_hidden(state, np.array([tokens]))
        return _Ahead(tokens, own, length, block[0], states[0], after)


@cache
def _widths() -> npt.NDArray[np.int64]:
    """Return the best width for each share of tokens that come true, in percent."""
    shares = np.arange(101)[:, None] / 100
    widths = np.arange(_WIDEST + 1)
    written = np.where(shares < 1, (1 - shares ** (widths + 1)) / np.maximum(1 - shares, 1e-9), 0)
    written[-1] = widths + 1
    return np.asarray((written / (1 + _COST * widths)).argmax(axis=1))


def best_width(share: float) -> int:
    """Return how many tokens to guess where this share of them comes true, each like the last.

    That writes the most tokens for each call: sum of share^i, i = 0 ... width, for what the block
    costs (Leviathan et al. 2023, theorem 3.8).
    """
    return int(_widths()[round(100 * share)])


def _learned(text: _Text, ahead: _Ahead, *, came_true: int) -> _Text:
    """Return the text with what the outcome of a guess says of guesses like it."""
    kind, guessed = ahead.length.bit_length(), len(ahead.tokens) - ahead.own
    luck = text.luck[kind]
    for outcome in [1.0] * came_true + [0.0] * (came_true < guessed):
        luck += _FORGOTTEN * (outcome - luck)
    return replace(text, luck=(*text.luck[:kind], luck, *text.luck[kind + 1 :]))


def _tail(before: tuple[int, ...], tokens: Sequence[int] | Tokens) -> tuple[int, ...]:
    """Return the last tokens of a text that goes on with `tokens`."""
    new = tuple(int(token) for token in tokens[-LONGEST_MATCH:])
    return (*before, *new)[-LONGEST_MATCH:]
