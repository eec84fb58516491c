"""What a person may say about how documents are cleaned, and the steps that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memlm.prepare.clean import clean_text
from memlm.prepare.draft import Draft, Step
from memlm.runtime import is_installed


@dataclass(frozen=True, kw_only=True)
class CleanConfig:
    """How to clean documents, and which to leave out."""

    without: tuple[str, ...] = ()
    """Step to leave out; may be given several times."""
    drop_repeats: bool = False
    """Leave out long passages that occurred before; they are counted and listed in any case."""

    @property
    def drops_copies(self) -> bool:
        """Whether copies are left out."""
        return "duplicates" not in self.without

    @property
    def finds_near_copies(self) -> bool:
        """Whether near copies are looked for."""
        return "near-duplicates" not in self.without and is_installed("rensa")

    @property
    def finds_repeats(self) -> bool:
        """Whether long passages that occur again are looked for."""
        return self.drop_repeats or "repeats" not in self.without

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CleanConfig:
        """Return the config that was written as JSON."""
        held: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in values.items()
        }
        return cls(**held)


class ControlsStep:
    name = "controls"

    def run(self, draft: Draft) -> Draft:
        text, origin = clean_text(draft.text)
        if origin is None:
            return draft
        return Draft(document=draft.document, text=text, origin=origin)


def text_steps(config: CleanConfig) -> list[Step]:
    return [ControlsStep()]
