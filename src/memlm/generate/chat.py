"""A conversation with a model that continues text: turns in, answers out, state carried.

Each turn is read where the last one ended. The state behind an answer is the last one at which
nothing was held back as the possible beginning of a stop string; what was written after it is read
with the next turn, so that the model never has half a stop string in mind. Only after a turn was
taken back further than the last, or when another model goes on, is the text read again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from memlm.errors import ConfigError
from memlm.generate.choosing import choose_transforms
from memlm.generate.config import GenerateConfig
from memlm.generate.dice import Dice
from memlm.generate.engine import write_tokens
from memlm.generate.pattern import DEFAULT_PATTERN, Pattern, parse_pattern
from memlm.generate.prompt import blocks, draw_labels, encode_prompt
from memlm.generate.stopping import StopWatch
from memlm.generate.transforms import Forbid, LogWeights
from memlm.language_model import ExpectsSteps, LanguageModel, State, Tokenizer, Tokens
from memlm.records import Turn

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WrittenAnswer:
    """A turn with its answer, and what is needed to say whose each token of it was."""

    turn: Turn
    state: State
    """Of the model, before it read the first of `ids`."""
    ids: Ids
    """The last token before the answer, and those of the answer."""


@dataclass(frozen=True)
class _Reached:
    """How far the model has read."""

    state: State
    unread: Ids
    """Tokens that come next; never empty, for the last of them predicts."""
    pending: str = ""
    """Text that comes after those."""
    read: Ids = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """All tokens that led to the state: what may be written depends on them too."""


class Conversation:
    """The turns of a conversation, and a model that goes on with it.

    `config` may be replaced between turns.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        config: GenerateConfig,
        *,
        pattern: Pattern | None = None,
        turns: Sequence[Turn] = (),
        label: str | None = None,
    ) -> None:
        self.config = config
        self.pattern = pattern or parse_pattern(DEFAULT_PATTERN)
        self._model, self._tokenizer = model, tokenizer
        self._turns = list(turns)
        self._now: _Reached | None = None
        """None: nothing was read yet, or all must be read again."""
        self._before: _Reached | None = None
        """The same before the last turn."""
        seed = config.seed if config.seed is not None else secrets.randbits(32)
        self._random = np.random.Generator(np.random.Philox(seed))
        self.label = label
        """What the conversation keeps once it is drawn; "" where it has none, None before that."""
        self._dice = Dice(seed)

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns, the first to the last."""
        return tuple(self._turns)

    def answer(
        self,
        line: str,
        *,
        on_text: Callable[[str], None] = lambda text: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> WrittenAnswer:
        """Read what a person says and go on with it; `on_text` hears the answer as it grows.

        An empty line lets the last answer go on.
        `on_text` is spared the white space at its beginning. Once `should_stop` says so, the answer
        ends where it is. Raises InputError if the vocabulary lacks a symbol of the line; the
        conversation then is as it was.
        """
        self.config.check()
        if self.config.samples != 1 or self.config.beams is not None:
            raise ConfigError("chat_one_answer")
        encode_prompt(self._tokenizer, line)  # which says what cannot be read
        before = self._now or self._opening(line)
        text = before.pending + self.pattern.next_turn(line, is_first=not self._turns)
        state, stream = self._read(before, text)
        writer = _AnswerWriter(
            self._tokenizer, self.config, self.pattern, on_text, state, before.read, stream
        )
        self._write(writer, state, line, should_stop)
        turn = writer.finish(line)
        self._turns.append(turn)
        self._before, self._now = before, writer.reached()
        return WrittenAnswer(turn, state, np.concatenate([stream[-1:], writer.ids]))

    def undo(self) -> Turn | None:
        """Take the last turn back and return it; None if there is none."""
        if not self._turns:
            return None
        self._now, self._before = self._before, None
        return self._turns.pop()

    def go_on_with(self, model: LanguageModel, tokenizer: Tokenizer) -> None:
        """Let another model go on; it reads the conversation when it is next asked."""
        self._model, self._tokenizer = model, tokenizer
        self._now = self._before = None

    def go_back_to(self, turns: Sequence[Turn]) -> None:
        """Have only had these turns; they are read again when the model is next asked."""
        self._turns = list(turns)
        self._now = self._before = None

    def _opening(self, line: str) -> _Reached:
        """Return where a conversation begins, with all turns so far still to be read."""
        label = self._label_token(self._turns[0].line if self._turns else line)
        opening = [self._tokenizer.end, *([label] if label is not None else [])]
        told = self.pattern.told(self._turns)
        return _Reached(self._model.start(1), np.array(opening, dtype=np.int64), told)

    def _label_token(self, first: str) -> int | None:
        """Return the token of the conversation's label; it is drawn once, to fit the first line."""
        labels, kept = self._tokenizer.labels, self.label
        if kept is not None and self.config.label in (None, kept) and kept in ("", *labels):
            return labels[kept] if kept else None
        (token,) = draw_labels(
            self._model, self._tokenizer, self._encode(first), self.config, self._random
        )
        names = {number: label for label, number in labels.items()}
        self.label = names[token] if token is not None else ""
        return token

    def _read(self, reached: _Reached, text: str) -> tuple[State, Ids]:
        """Read a text; return the state before the last token, and all tokens that are read now."""
        stream = np.concatenate([reached.unread, self._encode(text)])
        state = reached.state
        for block in blocks(stream[None, :-1], self._model.vocabulary_size):
            _, state = self._model.read(state, block)
        return state, stream

    def _encode(self, text: str) -> Ids:
        """Return the tokens of a text, without symbols of a pattern that the vocabulary lacks."""
        ids = self._tokenizer.encode(text).ids.astype(np.int64)
        return ids[ids != self._tokenizer.unknown] if self._tokenizer.unknown is not None else ids

    def _write(
        self, writer: _AnswerWriter, state: State, line: str, should_stop: Callable[[], bool]
    ) -> None:
        if isinstance(self._model, ExpectsSteps):
            self._model.expect(self.config.tokens)
        asked, begun = self._going_on(line)
        choice = choose_transforms(self._tokenizer, self.config, asked, writer.context, begun=begun)
        no_end = _NoEndYet(writer, self._tokenizer.end)
        choice = replace(choice, limits=[no_end, *choice.limits])
        read = self._model.advance(state, writer.context[-1:])
        steps = write_tokens(self._model, read, choice, self._dice, writer.context)
        for tokens, is_stuck, before in steps:
            writer.feed(int(tokens[0]), before, is_stuck=bool(is_stuck[0]))
            if not writer.ended_by and should_stop():
                writer.ended_by = "interrupt"
            if writer.ended_by:
                break

    def _going_on(self, line: str) -> tuple[str, str]:
        """Return what an answer follows, and what of it is there if an empty line asks for more."""
        if line or not self._turns:
            return self.pattern.opening(line), ""
        spoken = [number for number, turn in enumerate(self._turns) if turn.line]
        first = spoken[-1] if spoken else 0
        begun = "".join(turn.answer for turn in self._turns[first:])
        return self.pattern.opening(self._turns[first].line), begun


