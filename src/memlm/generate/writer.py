"""One of the texts that are being written: its tokens become whole characters, until it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from memlm.generate.beams import Beam
from memlm.generate.config import GenerateConfig
from memlm.generate.stopping import StopWatch
from memlm.language_model import Tokenizer
from memlm.records import Generation


@dataclass
class Writer:
    """One of the texts that are being written."""

    tokenizer: Tokenizer
    prompt_ids: npt.NDArray[np.int64]
    config: GenerateConfig
    number: int
    on_text: Callable[[int, str], None]
    tokens: int = 0
    ended_by: Literal["", "length", "end", "stop", "forbidden"] = ""

    def __post_init__(self) -> None:
        self._text: list[str] = []
        self._decoder = self.tokenizer.decoder()
        for token in self.prompt_ids:  # what glue comes next depends on what came before
            self._decoder.feed(int(token))
        self._watch = StopWatch(self.config.stop)

    def feed(self, token: int, *, is_stuck: bool = False) -> None:
        """Take the next token, unless the text has ended; it ends where there was none to take."""
        if self.ended_by:
            return
        if is_stuck:
            self.ended_by = "forbidden"
            return
        self.tokens += 1
        if token == self.tokenizer.end and not self.config.ignore_end:
            self.ended_by = "end"
            return
        self._pass_on(self._watch.feed(self._decoder.feed(token)))
        if self._watch.has_stopped:
            self.ended_by = "stop"
        elif self.tokens == self.config.tokens:
            self.ended_by = "length"

    def take(self, beam: Beam) -> None:
        """Take all the tokens of a text that was found."""
        for token in beam.tokens.tolist():
            self.feed(token)
        self.feed(self.tokenizer.end, is_stuck=beam.is_stuck)

    def finish(self, prompt: str, label: str | None, speed: float) -> Generation:
        """Return the text as it is now, without half a character that may stand at its end."""
        if self.ended_by != "stop":
            self._pass_on(self._watch.finish())
        return Generation(
            prompt=prompt,
            text="".join(self._text),
            label=label,
            tokens=self.tokens,
            tokens_per_second=round(speed, 1),
            ended_by=self.ended_by or "length",
        )

    def _pass_on(self, text: str) -> None:
        if text:
            self._text.append(text)
            self.on_text(self.number, text)
