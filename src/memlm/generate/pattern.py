r"""How a conversation is written as one text, for a model that only continues text.

A base model knows no roles. What it reads is the turns one after the other, each in a pattern: what
the person said stands for `{you}`, what the model goes on with for `{model}`. The default lets the
model finish what the person began, up to a blank line. `ROMEO:\n{you}\n\nJULIET:\n{model}\n\n` has
it answer as one of the voices in a play that it has read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from memlm.errors import ConfigError
from memlm.records import Turn

DEFAULT_PATTERN = r"{you}{model}\n\n"
_SHAPE = re.compile(r"(.*)\{you\}(.*)\{model\}(.*)", re.DOTALL)
_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}


@dataclass(frozen=True)
class Pattern:
    """What stands around the two voices of a turn."""

    before: str
    between: str
    after: str

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end an answer: what follows it, or else what the next turn begins with."""
        end = self.after or self.before
        return (end,) if end else ()

    def opening(self, line: str) -> str:
        """Return a turn up to where the model goes on."""
        return self.before + line + self.between

    def next_turn(self, line: str, *, is_first: bool) -> str:
        """Return what is read before an answer, after the answer before it.

        An empty line asks for more: that answer goes on as if it had not ended.
        """
        if is_first:
            return self.opening(line)
        return self.after + self.opening(line) if line else ""

    def told(self, turns: Sequence[Turn]) -> str:
        """Return turns as the model read and wrote them, up to the end of the last answer."""
        return "".join(
            self.next_turn(turn.line, is_first=number == 0) + turn.answer
            for number, turn in enumerate(turns)
        )


def parse_pattern(text: str) -> Pattern:
    r"""Return the pattern that a person wrote, with `\n`, `\t` and `\\` for what they stand for.

    Raises ConfigError unless `{you}` stands in it once, and `{model}` once behind it.

    >>> parse_pattern(r"A: {you}\nB: {model}\n").opening("Hello")
    'A: Hello\nB: '
    """
    found = _SHAPE.fullmatch(text)
    if found is None or text.count("{you}") != 1 or text.count("{model}") != 1:
        raise ConfigError("chat_pattern", pattern=text)
    return Pattern(
        *(re.sub(r"\\[nt\\]", lambda one: _ESCAPES[one[0]], part) for part in found.groups())
    )
