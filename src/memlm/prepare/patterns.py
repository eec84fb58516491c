"""Could a regular expression of somebody else's take for ever?

The library of tokenizers searches with backtracking, so a pattern such as `(a+)+b` tries out every
way to cut a run of a's: twice the time for each more. A pattern is taken only where nothing is
repeated that can itself be matched in several ways (a repeat, a choice), nothing refers back, and
few repeats follow one another. The patterns of GPT-2, Llama, Qwen, DeepSeek and their like are so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MOST_REPEATS = 2
"""Long ones in one branch: the time grows with the length to that power at the most."""
MOST_OPTIONS = 8
"""Short ones in one branch: each may double the time."""
_ESCAPED = re.compile(r"\\(.?)", re.DOTALL)
_COMMENTS = re.compile(r"\(\?(#|[a-z-]*x)", re.IGNORECASE)
"""A comment, or the option `x` under which spaces and comments are nothing."""
_UNREAD_ESCAPES = frozenset("cCM")
"""They take in what stands behind them: `\\c[` is one character."""
_SHORT = 4
_LONGEST = 4096


@dataclass
class _Seen:
    """What was seen of a group, or of the whole."""

    repeats: int = 0
    """Long ones, in the branch under way, those of groups inside it included."""
    options: int = 0
    """Short ones likewise."""
    is_open: bool = False
    """Whether it can match one text in several ways."""

    def is_too_much(self) -> bool:
        return self.repeats > MOST_REPEATS or self.options > MOST_OPTIONS


def is_safe_pattern(pattern: str) -> bool:
    """Say whether a regular expression ends soon on every text, as far as its form tells.

    >>> is_safe_pattern(r" ?\\p{L}+|\\s+(?!\\S)"), is_safe_pattern(r"(a+)+b")
    (True, False)
    """
    if len(pattern) > _LONGEST or not _is_read_as_written(pattern):
        return False
    groups, last, place = [_Seen()], _Seen(), 0
    while place < len(pattern):
        step, found = 1, None
        if pattern[place] == "\\":
            if pattern[place + 1 : place + 2] in (*"0123456789kg", ""):
                return False  # it refers back
            step, last = _escape_length(pattern, place), _Seen()
        elif pattern[place] == "[":
            step, last = _class_length(pattern, place), _Seen()
        elif (found := _repeat(pattern, place)) is not None:
            step = found.length
            if found.is_many and last.is_open:
                return False
            _count(groups[-1], found)
            last = _Seen(is_open=last.is_open or found.is_variable)
        else:
            step = 2 if pattern.startswith("(?", place) else 1  # a group of some kind
            last = _step(groups, pattern[place])
        if not groups or groups[-1].is_too_much():
            return False
        place += step
    return len(groups) == 1


def _is_read_as_written(pattern: str) -> bool:
    """Say whether every character counts, and escapes end where this file thinks."""
    if not _UNREAD_ESCAPES.isdisjoint(_ESCAPED.findall(pattern)):
        return False
    return _COMMENTS.search(_ESCAPED.sub("_", pattern)) is None


def _step(groups: list[_Seen], character: str) -> _Seen:
    """Take in a character that is no repeat; return what a repeat behind it would repeat."""
    if character == "(":
        groups.append(_Seen())
    elif character == ")":
        inner = groups.pop()
        if groups:
            groups[-1].repeats += inner.repeats
            groups[-1].options += inner.options
            groups[-1].is_open |= inner.is_open
        return inner
    elif character == "|":
        groups[-1].is_open = True
        if len(groups) == 1:  # branches of the whole are tried one after the other
            groups[0].repeats = groups[0].options = 0
    return _Seen()


@dataclass(frozen=True)
class _Repeat:
    length: int
    """In characters, with the mark behind it (`+?`, `++`)."""
    is_many: bool
    """More than once."""
    is_variable: bool
    is_long: bool


def _count(group: _Seen, repeat: _Repeat) -> None:
    if repeat.is_variable:
        group.is_open = True
        group.repeats += repeat.is_long
        group.options += not repeat.is_long


def patterns_in(value: Any) -> Iterator[str]:  # Any: JSON
    """Yield every regular expression in a part of a `tokenizer.json`."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key == "Regex" and isinstance(one, str):
                yield one
            else:
                yield from patterns_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from patterns_in(one)


def _repeat(pattern: str, place: int) -> _Repeat | None:
    """Return the repeat that stands here; None where there is none."""
    character, length = pattern[place], 1
    if character in "*+?":
        low, high = "0", "1" if character == "?" else ""
    elif character == "{" and (end := pattern.find("}", place)) > 0:
        low, comma, high = pattern[place + 1 : end].partition(",")
        if not (low + high).isdigit():
            return None
        low, high, length = low or "0", high if comma else low, end - place + 1
    else:
        return None
    most = int(high) if high else 1 << 30
    # Behind braces a plus is a repeat of the repeat, and so is `?` where both numbers are one.
    marks = "?+" if character != "{" else "?" if low != high else ""
    mark = pattern[place + length : place + length + 1]
    length += mark != "" and mark in marks
    return _Repeat(length, most > 1, low != high, most > _SHORT)


def _escape_length(pattern: str, place: int) -> int:
    if pattern[place + 1 : place + 2] in ("p", "P", "x") and pattern[place + 2 : place + 3] == "{":
        return pattern.find("}", place) + 1 - place or 2
    return 2


def _class_length(pattern: str, place: int) -> int:
    """Return the length of a class of characters, those inside it included."""
    depth, at = 0, place
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            depth += 1
        elif pattern[at] == "]":
            depth -= 1
            if depth == 0:
                return at + 1 - place
        at += 1
    return len(pattern) - place
