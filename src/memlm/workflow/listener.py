"""Who hears what a verb does while it does it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memlm import messages

if TYPE_CHECKING:
    from memlm.train.loop import Step
    from memlm.train.run import TrainingRun


class Listener:
    """Hears what a verb does while it does it. This one writes to the log `memlm`; subclass it."""

    def note(self, code: str, **values: Any) -> None:  # Any: whatever the sentence formats
        """Something that was decided or found: `note.<code>` is its sentence."""
        logging.getLogger("memlm").info(messages.render(f"note.{code}", **values))

    def progress(self, stage: str, done: int, total: int) -> None:
        """How far a long stage is: `stage.<stage>` is its name."""

    def step(self, run: TrainingRun, step: Step, sample: Callable[[], str] | None) -> None:
        """A step of training; `sample()` writes a few words, where that may be shown now."""


class SilentListener(Listener):
    """Keeps what it hears to itself: another process says it."""

    def note(self, code: str, **values: Any) -> None:  # Any: as above
        pass
