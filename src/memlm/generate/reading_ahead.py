"""Reading ahead: a model that has already read what may well be written next.

A memory guesses the next few tokens and the model reads the guess in one block, which takes less
time than as many single steps. Where the text then goes as guessed, its distributions are there
already; where it does not, what was read in vain is left aside. Tokens are drawn from the model's
own distributions, one after the other, as without a guess: nothing is lost, and with the same seed
the text is the same (speculative decoding, Leviathan et al. 2023). The memory draws its guess by
the very throws of the dice that will draw the text (`dice.py`): so it is right as often as the two
are alike, about seven times of ten, where what it thinks likeliest came true five times. Where the
text repeats what it said before, as greedy texts do without end, what came then is guessed instead.

Only a model that can take back what it has read gains by that, and only where a block is cheaper
than its tokens one by one: attention, not recurrence. The distribution after a guessed token comes
from a block instead of a step: compiled, that is the same to the last bit, elsewhere to rounding.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from memlm.generate.dice import Dice, first_to_arrive
from memlm.generate.transforms import Temperature, normalise
from memlm.language_model import (
    ExpectsSteps,
    Hidden,
    LanguageModel,
    LogProbabilities,
    Rewinds,
    ShowsHidden,
    State,
    Tokens,
)

_LEAST = 0.25
"""How likely a guess must be to come true up to each of its tokens, for a token more in a block to
be worth it: about what it costs in single steps, times the tokens that a call writes."""
_WIDEST = 11
"""With the token before them three fours: larger blocks cost more a token (benchmarks/LOG.md)."""
_NOTHING = np.zeros((1, 0), dtype=np.int64)
_SURENESS = (0.5, 0.8, 0.95)
"""Borders between the kinds of guessed tokens, by how likely the memory thinks them."""
_FIRST_LUCK = (0.6, 0.7, 0.85, 0.92, 0.95)
"""Share of guessed tokens of each kind that come true, before any was tried; last: an echo's."""
_ECHO = len(_FIRST_LUCK) - 1
_LEAST_ECHO, _FARTHEST_ECHO = 16, 4096
"""Tokens that must have come before as they came now, and how far back that may be."""
_FORGOTTEN = 0.05
"""How fast what was long ago is forgotten."""


@dataclass(frozen=True)
class _Heard:
    """What the memory says after some token of one text."""

    found: LogProbabilities
    """(1, V)"""
    state: State


@dataclass(frozen=True)
class _Ahead:
    """What was read beyond the text."""

    base: State
    """The model's state before them."""
    tokens: tuple[int, ...]
    """One of the text, then the guess."""
    heard: tuple[_Heard, ...]
    """The memory after each of them."""
    kinds: tuple[int, ...]
    """How sure the memory was of each that was guessed, 0 least; or that it is an echo."""
    found: LogProbabilities
    """The model's distribution after each of the tokens, (N, V)."""
    hidden: Hidden
    """The hidden states after each of them, (N, D)."""
    after: State
    """The model's state after all of them."""


@dataclass(frozen=True)
class _Text:
    """What is carried for one text; nothing in it is ever changed."""

    memory: State
    """The memory's state after all tokens."""
    base: State = None
    """The model's own, where nothing was read ahead of it."""
    ahead: _Ahead | None = None
    known: int = 0
    """How many of the tokens in `ahead` are the text's."""
    luck: tuple[float, ...] = _FIRST_LUCK
    written: str = ""
    """Its last tokens, each as a character: in these a search is quick."""

    def longer(self, tokens: Iterable[int]) -> str:
        """Return what is written once more tokens are."""
        return (self.written + "".join(map(chr, tokens)))[-_FARTHEST_ECHO:]


class _Echo:
    """What came when the end of a text was written before."""

    def __init__(self, written: str) -> None:
        self._written, end = written, written[-_LEAST_ECHO:]
        found = written.rfind(end, 0, -1) if len(end) == _LEAST_ECHO else -1
        self._place = found + _LEAST_ECHO if found >= 0 else None

    @property
    def comes(self) -> int | None:
        """The next token, if this is an echo."""
        return None if self._place is None else ord(self._written[self._place])

    def follow(self, token: int) -> None:
        """Go on after one more token; what goes another way is no echo any more."""
        self._place = self._place + 1 if self._place and self.comes == token else None
        self._written += chr(token)


class Rewindable(ShowsHidden, Rewinds, Protocol):
    """What can read ahead."""


