"""A stretch of text that may be personal data, and how strongly its own shape says so.

Where two stretches overlap, the one with the stronger evidence is kept: a check digit that fits
says more than a shape, and a shape says more than a word beside it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from memlm.records import PersonalKind

_LONGEST_NUMBER = 128  # code points, with separators and what must not follow
_CUE_REACH = 48  # code points: how far before a number the word may stand that explains it


class Strength(IntEnum):
    """How sure a rule is, weakest first."""

    CUE = 1
    """Only a word beside it says what it is: `phone: 358 0594`."""
    SHAPE = 2
    """Written the way only this kind is written: `(212) 555-0123`."""
    CHECKED = 3
    """A check digit, or a numbering plan, agrees."""
    CHECKED_TWICE = 4
    """A check digit and something else that must fit: a birth date, a country's length."""
    MARKED = 5
    """It says itself what it is: `ghp_...`, an address with its at sign."""
    ASSIGNED = 6
    """The value that a name of a secret is set to, whatever it holds."""
    ENCLOSED = 7
    """Between the marks of its format, whatever it holds: a key block, a URL's password."""


class Candidate(NamedTuple):
    """A stretch (code points, end not included) that one rule takes for one kind."""

    strength: Strength
    start: int
    end: int
    kind: PersonalKind


def matches_in(rule: re.Pattern[str], text: str, start: int, end: int) -> Iterator[re.Match[str]]:
    """Yield the matches that begin in a stretch; what stands around it is seen as well."""
    for match in rule.finditer(text, start, end + _LONGEST_NUMBER):
        if match.start() < end:
            yield match


def keep_strongest(candidates: list[Candidate]) -> list[Candidate]:
    """Return those that no stronger one overlaps, in the order of the text."""
    kept: list[Candidate] = []
    reached = -1
    group: list[Candidate] = []
    # Only neighbours that overlap need to be compared, so that a long list costs little.
    for candidate in sorted(candidates, key=lambda one: (one.start, one.end)):
        if candidate.start >= reached:
            kept += _strongest_of(group)
            group = []
        group.append(candidate)
        reached = max(reached, candidate.end)
    return kept + _strongest_of(group)


def has_cue(text: str, start: int, cue: re.Pattern[str]) -> bool:
    """Return whether `cue`, a pattern that ends with `\\Z`, matches right before `start`."""
    return cue.search(text[max(0, start - _CUE_REACH) : start]) is not None


def _strongest_of(group: list[Candidate]) -> list[Candidate]:
    kept: list[Candidate] = []
    known = {one[1:3] for one in group if one.strength != Strength.ASSIGNED}
    # A value that is an address from end to end is an address that happens to be set to a name.
    group = [one for one in group if one.strength != Strength.ASSIGNED or one[1:3] not in known]
    for one in sorted(group, key=lambda one: (-one.strength, one.start - one.end, one.start)):
        at = bisect_left(kept, one.start, key=lambda other: other.start)
        free_before = at == 0 or kept[at - 1].end <= one.start
        if free_before and (at == len(kept) or one.end <= kept[at].start):
            kept.insert(at, one)
    return kept
