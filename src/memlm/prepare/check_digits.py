"""Numbers that prove themselves: payment cards, IBANs, Chinese identity and US security numbers.

    payment card   Luhn: every second digit from the right doubled, the digit sum is 0 mod 10
    IBAN           ISO 13616: the first four characters last, letters as 10..35, is 1 mod 97
    Chinese id     GB 11643: ISO 7064 MOD 11-2 over 17 digits, and the digits hold a birth date
    US SSN         no check digit: areas 000, 666 and 900-999, group 00, serial 0000 do not exist

A tenth of all digit runs pass Luhn. So a card must also have the first digits and the length of an
issuer, or stand behind a word that says that it is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from memlm.prepare.evidence import Candidate, Strength, has_cue, matches_in

# A number stands for itself: not inside a longer one, a word or a decimal fraction. Hanzi may
# touch it.
_ALONE = r"(?<![0-9A-Za-z])(?<![0-9]\.)"
_ENDS = r"(?![0-9A-Za-z])(?!\.[0-9])"

_CARD = re.compile(
    _ALONE + r"(?:[0-9]{12,19}"
    r"|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{3,4}(?P<more>\1[0-9]{1,3})?"
    r"|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5})" + _ENDS
)
# ISO/IEC 7812 ranges as the issuers publish them, with the lengths that they give out.
_ISSUED = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-59]|[689][0-9])[0-9]{11,16}"  # Diners Club
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2}|62[0-9]{2}|81[0-9]{2})[0-9]{12,15}"  # Discover, UnionPay
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}|(?:2131|1800)[0-9]{11}"  # JCB
    r"|(?:50|5[6-8]|6[0137])[0-9]+"  # Maestro
    r"|220[0-4][0-9]{12,15}"  # Mir
)
_FEWEST_WITHOUT_CUE = 13  # Maestro's cards of twelve digits look like any number
_CARD_CUE = re.compile(
    r"(?i)(?:card|\bcc|visa|amex|mastercard|卡号|卡號|银行卡|銀行卡|信用卡|借记卡|储蓄卡|账号|帐号|卡)"
    r"[^0-9\n]{0,24}\n?\Z"
)

_IBAN_DIGITS = re.compile(r"[0-9]{2}(?= ?[0-9A-Za-z]{4} ?[0-9A-Za-z]{4})")
_SIGN = re.compile("[0-9A-Za-z]")
_IBAN = re.compile(
    r"[A-Za-z]{2}[0-9]{2}(?:[0-9A-Za-z]{11,29}|(?: [0-9A-Za-z]{4}){2,7}(?: [0-9A-Za-z]{1,3})?)"
)
# SWIFT IBAN registry, release 101.
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}

_CHINESE_ID = re.compile(_ALONE + r"[1-9][0-9]{16}[0-9Xx]" + _ENDS)
_PROVINCE = re.compile("1[1-5]|2[1-3]|3[1-7]|4[1-6]|5[0-4]|6[1-5]|71|8[1-3]|91")
_EARLIEST_BIRTH, _LATEST_BIRTH = 1900, 2099
_ID_WEIGHTS = tuple(2**power % 11 for power in range(17, 0, -1))
_ID_CHECKS = "10X98765432"

_SSN = re.compile(
    r"(?<![0-9A-Za-z])(?<![0-9][-.])(?!000|666|9)[0-9]{3}([- ]?)(?!00)[0-9]{2}\1(?!0000)[0-9]{4}"
    r"(?![0-9A-Za-z])(?![-.][0-9])"
)
_SSN_CUE = re.compile(r"(?i)(?:\bssn\b|social[ -]security|社会安全号|社安号)[^0-9\n]{0,24}\n?\Z")


def passes_luhn(digits: str) -> bool:
    """Return whether the last digit is the Luhn check digit of those before it."""
    total = 0
    for number, digit in enumerate(reversed(digits)):
        value = int(digit) << (number % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_iban(compact: str) -> bool:
    """Return whether an account number without spaces has its country's length and check digits."""
    upper = compact.upper()
    if _IBAN_LENGTHS.get(upper[:2]) != len(upper):
        return False
    return int("".join(str(int(sign, 36)) for sign in upper[4:] + upper[:4])) % 97 == 1


def is_chinese_id(number: str) -> bool:
    """Return whether 18 characters have a province, a birth date and the right check character."""
    if _PROVINCE.match(number) is None:
        return False
    if not _EARLIEST_BIRTH <= int(number[6:10]) <= _LATEST_BIRTH:
        return False
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, number, strict=False))
    return _ID_CHECKS[total % 11] == number[17].upper()


def find_in_digits(text: str, start: int, end: int) -> Iterator[Candidate]:
    """Yield the cards, Chinese ids and US numbers that begin in a stretch with digits in it."""
    yield from _find_cards(text, start, end)
    for match in matches_in(_CHINESE_ID, text, start, end):
        if is_chinese_id(match.group()):
            yield Candidate(Strength.CHECKED_TWICE, *match.span(), "chinese_id")
    for match in matches_in(_SSN, text, start, end):
        if has_cue(text, match.start(), _SSN_CUE):
            yield Candidate(Strength.CHECKED, *match.span(), "us_ssn")
        elif match.group(1) == "-":
            yield Candidate(Strength.SHAPE, *match.span(), "us_ssn")


def find_ibans(text: str) -> Iterator[Candidate]:
    """Yield the international bank account numbers of a text."""
    for digits in _IBAN_DIGITS.finditer(text):
        start = digits.start() - 2
        if start < 0 or _SIGN.match(text[start - 1 : start]):
            continue
        match = _IBAN.match(text, start)
        end = match and _iban_end(text, start, match.end())
        if end:
            yield Candidate(Strength.CHECKED_TWICE, start, end, "iban")


def _find_cards(text: str, start: int, end: int) -> Iterator[Candidate]:
    for match in matches_in(_CARD, text, start, end):
        ends = [match.end()]
        if match["more"]:  # the last digits of nineteen, or the first of the next number
            ends.append(match.start("more"))
        is_named = has_cue(text, match.start(), _CARD_CUE)
        for last in ends:
            if _is_card(re.sub("[ -]", "", text[match.start() : last]), is_named=is_named):
                yield Candidate(Strength.CHECKED, match.start(), last, "payment_card")
                break


def _is_card(digits: str, *, is_named: bool) -> bool:
    if not passes_luhn(digits) or digits.strip(digits[0]) == "":
        return False
    return is_named or (len(digits) >= _FEWEST_WITHOUT_CUE and bool(_ISSUED.fullmatch(digits)))


def _iban_end(text: str, start: int, longest: int) -> int | None:
    """Return where the account number ends that its country's length cuts from what follows."""
    wanted = _IBAN_LENGTHS.get(text[start : start + 2].upper())
    signs = 0
    for place in range(start, longest):
        signs += text[place] != " "
        if signs == wanted:
            compact = text[start : place + 1].replace(" ", "")
            goes_on = _SIGN.match(text, place + 1) is not None
            return place + 1 if not goes_on and is_iban(compact) else None
    return None
