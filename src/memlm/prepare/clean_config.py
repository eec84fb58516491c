"""What a person may say about cleaning, and the steps that follow from it, in their order."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from memlm.errors import ConfigError
from memlm.prepare.boilerplate import Boilerplate
from memlm.prepare.clean import Controls
from memlm.prepare.draft import Step
from memlm.prepare.language import KeepLanguages
from memlm.prepare.quality import Quality
from memlm.prepare.repair import Repair
from memlm.prepare.simplify import Simplify
from memlm.prepare.stop_words import RemoveStopWords

DEFAULT_STEPS = ("repair", "controls", "boilerplate")
_QUALITIES = ("auto", "on", "off")
_LANGUAGE_CODE = re.compile("[a-z]{2,3}")


@dataclass(frozen=True, kw_only=True)
class CleanConfig:
    """How to clean documents, and which to leave out."""

    without: tuple[str, ...] = ()
    """Steps of cleaning to leave out: repair, controls, boilerplate."""
    quality: Literal["auto", "on", "off"] = "auto"
    """Leave out what is no prose by the rules of Gopher: on, off, or auto (for web pages only)."""
    languages: tuple[str, ...] = ()
    """Keep only documents in these languages, such as `en zh`; all if not given."""
    simplify: bool = False
    """Turn traditional Chinese characters into simplified ones."""
    redact: bool = False
    """Mask names of people, addresses and numbers that identify a person."""
    remove_stop_words: bool = False
    """Take out English and Chinese words that carry only grammar, such as `the` and `的`."""
    drop_repeats: bool = False
    """Leave out documents that nearly repeat another one."""

    def check(self) -> None:
        """Raise ConfigError where a value is impossible."""
        for step in self.without:
            _check_choice("--without", step, DEFAULT_STEPS)
        _check_choice("--quality", self.quality, _QUALITIES)
        for code in self.languages:
            if not _LANGUAGE_CODE.fullmatch(code):
                raise ConfigError("language_code_bad", value=code)


def text_steps(
    config: CleanConfig, *, are_web_pages: bool = False, redaction: Sequence[Step] = ()
) -> list[Step]:
    """Return the steps that look at one document at a time, in the order in which they run.

    Args:
        config: What the user wishes.
        are_web_pages: What `quality="auto"` goes by.
        redaction: The steps that mask what identifies people; they run if `config.redact`.
    """
    steps: list[Step] = [
        step for step in (Repair(), Controls(), Boilerplate()) if step.name not in config.without
    ]
    if config.simplify:
        steps.append(Simplify())
    if config.languages:
        steps.append(KeepLanguages(config.languages))
    if config.quality == "on" or (config.quality == "auto" and are_web_pages):
        steps.append(Quality())
    if config.redact:
        steps += redaction
    if config.remove_stop_words:
        steps.append(RemoveStopWords())
    return steps


def _check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        close = difflib.get_close_matches(value, choices, n=1, cutoff=0.6)
        ordered = [*close, *(choice for choice in choices if choice not in close)]
        raise ConfigError("choice_unknown", option=option, value=value, choices=", ".join(ordered))
