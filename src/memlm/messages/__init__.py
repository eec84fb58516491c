"""Every sentence that memlm says to a person, in English and in 中文.

The sentences live in `en.toml` and `zh.toml`; code names them by key. A test renders every key in
both languages, so that none can be missing.
"""

from __future__ import annotations

import locale
import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Any, Literal, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


class _Formatter(Formatter):
    """What `str.format` does, and `{count:file|files}`: the word that agrees with a number."""

    def format_field(self, value: Any, format_spec: str) -> str:  # Any: as in `render`
        one, is_a_word, many = format_spec.partition("|")
        if is_a_word:
            return one if value == 1 else many
        return str(super().format_field(value, format_spec))


_FORMATTER = _Formatter()
_chosen: ContextVar[Language | None] = ContextVar("memlm_language", default=None)


def language_of_locale() -> Language:
    """Return the language that the environment asks for; English unless it is Chinese."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(variable)
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    name = locale.getlocale()[0] or ""  # Windows has no LANG and says "Chinese (Simplified)_China"
    return "zh" if name.lower().startswith(("zh", "chinese")) else "en"


def current_language() -> Language:
    """Return the language in force: the one chosen, else the locale's."""
    return _chosen.get() or language_of_locale()


@contextmanager
def in_language(language: Language | None) -> Iterator[None]:
    """Speak `language` inside the block (None: the locale's)."""
    token = _chosen.set(language)
    try:
        yield
    finally:
        _chosen.reset(token)


@cache
def catalogue(language: Language) -> dict[str, str]:
    """Return all sentences of one language as {dotted key: template}."""
    text = files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
    return dict(_flatten(tomllib.loads(text)))


def render(key: str, /, **values: Any) -> str:  # Any: whatever the sentence formats
    """Return the sentence `key` in the language in force, filled in with `values`."""
    return spell_out(_FORMATTER.vformat(catalogue(current_language())[key], (), values))


def spell_out(text: str) -> str:
    """Return a text with what no encoding can hold spelt out: `\\xff` in the name of a file.

    Python keeps such bytes of names as surrogates, at which writing a sentence would fail.
    """
    if text.isascii():
        return text
    text = _ESCAPED_BYTE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def join(*sentences: str) -> str:
    """Return sentences one after the other; Chinese ones need no space between them."""
    return ("" if current_language() == "zh" else " ").join(filter(None, sentences))


def find(key: str) -> str | None:
    """Return the template `key` in the language in force, or None where there is none."""
    return catalogue(current_language()).get(key)


def _flatten(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():  # Any: TOML values are tables or strings
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{key}.")
        else:
            yield key, value
