"""Where a text holds personal data or secrets: e-mail, phone, cards, identity numbers, keys.

Each kind has its own file of rules. All of them look first for something rare (an at sign, seven
digits close together, the first letters of a token), so that prose passes at the speed of a search.
Full-width digits and letters count as their plain ones; every offset is one of the text as given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from memlm.prepare.addresses import find_emails, find_ip_addresses
from memlm.prepare.check_digits import find_ibans, find_in_digits
from memlm.prepare.credentials import (
    find_assigned,
    find_private_keys,
    find_same_secrets,
    find_tokens,
)
from memlm.prepare.evidence import Candidate, Strength, keep_strongest
from memlm.prepare.phones import digits_of_phone, find_phones, find_same_phones, numbering_plans
from memlm.records import PersonalData

_WIDE_WORD = re.compile("[０-９Ａ-Ｚａ-ｚ＠]")
_WIDE = re.compile("[０-９Ａ-Ｚａ-ｚ＠．－＋＿]")
_WIDE_TO_PLAIN = 0xFEE0
# Seven digits with no more than three signs between two of them: the shortest phone number.
_DIGITS = re.compile(r"[0-9](?:[^0-9A-Za-z\n]{0,3}[0-9]){6,}")
_BEFORE_DIGITS = 3  # `+ (`


def find_personal_data(text: str) -> list[PersonalData]:
    """Return where a text holds personal data or secrets, in order and without overlaps.

    A record says kind and place, never what stands there. What a word beside it gave away once
    (`phone: 358 0594`) is found wherever else it stands in the text.
    Raises MissingExtraError where `phonenumbers` is not installed.
    """
    numbering_plans()
    plain = halfwidth(text)
    kept = keep_strongest(_find_all(plain))
    repeats = list(_find_repeats(plain, kept))
    if repeats:
        kept = keep_strongest(kept + repeats)
    return [PersonalData(found.kind, found.start, found.end) for found in kept]


def halfwidth(text: str) -> str:
    """Return a text of the same length with full-width digits and letters as plain ones."""
    if _WIDE_WORD.search(text) is None:
        return text
    return _WIDE.sub(lambda match: chr(ord(match.group()) - _WIDE_TO_PLAIN), text)


def _find_all(text: str) -> list[Candidate]:
    found = [
        *find_private_keys(text),
        *find_tokens(text),
        *find_assigned(text),
        *find_emails(text),
        *find_ip_addresses(text),
        *find_ibans(text),
    ]
    for start, end in _stretches_with_digits(text):
        found += find_in_digits(text, start, end)
        found += find_phones(text, start, end)
    return found


def _find_repeats(text: str, found: list[Candidate]) -> Iterator[Candidate]:
    """Yield numbers and secrets that a word gave away once, wherever else they stand."""
    phones = {digits_of_phone(text[one.start : one.end]) for one in found if one.kind == "phone"}
    if phones:
        for start, end in _stretches_with_digits(text):
            yield from find_same_phones(text, start, end, phones)
    secrets = {
        text[one.start : one.end]
        for one in found
        if one.strength in (Strength.ASSIGNED, Strength.ENCLOSED) and one.kind == "access_token"
    }
    yield from find_same_secrets(text, secrets)


def _stretches_with_digits(text: str) -> Iterator[tuple[int, int]]:
    for match in _DIGITS.finditer(text):
        yield max(0, match.start() - _BEFORE_DIGITS), match.end()
