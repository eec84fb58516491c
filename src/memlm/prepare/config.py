"""What a person may say about how documents become tokens."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, get_args

from memlm.errors import ConfigError, NotFoundError

TOKENIZERS = ("auto", "char", "byte", "bpe", "word", "whitespace")
Owner = Literal["document", "file"]


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How to cut documents into tokens, and which to hold out; None leaves it as it was."""

    tokenizer: str | None = None
    """auto, char, byte, bpe, word, whitespace (a line end ends the sentence), or the path of a
    tokenizer.json."""
    vocabulary_size: int | None = None
    """Largest number of tokens in the vocabulary; chosen from the text if not given."""
    held_out_share: float | None = None
    """Share of the documents that is not learned from but measured on; 0.1 if not given."""
    sealed: float | None = None
    """Share of the documents that is put away: neither learned from nor measured on until asked."""
    split_seed: int | None = None
    """Another seed holds out other documents."""
    split_by: Owner | None = None
    """document, or file: all rows of one file stay on one side."""
    group_column: str | None = None
    """Column whose documents stay on one side where they share its value (an author, a patient)."""

    def check(self) -> None:
        """Raise ConfigError where a value is impossible."""
        if self.tokenizer not in (None, *TOKENIZERS) and not is_tokenizer_file(self.tokenizer):
            if str(self.tokenizer).endswith(".json"):
                raise NotFoundError("source_missing", path=self.tokenizer)
            raise ConfigError(
                "choice_unknown",
                option="--tokenizer",
                value=self.tokenizer,
                choices=", ".join((*TOKENIZERS, "FILE.json")),
            )
        if self.vocabulary_size is not None and self.vocabulary_size < 2:
            raise ConfigError(
                "value_too_small", option="--vocabulary-size", value=self.vocabulary_size, least=2
            )
        if self.split_by not in (None, *get_args(Owner)):
            raise ConfigError(
                "choice_unknown", option="--split-by", value=self.split_by, choices="document, file"
            )
        _check_share("--held-out-share", self.held_out_share or 0.0)
        _check_share("--sealed", self.sealed or 0.0)
        both = (self.held_out_share or 0.0) + (self.sealed or 0.0)
        _check_share("--held-out-share + --sealed", both)

    def over(self, last: PrepareConfig) -> PrepareConfig:
        """Return this config, with what it leaves open as it is in `last`.

        The size of a vocabulary goes with its tokenizer.
        """
        open_ = {field.name for field in fields(self) if getattr(self, field.name) is None}
        if self.tokenizer not in (None, last.tokenizer):
            open_ -= {"vocabulary_size"}
        return replace(self, **{name: getattr(last, name) for name in open_})


DEFAULTS = PrepareConfig(tokenizer="auto", sealed=0.0, split_seed=0, split_by="document")
"""What is done where nothing was ever said."""


def is_tokenizer_file(wish: str | None) -> bool:
    """Say whether a wished-for tokenizer is a file of somebody's own."""
    return wish is not None and wish.endswith(".json") and Path(wish).expanduser().is_file()


def _check_share(option: str, share: float) -> None:
    if not 0 <= share < 1:
        raise ConfigError("share_outside", option=option, value=share)