class ReadingAhead:
    """A `LanguageModel` that reads ahead where one text is written, and says what `model` says."""

    def __init__(
        self, model: Rewindable, memory: LanguageModel, dice: Dice, *, temperature: float
    ) -> None:
        """`dice` are those that draw the text: once before each token that `advance` is given."""
        self._model, self._memory = model, memory
        self._dice, self._temperature = dice, Temperature(temperature)
        self.steps = self.reads = 0
        """Tokens that were asked for one at a time, and calls of the model that it took."""

    @property
    def vocabulary_size(self) -> int:
        return self._model.vocabulary_size

    def expect(self, steps: int) -> None:
        """Tell both that so many single steps will come."""
        for one in (self._model, self._memory):
            if isinstance(one, ExpectsSteps):
                one.expect(steps)

    def start(self, batch: int) -> State:
        state = self._model.start(batch)
        return _Text(self._memory.start(1), state) if batch == 1 else state

    @property
    def hidden_size(self) -> int:
        return self._model.hidden_size

    def read(self, state: State, tokens: Tokens) -> tuple[LogProbabilities, State]:
        found, _, after = self.read_hidden(state, tokens)
        return found, after

    def advance(self, state: State, tokens: Tokens) -> tuple[LogProbabilities, State]:
        found, _, after = self.advance_hidden(state, tokens)
        return found, after

    def read_hidden(self, state: State, tokens: Tokens) -> tuple[LogProbabilities, Hidden, State]:
        if not isinstance(state, _Text):
            return self._model.read_hidden(state, tokens)
        found, hidden, after = self._model.read_hidden(self._settled(state), tokens)
        return found, hidden, self._text(after, state, tokens)

    def advance_hidden(
        self, state: State, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, State]:
        if not isinstance(state, _Text):
            return self._model.advance_hidden(state, tokens)
        return self._advance(state, int(tokens[0]))

    def hidden_states(self, state: State, tokens: Tokens) -> tuple[Hidden, State]:
        if not isinstance(state, _Text):
            return self._model.hidden_states(state, tokens)
        hidden, after = self._model.hidden_states(self._settled(state), tokens)
        return hidden, self._text(after, state, tokens)

    def select(self, state: State, rows: Tokens) -> State:
        """Return the state of the given rows; several at once are the model's own from then on."""
        if not isinstance(state, _Text):
            return self._model.select(state, rows)
        return state if len(rows) == 1 else self._model.select(self._settled(state), rows)

    def _settled(self, state: _Text) -> State:
        """Return the model's own state after all that the text has."""
        ahead = state.ahead
        if ahead is None:
            return state.base
        rewound = self._model.rewound(ahead.after, len(ahead.tokens) - state.known)
        if rewound is None:  # another way on from here has taken what was read
            _, rewound = self._model.read(ahead.base, np.array([ahead.tokens[: state.known]]))
        return rewound

    def _text(self, base: State, before: _Text, tokens: Tokens) -> _Text:
        """Return a text after tokens (1, T) that the model has read."""
        _, memory = self._memory.read(before.memory, tokens)
        written = before.longer(np.asarray(tokens)[0].tolist())
        return _Text(memory, base, luck=before.luck, written=written)

    def _advance(self, state: _Text, token: int) -> tuple[LogProbabilities, Hidden, _Text]:
        self.steps += 1
        ahead, at, luck = state.ahead, state.known, state.luck
        if ahead is None or at == len(ahead.tokens) or ahead.tokens[at] != token:
            if ahead is not None:
                luck = _learned(luck, ahead.kinds, came_true=at - 1)
            ahead, at = self._read_ahead(state, token, luck), 0
        text = _Text(
            ahead.heard[at].state,
            ahead=ahead,
            known=at + 1,
            luck=luck,
            written=state.longer([token]),
        )
        return ahead.found[None, at], ahead.hidden[None, at], text

    def _read_ahead(self, text: _Text, token: int, luck: tuple[float, ...]) -> _Ahead:
        """Return what the model says after one more token of a text, and after a guess."""
        heard = [_Heard(*self._memory.advance(text.memory, np.array([token])))]
        tokens, kinds = [token], list[int]()
        likelihood, echo = 1.0, _Echo(text.longer([token]))
        while len(kinds) < _WIDEST:
            likely, share = self._guess(heard[-1].found, len(kinds))
            kind = bisect_right(_SURENESS, share)
            if echo.comes is not None and luck[_ECHO] > luck[kind]:
                likely, kind = echo.comes, _ECHO
            likelihood *= luck[kind]
            if likelihood < _LEAST:
                break
            tokens.append(likely)
            echo.follow(likely)
            kinds.append(kind)
            heard.append(_Heard(*self._memory.advance(heard[-1].state, np.array([likely]))))
        self.reads += 1
        base = self._settled(text)
        told = self._ask(base, tokens)
        return _Ahead(base, tuple(tokens), tuple(heard), tuple(kinds), *told)

    def _guess(self, found: LogProbabilities, ahead: int) -> tuple[int, float]:
        """Return the token that the memory draws by the throw to come, and how likely it was."""
        weights = self._temperature(found.astype(np.float64), _NOTHING)
        token = int(first_to_arrive(weights, self._dice.peek(ahead, weights.shape[1]))[0])
        return token, float(normalise(weights)[0, token])

    def _ask(self, state: State, tokens: list[int]) -> tuple[LogProbabilities, Hidden, State]:
        """Return the model's distributions (N, V) after tokens, hidden states (N, D), its state."""
        if len(tokens) == 1:
            return self._model.advance_hidden(state, np.array(tokens))
        block, states, after = self._model.read_hidden(state, np.array([tokens]))
        return block[0], states[0], after


def _learned(luck: tuple[float, ...], kinds: tuple[int, ...], came_true: int) -> tuple[float, ...]:
    """Return the luck of each kind after a guess of which the first so many tokens came true."""
    changed = list(luck)
    for number, kind in enumerate(kinds[: came_true + 1]):
        changed[kind] += _FORGOTTEN * ((number < came_true) - changed[kind])
    return tuple(changed)
