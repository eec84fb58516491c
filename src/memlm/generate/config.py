"""What a person may say about how a model is to write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from memlm.errors import ConfigError
from memlm.models import Precision

DEFAULT_TOKENS = 200
DEFAULT_TEMPERATURE = 0.8
DEFAULT_LENGTH_PENALTY = 0.6
"""Of Wu et al. 2016, who found 0.6 to 0.7 best."""
LARGEST_TOKENS = 1_000_000
LARGEST_SAMPLES = 1_024
LARGEST_BEAMS = 256
ReadAhead = Literal["auto", "on", "off"]
NO_CHARACTER = "\ufffd"
"""Stands in a text for bytes that are no character."""


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """How to write."""

    tokens: int = DEFAULT_TOKENS
    """Tokens to write, unless a stop or the end of a document comes first."""
    min_tokens: int = 0
    """Tokens before which no document ends; a --stop counts before too."""
    temperature: float = DEFAULT_TEMPERATURE
    """Below 1 the likely becomes likelier; 0 always takes the likeliest."""
    top_k: int | None = None
    """Choose among the k likeliest tokens only."""
    top_p: float | None = None
    """Choose among the likeliest tokens that together have this probability."""
    min_p: float | None = None
    """Choose among the tokens at least so many times as likely as the likeliest: 0.1."""
    typical: float | None = None
    """Choose among the tokens about as surprising as expected, which have this probability."""
    repetition_penalty: float = 1.0
    """Above 1, what the prompt or the text has already becomes less likely: p to this power."""
    presence_penalty: float = 0.0
    """Nats that a token loses once it was written."""
    forbid: tuple[str, ...] = ()
    """Never write this, not even inside a word; may be given several times."""
    allow: tuple[str, ...] = ()
    """Write nothing but this, white space and punctuation; may be given several times."""
    beams: int | None = None
    """Search for the likeliest texts, so many side by side, instead of drawing; 1 is greedy."""
    length_penalty: float | None = None
    """How much --beams favours long texts; 0.6 if not given, 0: not at all."""
    read_ahead: ReadAhead = "auto"
    """Read what a memory guesses before it is written: the text stays the same. auto: where blocks
    are cheaper than steps (transformers from 4 million parameters on) and there is a memory."""
    samples: int = 1
    """Texts to write; with --beams the best ones that were found."""
    seed: int | None = None
    """The same seed writes the same text; a new one each time if not given."""
    stop: tuple[str, ...] = ()
    """Stop before this text; may be given several times."""
    ignore_end: bool = False
    """Go on where a document would end."""
    label: str | None = None
    """Write a text with this label."""
    precision: Precision = "float32"
    """How weights are stored while writing: float32, or int8, a byte each, which is faster. What
    that costs on held-out text is told."""

    def check(self) -> None:
        """Raise ConfigError where a value is impossible."""
        self._check_numbers()
        self._check_words()
        self._check_beams()

    def _check_numbers(self) -> None:
        # What is no number lies between nothing.
        for option, value, low, high in (
            ("--tokens", self.tokens, 1, LARGEST_TOKENS),
            ("--samples", self.samples, 1, LARGEST_SAMPLES),
            ("--min-tokens", self.min_tokens, 0, self.tokens),
            ("--temperature", self.temperature, 0, 100),
            ("--repetition-penalty", self.repetition_penalty, 0.01, 100),
            ("--presence-penalty", self.presence_penalty, -100, 100),
        ):
            if not low <= value <= high:
                raise ConfigError("value_outside", option=option, value=value, low=low, high=high)
        for option, share in (
            ("--top-p", self.top_p),
            ("--min-p", self.min_p),
            ("--typical", self.typical),
        ):
            if share is not None and not 0 < share <= 1:
                raise ConfigError("value_outside", option=option, value=share, low=0, high=1)
        if self.seed is not None and self.seed < 0:
            raise ConfigError("value_too_small", option="--seed", value=self.seed, least=0)
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError("value_too_small", option="--top-k", value=self.top_k, least=1)

    def _check_words(self) -> None:
        if self.read_ahead not in get_args(ReadAhead):
            raise ConfigError(
                "choice_unknown",
                option="--read-ahead",
                value=self.read_ahead,
                choices=", ".join(get_args(ReadAhead)),
            )
        for option, words in (
            ("--stop", self.stop),
            ("--forbid", self.forbid),
            ("--allow", self.allow),
        ):
            if "" in words:
                raise ConfigError("option_empty", option=option)
        if any(NO_CHARACTER in word for word in self.forbid):
            raise ConfigError("forbid_no_character")

    def _check_beams(self) -> None:
        if self.beams is None:
            if self.length_penalty is not None:
                raise ConfigError("option_alone", option="--length-penalty", other="--beams")
            return
        if not 1 <= self.beams <= LARGEST_BEAMS:
            raise ConfigError(
                "value_outside", option="--beams", value=self.beams, low=1, high=LARGEST_BEAMS
            )
        penalty = self.length_penalty
        if penalty is not None and not 0 <= penalty <= 10:
            raise ConfigError(
                "value_outside", option="--length-penalty", value=penalty, low=0, high=10
            )
        if self.samples > self.beams:
            raise ConfigError(
                "value_outside", option="--samples", value=self.samples, low=1, high=self.beams
            )
        for option, is_given in (
            ("--temperature", self.temperature != DEFAULT_TEMPERATURE),
            ("--top-k", self.top_k is not None),
            ("--top-p", self.top_p is not None),
            ("--min-p", self.min_p is not None),
            ("--typical", self.typical is not None),
        ):
            if is_given:  # they say how to draw, and a search draws nothing
                raise ConfigError("options_exclude", one="--beams", other=option)
