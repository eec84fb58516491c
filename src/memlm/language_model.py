"""What predicts, and what cuts text into tokens: the protocols of the house. numpy only.

A network is a `LanguageModel`; so will be a memory and a blend of several. Each can be generated
from, scored and evaluated, and nobody who does so knows which it is. A `Companion` remembers what a
network was thinking: it predicts only beside a model that `ShowsHidden`, inside a blend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.integer]
LogProbabilities = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float32]
Hidden = npt.NDArray[np.float32]
"""What the output layer of a network reads, (..., D)."""
State = Any
"""What a model carries from token to token; only the model that made it looks inside."""


class LanguageModel(Protocol):
    """Whatever predicts the next token. No verb changes the state that it is given."""

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, V."""

    def start(self, batch: int) -> State:
        """Return the state before anything was read, for `batch` texts side by side."""

    def read(self, state: State, tokens: Tokens) -> tuple[LogProbabilities, State]:
        """Read tokens (B, T); return the log-probabilities after each (B, T, V), and the state.

        Row t of the result predicts token t + 1. The result has B x T x V entries: callers read in
        blocks.
        """

    def advance(self, state: State, tokens: Tokens) -> tuple[LogProbabilities, State]:
        """Read one token for each text (B,); return the next one's log-probabilities (B, V)."""

    def select(self, state: State, rows: Tokens) -> State:
        """Return the state of the given rows, in that order; rows may repeat."""


@runtime_checkable
class ShowsHidden(LanguageModel, Protocol):
    """A language model that also shows what its output layer reads."""

    @property
    def hidden_size(self) -> int:
        """Width of what it shows, D."""

    def read_hidden(self, state: State, tokens: Tokens) -> tuple[LogProbabilities, Hidden, State]:
        """Read tokens (B, T) as `read` does, to the bit; return the hidden states too, (B, T, D).

        Row t of both is what the model has after token t.
        """

    def advance_hidden(
        self, state: State, tokens: Tokens
    ) -> tuple[LogProbabilities, Hidden, State]:
        """Read one token for each text as `advance` does; return the hidden states too, (B, D)."""

    def hidden_states(self, state: State, tokens: Tokens) -> tuple[Hidden, State]:
        """Read tokens (B, T) and return the hidden states alone, which costs less."""


@runtime_checkable
class ExpectsSteps(Protocol):
    """A model that steps faster once something is loaded or compiled, which takes a while."""

    def expect(self, steps: int) -> None:
        """Hear that so many single steps will come. What the model says does not change."""


@runtime_checkable
class Rewinds(Protocol):
    """A model that can take back tokens that it has read: one whose state is a list of the past."""

    def rewound(self, state: State, tokens: int) -> State | None:
        """Return the state as it was so many tokens before, which were read in its last block.

        The given state is given up, since what it alone holds may be written over: rewound again it
        is None, and so is one that another has gone on from. States before that block stay good.
        """


class Companion(Protocol):
    """A memory of hidden states, beside the model that has them. No verb changes a state given.

    The probabilities of a row sum to 1, or are all 0 where it knows nothing: a blend then gives it
    no weight. The state before a token and the token are remembered, if at all, when the token is
    read: after it was predicted, never before.
    """

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, V."""

    def start(self, batch: int) -> State:
        """Return the state before anything was read, for `batch` texts side by side."""

    def read(self, state: State, tokens: Tokens, hidden: Hidden) -> tuple[Probabilities, State]:
        """Read tokens (B, T) and the model's hidden states after each (B, T, D).

        Returns the probabilities of the token after each, (B, T, V), and the state.
        """

    def advance(self, state: State, tokens: Tokens, hidden: Hidden) -> tuple[Probabilities, State]:
        """Read one token (B,) and hidden state (B, D) for each text; return (B, V) likewise."""

    def select(self, state: State, rows: Tokens) -> State:
        """Return the state of the given rows, in that order; rows may repeat."""


@dataclass(frozen=True)
class Encoding:
    """A text as tokens."""

    ids: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]
    """Code point of the text at which each token begins."""


class TextDecoder(Protocol):
    """Turns token ids into text as they come; holds back bytes that are half a character."""

    def feed(self, token: int) -> str:
        """Return the text that is certain now that `token` has come."""

    def finish(self) -> str:
        """Return what was held back."""


class Tokenizer(Protocol):
    """Cuts text into tokens and puts it together again."""

    @property
    def name(self) -> str:
        """Name of its folder: `char`, `bpe-4096`."""

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, special ones included."""

    @property
    def end(self) -> int:
        """Id of the token that ends a document, and that every text begins after."""

    @property
    def unknown(self) -> int | None:
        """Id that stands for symbols the vocabulary lacks; None if it lacks none."""

    @property
    def labels(self) -> Mapping[str, int]:
        """Id of the token that opens a document with each label."""

    @property
    def blanks(self) -> frozenset[int]:
        """Ids that stood for what only erased documents had: no text has them, none is written."""

    def encode(self, text: str) -> Encoding:
        """Return the tokens of a text; no special token comes out but `unknown`."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of tokens; special ones have none."""

    def decoder(self) -> TextDecoder:
        """Return a fresh decoder."""

    @property
    def is_spaced(self) -> bool:
        """Whether a space is put between two tokens, but for line ends."""

    def pieces(self) -> Sequence[bytes]:
        """Return what each token writes, in UTF-8, without spaces that are put between tokens.

        Special tokens write nothing; a piece may hold a part of a character.
        """

    def to_json(self) -> dict[str, object]:
        """Return everything that makes this tokenizer, for `tokenizer.json`."""


def unknown_bytes(tokenizer: Tokenizer, text: str, encoding: Encoding) -> npt.NDArray[np.int64]:
    """Return, for each token, the UTF-8 bytes of the unknown symbol it stands for, else 0."""
    sizes = np.zeros(len(encoding.ids), dtype=np.int64)
    if tokenizer.unknown is None:
        return sizes
    ends = np.append(encoding.starts[1:], len(text))
    for place in np.flatnonzero(encoding.ids == tokenizer.unknown):
        symbol = text[encoding.starts[place] : ends[place]]
        # White space behind a word belongs to the cut, unless it is itself what is unknown.
        sizes[place] = len((symbol.rstrip() or symbol).encode("utf-8"))
    return sizes
