"""Telephone numbers: by how they are written, by the numbering plans, or by a word beside them.

A number of the world (`+44 ...`) and the shapes that people write for mainland China and North
America need no more than themselves. A national number with its leading zero must be valid in the
plan of one of the countries below (`phonenumbers`, Google's tables). Anything else of 7 to 15
digits counts only beside a word such as `phone`, `fax` or 电话.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from types import ModuleType

from memlm.prepare.evidence import Candidate, Strength, has_cue, matches_in
from memlm.runtime import require_package

# fmt: off
REGIONS = (
    "CN", "US", "GB", "DE", "FR", "IT", "ES", "NL", "BE", "CH", "AT", "SE", "DK", "NO", "FI",
    "PL", "IE", "PT", "AU", "NZ", "JP", "KR", "IN", "BR", "ZA", "SG", "HK", "TW", "RU",
)
# fmt: on
_FEWEST, _MOST = 7, 15  # digits; ITU-T E.164 allows fifteen
_FEWEST_NATIONAL = 9  # with the zero; below that, dates (08.4.28-30) are commoner

_ALONE = r"(?<![0-9A-Za-z+])(?<![0-9][.-])"
_ENDS = r"(?![0-9A-Za-z])(?![.-][0-9])"
_EXTENSION = r"(?: ?(?:x|ext\.?|#|转|轉|分机) ?[0-9]{1,6})?"
_SHAPED = re.compile(
    _ALONE + r"(?:"
    r"(?:(?:\+|00)?86[- ]?)?1[3-9][0-9](?:[0-9]{8}|([ -])[0-9]{4}\1[0-9]{4})"  # Chinese mobile
    r"|[(（]0[1-9][0-9]{1,2}[)）][ -]?[0-9]{7,8}"  # Chinese landline
    r"|(?:(?:\+|00)86[- ]?0?|0)(?:10|2[0-9]|[3-9][0-9]{2})-[0-9]{7,8}(?:-[0-9]{1,4})?"
    r"|400[ -]?[0-9]{3}[ -][0-9]{4}"
    r"|(?<![0-9] )(?:(?:\+|00)?1[-. ]?)?"  # North America
    r"(?:\([2-9][0-9]{2}\)[ -]?|[2-9][0-9]{2}[-. ])[0-9]{3}[-. ][0-9]{4}"
    r")" + _EXTENSION + _ENDS
)
_ANY = re.compile(
    _ALONE + r"(?:\+ ?)?[(（]?[0-9](?:[)）]? ?[-–./]? ?[(（]?[0-9]){6,16}" + _EXTENSION + _ENDS
)
_NOT_DIGITS = re.compile("[^0-9]")
_SPLIT_EXTENSION = re.compile("[xXeE#转轉分]")
_INTERNATIONAL = re.compile(r"\+|00(?! ?0)|001")
_TRUNK_ZERO = re.compile(r"\(?0[1-9]")
_SEPARATOR = re.compile(r"[ ./()-]+")
_DATE_OR_RANGE = re.compile(
    r"(?:1[0-9]|20)[0-9]{2}([-–./ ]{1,3})(?:0?[1-9]|1[0-2])\1[0-3]?[0-9]\b.*"
    r"|[0-3]?[0-9]([-./ ])[01]?[0-9]\2(?:1[0-9]|20)?[0-9]{2}"
    r"|(?:1[0-9]|20)[0-9]{2}(?: ?[-–/] ?| )(?:1[0-9]|20)[0-9]{2}"
)
_DECIMAL = re.compile(r"[0-9]+\.[0-9]+")
_CUE_BEFORE = re.compile(
    r"(?i)(?:\b(?:(?:tele)?phones?|tel|mobile|cell|(?:tele)?fax|pager|whatsapp|hotline|helpline|"
    r"landline|call(?:ed|ing)?|dial(?:led|ing)?|text(?:ed|ing)?|sms|messages?|answering|"
    r"telefon|tlf|handy|mobil|téléphone)(?![A-Za-z0-9_])|"
    r"电话|電話|手机|手機|座机|传真|傳真|热线|熱線|联系方式|联系人|拨打|致电|短信)"
    r"[^0-9\n]{0,24}\n?\Z"
    r"|\b(?:desk|office|home|work)[ :：(]{1,3}\Z"
)
_CUE_AFTER = re.compile(
    r"(?i)[ )–(-]{0,3}(?:office|fax|mobile|cell|desk|phone|tel|voice|home phone)\b(?![_0-9])"
)


@cache
def numbering_plans() -> ModuleType:
    """Return `phonenumbers`; MissingExtraError where it is not installed."""
    require_package("phonenumbers", extra="words")
    import phonenumbers

    return phonenumbers


def find_phones(text: str, start: int, end: int) -> Iterator[Candidate]:
    """Yield the telephone numbers that begin in a stretch with digits in it."""
    shaped = set()
    for match in matches_in(_SHAPED, text, start, end):
        shaped.add(match.start())
        yield Candidate(Strength.SHAPE, *match.span(), "phone")
    for match in matches_in(_ANY, text, start, end):
        if match.start() in shaped:  # the loose pattern may run on into a second number
            continue
        strength = _judge(text, match.start(), match.end())
        if strength:
            yield Candidate(strength, *match.span(), "phone")


def find_same_phones(text: str, start: int, end: int, known: set[str]) -> Iterator[Candidate]:
    """Yield what has the digits of a known number, with or without a word beside it."""
    for match in matches_in(_ANY, text, start, end):
        if digits_of_phone(match.group()) in known:
            yield Candidate(Strength.CUE, *match.span(), "phone")


def digits_of_phone(written: str) -> str:
    """Return what two writings of one number have in common; 86 before a Chinese mobile is not."""
    number, *extension = _SPLIT_EXTENSION.split(written, maxsplit=1)
    digits = _NOT_DIGITS.sub("", number).removeprefix("00")
    if len(digits) == len("8613800138000") and digits.startswith("861"):
        digits = digits[2:]
    return "x".join([digits, *(_NOT_DIGITS.sub("", rest) for rest in extension)])


def _judge(text: str, start: int, end: int) -> Strength | None:
    written = _SPLIT_EXTENSION.split(text[start:end])[0]
    digits = _NOT_DIGITS.sub("", written)
    if not _FEWEST <= len(digits) <= _MOST or _DATE_OR_RANGE.fullmatch(written):
        return None
    if _INTERNATIONAL.match(written) and _is_possible(written, digits):
        return Strength.CHECKED if written[0] == "+" else Strength.SHAPE
    is_spoken = has_cue(text, start, _CUE_BEFORE) or _CUE_AFTER.match(text, end)
    if is_spoken and not _DECIMAL.fullmatch(written):
        return Strength.CUE
    has_groups = len(_SEPARATOR.findall(written.strip("()"))) > 1
    is_long = len(digits) >= _FEWEST_NATIONAL
    if is_long and has_groups and _TRUNK_ZERO.match(written) and _is_valid_somewhere(digits):
        return Strength.SHAPE
    return None


def _is_possible(written: str, digits: str) -> bool:
    """Return whether a number with a country code has a length that the country gives out."""
    plans = numbering_plans()
    code = digits if written[0] == "+" else digits.removeprefix("00")
    try:
        return bool(plans.is_possible_number(plans.parse(f"+{code}")))
    except plans.NumberParseException:
        return False


def _is_valid_somewhere(digits: str) -> bool:
    plans = numbering_plans()
    for region in REGIONS:
        try:
            if plans.is_valid_number_for_region(plans.parse(digits, region), region):
                return True
        except plans.NumberParseException:
            continue
    return False
