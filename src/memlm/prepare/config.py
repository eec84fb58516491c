"""What a person may say about how documents become tokens."""

from dataclasses import dataclass

from memlm.errors import ConfigError

TOKENIZERS = ("auto", "char", "byte", "bpe", "word", "whitespace")


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How to cut documents into tokens, and which to hold out."""

    tokenizer: str = "auto"
    """auto, char, byte, bpe, word or whitespace (a line end ends the sentence)."""
    vocabulary_size: int | None = None
    """Largest number of tokens in the vocabulary; chosen from the text if not given."""
    held_out_share: float | None = None
    """Share of the documents that is not learned from but measured on; 0.1 if not given."""
    split_seed: int = 0
    """Another seed holds out other documents."""

    def check(self) -> None:
        """Raise ConfigError where a value is impossible."""
        if self.tokenizer not in TOKENIZERS:
            raise ConfigError(
                "choice_unknown",
                option="--tokenizer",
                value=self.tokenizer,
                choices=", ".join(TOKENIZERS),
            )
        if self.vocabulary_size is not None and self.vocabulary_size < 2:
            raise ConfigError(
                "value_too_small", option="--vocabulary-size", value=self.vocabulary_size, least=2
            )
        if self.held_out_share is not None and not 0 <= self.held_out_share < 1:
            raise ConfigError(
                "value_outside",
                option="--held-out-share",
                value=self.held_out_share,
                low=0,
                high=1,
            )
