"""What a person may say about how a model is to write."""

from dataclasses import dataclass

from memlm.errors import ConfigError
from memlm.models import Precision

DEFAULT_TOKENS = 200
LARGEST_TOKENS = 1_000_000
LARGEST_SAMPLES = 1_024


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """How to write."""

    tokens: int = DEFAULT_TOKENS
    """Tokens to write, unless a stop or the end of a document comes first."""
    temperature: float = 0.8
    """Below 1 the likely becomes likelier; 0 always takes the likeliest."""
    top_k: int | None = None
    """Choose among the k likeliest tokens only."""
    top_p: float | None = None
    """Choose among the likeliest tokens that together have this probability."""
    samples: int = 1
    """Texts to write."""
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
        for option, value, most in (
            ("--tokens", self.tokens, LARGEST_TOKENS),
            ("--samples", self.samples, LARGEST_SAMPLES),
        ):
            if not 1 <= value <= most:
                raise ConfigError("value_outside", option=option, value=value, low=1, high=most)
        if self.seed is not None and self.seed < 0:
            raise ConfigError("value_too_small", option="--seed", value=self.seed, least=0)
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError("value_too_small", option="--top-k", value=self.top_k, least=1)
        if not 0 <= self.temperature <= 100:
            raise ConfigError(
                "value_outside", option="--temperature", value=self.temperature, low=0, high=100
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError("value_outside", option="--top-p", value=self.top_p, low=0, high=1)
        if "" in self.stop:
            raise ConfigError("stop_empty")
