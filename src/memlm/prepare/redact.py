"""Personal data masked: each secret becomes a placeholder such as `[EMAIL_1]`, and stays one.

Within a document the same secret always gets the same placeholder, numbered by first appearance:
the text keeps who is who and loses who they are. Two writings of one secret are the same (the case
of an e-mail, the separators of a number).

A placeholder is ASCII capitals, an underscore and a number in square brackets. Every tokenizer
cuts that into few, always equal pieces; it needs no space around it, so that it stands in Chinese
as well as in English; and no rule finds anything in it. Where a text already holds such a word,
the numbers go on after it, so that what stands in brackets and is numbered higher is ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from memlm.prepare.draft import Draft, collected_span, with_edits
from memlm.prepare.personal import find_personal_data, halfwidth
from memlm.prepare.phones import digits_of_phone
from memlm.records import PERSONAL_KINDS, PersonalData, PersonalKind, PersonalPlace

PLACEHOLDER_WORDS: dict[PersonalKind, str] = {
    "email": "EMAIL",
    "phone": "PHONE",
    "ip_address": "IP",
    "payment_card": "CARD",
    "iban": "IBAN",
    "chinese_id": "CHINESE_ID",
    "us_ssn": "US_SSN",
    "private_key": "PRIVATE_KEY",
    "access_token": "SECRET",
}
assert PLACEHOLDER_WORDS.keys() == set(PERSONAL_KINDS)
_PLACEHOLDER = re.compile(rf"\[({'|'.join(PLACEHOLDER_WORDS.values())})_([0-9]{{1,9}})\]")
_NOT_OF_NUMBER = re.compile(r"[^0-9A-Z]")
# Taking one secret out can bare another that overlapped it. Twice was the most ever seen.
_ROUNDS = 8


class RedactStep:
    """The step of preparing that masks personal data and secrets."""

    name = "redact"

    def run(self, draft: Draft) -> Draft:
        """Return the draft with a typed placeholder for everything that was found."""
        masked, places = redact_draft(draft)
        if not places:
            return draft
        return replace(masked, masked=(*draft.masked, *places))


def redact_draft(draft: Draft) -> tuple[Draft, list[PersonalPlace]]:
    """Return the masked draft, and where in the collected text each masked stretch was.

    Masking what is masked already changes nothing.
    """
    places: list[PersonalPlace] = []
    numbering = _Numbering.after(draft.text)
    for _ in range(_ROUNDS):
        found = find_personal_data(draft.text)
        if not found:
            break
        places += [place_of(draft, one) for one in found]
        draft = with_edits(
            draft,
            [(one.start, one.end, numbering.placeholder(draft.text, one)) for one in found],
        )
    places.sort(key=lambda place: place.start)
    return draft, places


def place_of(draft: Draft, found: PersonalData) -> PersonalPlace:
    """Return where in the collected document something stood that was found in a draft of it."""
    start, end = collected_span(draft, found.start, found.end)
    return PersonalPlace(
        document_id=draft.document.id,
        source=draft.document.source,
        kind=found.kind,
        start=start,
        end=end,
    )


@dataclass
class _Numbering:
    """The numbers given out in one document; it lives no longer than the masking of it."""

    last: dict[str, int] = field(default_factory=dict)
    given: dict[tuple[PersonalKind, str], str] = field(default_factory=dict, repr=False)

    @classmethod
    def after(cls, text: str) -> _Numbering:
        """Return a numbering that goes on after the placeholders that a text already holds."""
        numbering = cls()
        for word, number in _PLACEHOLDER.findall(text):
            numbering.last[word] = max(numbering.last.get(word, 0), int(number))
        return numbering

    def placeholder(self, text: str, found: PersonalData) -> str:
        key = (found.kind, _same_form(found.kind, text[found.start : found.end]))
        if key not in self.given:
            word = PLACEHOLDER_WORDS[found.kind]
            self.last[word] = self.last.get(word, 0) + 1
            self.given[key] = f"[{word}_{self.last[word]}]"
        return self.given[key]


def _same_form(kind: PersonalKind, secret: str) -> str:
    """Return what two writings of the same secret have in common."""
    secret = halfwidth(secret)
    if kind in ("private_key", "access_token"):
        return secret
    if kind in ("email", "ip_address"):
        return secret.lower()
    if kind == "phone":
        return digits_of_phone(secret)
    return _NOT_OF_NUMBER.sub("", secret.upper())
