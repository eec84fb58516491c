"""What a person may say about cleaning."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from memlm.errors import ConfigError
from memlm.runtime import is_installed, require_package

DUPLICATES, NEAR_DUPLICATES, REPEATS = "duplicates", "near-duplicates", "repeats"
DEFAULT_STEPS = ("repair", "controls", "boilerplate", DUPLICATES, NEAR_DUPLICATES, REPEATS)
_PACKAGES = {"repair": "ftfy", NEAR_DUPLICATES: "rensa"}
_LANGUAGE_CODE = re.compile("[a-z]{2,3}")
WhenQuality = Literal["auto", "on", "off"]


@dataclass(frozen=True, kw_only=True)
class CleanConfig:
    """How to clean documents, and which to leave out; None and () leave it as it was."""

    without: tuple[str, ...] = ()
    """Step of cleaning to leave out: repair, controls, boilerplate, duplicates (exact and near),
    near-duplicates, repeats; may be given several times."""
    quality: WhenQuality | None = None
    """Leave out what is no prose by the rules of Gopher: on, off, or auto (web pages only)."""
    languages: tuple[str, ...] = ()
    """Keep only documents in this language, such as en or zh; may be given several times."""
    simplify: bool | None = None
    """Turn traditional Chinese characters into simplified ones."""
    redact: bool | None = None
    """Mask e-mail addresses, telephone and card numbers, identity numbers, keys and passwords."""
    remove_stop_words: bool | None = None
    """Take out words that carry only grammar. A language model wants them: without them it learns
    no sentences."""
    drop_repeats: bool | None = None
    """Leave out long passages that occurred before; they are counted and listed in any case."""

    @property
    def drops_copies(self) -> bool:
        """Whether copies are left out."""
        return DUPLICATES not in self.without

    @property
    def finds_near_copies(self) -> bool:
        """Whether near copies are looked for."""
        return NEAR_DUPLICATES not in self.without

    def check(self) -> None:
        """Raise ConfigError where a value is impossible."""
        for step in self.without:
            _check_choice("--without", step, DEFAULT_STEPS)
        if self.quality is not None:
            _check_choice("--quality", self.quality, get_args(WhenQuality))
        for code in self.languages:
            if not _LANGUAGE_CODE.fullmatch(code):
                raise ConfigError("language_code_bad", value=code)
        if self.redact:
            require_package("phonenumbers", extra="words")

    def over(self, last: CleanConfig) -> CleanConfig:
        """Return this config, with what it leaves open as it is in `last`."""
        left_open = [f.name for f in fields(self) if getattr(self, f.name) in (None, ())]
        return replace(self, **{name: getattr(last, name) for name in left_open})

    def settled(self) -> tuple[CleanConfig, list[str]]:
        """Return what can be done here, and the steps that cannot for want of their package."""
        absent = [
            step
            for step, package in _PACKAGES.items()
            if step not in self.without and not is_installed(package)
        ]
        whole = self.over(DEFAULTS)
        return replace(whole, without=tuple(sorted({*self.without, *absent}))), absent

    @property
    def finds_repeats(self) -> bool:
        """Whether long passages that occur again are looked for."""
        return bool(self.drop_repeats) or REPEATS not in self.without

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CleanConfig:  # Any: JSON
        """Return the config that was written as JSON."""
        whole: dict[str, Any] = {  # Any: JSON; JSON has no tuples
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**whole)


DEFAULTS = CleanConfig(
    quality="auto", simplify=False, redact=False, remove_stop_words=False, drop_repeats=False
)
"""What is done where nothing was ever said."""


def _check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        close = difflib.get_close_matches(value, choices, n=1, cutoff=0.6)
        ordered = [*close, *(choice for choice in choices if choice not in close)]
        raise ConfigError("choice_unknown", option=option, value=value, choices=", ".join(ordered))
