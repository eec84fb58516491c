"""What a person may say about answers, beside how text is written."""

from __future__ import annotations

from dataclasses import dataclass

from memlm.errors import ConfigError

EXAMPLES_SHOWN = 3
MOST_EXAMPLES = 100


@dataclass(frozen=True, kw_only=True)
class AnswerConfig:
    """How a task is answered, beside how text is written."""

    examples: int = EXAMPLES_SHOWN
    """Training examples to show that are nearest to what was asked; 0 shows none."""
    recall: int = 0
    """Training examples to put before the question, the nearest last: few-shot from memory."""

    def check(self) -> None:
        """Raise ConfigError where a value is impossible."""
        for option, value in (("--examples", self.examples), ("--recall", self.recall)):
            if not 0 <= value <= MOST_EXAMPLES:
                raise ConfigError(
                    "value_outside", option=option, value=value, low=0, high=MOST_EXAMPLES
                )