@dataclass
class _AnswerWriter:
    """An answer that is being written."""

    tokenizer: Tokenizer
    config: GenerateConfig
    pattern: Pattern
    on_text: Callable[[str], None]
    state: State
    """Where the model last had read nothing but what counts, before the next token of that."""
    before: Ids
    """What was read in earlier turns."""
    prompt: Ids
    """What comes before the answer in this one."""
    ended_by: Literal["", "length", "end", "stop", "forbidden", "interrupt"] = ""
    ids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._started = time.perf_counter()
        self._text = self._leading = ""
        self.context: Ids = np.concatenate([self.before, self.prompt])
        self._marked = self._marked_ids = 0
        """Characters and tokens of the answer up to the one that `state` is to read next."""
        self._decoder = self.tokenizer.decoder()
        for token in self.prompt:  # what glue comes next depends on what came before
            self._decoder.feed(int(token))
        self._watch = StopWatch((*self.pattern.stops, *self.config.stop))

    @property
    def has_spoken(self) -> bool:
        """Whether anything but white space has come."""
        return bool(self._text)

    def feed(self, token: int, before: State, *, is_stuck: bool) -> None:
        """Take the next token, and the state of the model before it reads that.

        With `is_stuck` there was none to take.
        """
        if is_stuck:
            self.ended_by = "forbidden"
            return
        if token == self.tokenizer.end and not self.config.ignore_end:
            self.ended_by = "end"
            return
        self.ids.append(token)
        piece = self._decoder.feed(token)
        self._take(piece)
        if self._watch.has_stopped:
            self.ended_by = "stop"
        elif piece and not self._watch.is_holding:
            self.state, self._marked_ids = before, len(self.ids)
            self._marked = len(self._leading + self._text)
        if not self.ended_by and len(self.ids) == self.config.tokens:
            self.ended_by = "length"

    def finish(self, line: str) -> Turn:
        """Return the turn with the answer as it is now; a character that is half written goes."""
        if self.ended_by != "stop":
            self._pass_on(self._watch.finish())
        seconds = max(time.perf_counter() - self._started, 1e-9)
        return Turn(
            line=line,
            answer=self._leading + self._text,
            ended_by=self.ended_by or "length",
            tokens=len(self.ids),
            tokens_per_second=round(len(self.ids) / seconds, 1),
        )

    def reached(self) -> _Reached:
        """Return how far the model has read, and what it is to read before the next turn."""
        known = np.concatenate([self.context, np.array(self.ids, dtype=np.int64)])
        known = known[: len(self.context) + self._marked_ids]
        pending = (self._leading + self._text)[self._marked :]
        return _Reached(self.state, known[-1:], pending, known[:-1])

    def _take(self, piece: str) -> None:
        if not self.has_spoken and not self._watch.is_holding:
            whole = self._leading + piece
            piece = whole.lstrip()
            self._leading = whole[: len(whole) - len(piece)]
        self._pass_on(self._watch.feed(piece))

    def _pass_on(self, text: str) -> None:
        if text:
            self._text += text
            self.on_text(text)


@dataclass(frozen=True)
class _NoEndYet:
    """A document may not end before the answer has begun: silence is no answer."""

    writer: _AnswerWriter
    end: int

    def __call__(self, log_weights: LogWeights, so_far: Tokens) -> LogWeights:
        return log_weights if self.writer.has_spoken else Forbid([self.end])(log_weights, so_far)
