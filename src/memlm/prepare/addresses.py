"""Addresses on the internet: e-mail and IP.

Both are looked for where their rarest character is, so that prose costs nothing: the at sign, a
dotted quad of digits, two colons with hexadecimal digits between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from memlm.prepare.evidence import Candidate, Strength, has_cue

_LONGEST_LOCAL, _LONGEST_DOMAIN = 64, 255  # RFC 5321
_LETTER = "A-Za-z0-9À-ÖØ-öø-ɏ"  # Latin ones only: hanzi stand beside an address without a space
# From the at sign backwards.
_LOCAL = re.compile(rf"[{_LETTER}_+-](?:[{_LETTER}_.%+&'-]*[{_LETTER}_])?")
_DOMAIN = re.compile(
    rf"(?:[{_LETTER}](?:[{_LETTER}-]{{0,61}}[{_LETTER}])?\.)+"
    r"([A-Za-z]{2,24})(?![A-Za-z_]|-[A-Za-z0-9])"
)
_NO_DOMAIN = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp"})  # icon@2x.png

_QUAD = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
_NOT_BEFORE_QUAD = re.compile(r"(?:[0-9A-Za-z_]|[0-9]\.)\Z")
_VERSION = re.compile(
    r"(?i)(?:\b(?:version|ver|release|build|firmware|section|chapter|clause)|版本|版|章|节|§)"
    r"[^0-9\n]{0,24}\Z|\bv\.? ?\Z"
)
_IP_CUE = re.compile(
    r"(?i)(?:\bip(?:v4)?\b|address|host|server|gateway|dns|ping|ssh|地址|主机|服务器|网关)"
    r"[^0-9\n]{0,24}\n?\Z"
)
_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")
_BEFORE_V6 = re.compile(r"[0-9A-Za-z:.]*\Z")
_AFTER_V6 = re.compile(r"[0-9A-Za-z:.]*")
_LONGEST_V6 = 45
_FEWEST_GROUPS = 3


def find_emails(text: str) -> Iterator[Candidate]:
    """Yield the e-mail addresses of a text."""
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1, at + 1 + _LONGEST_DOMAIN)
        local = _LOCAL.match(text[max(0, at - _LONGEST_LOCAL) : at][::-1])
        # git@host:path names a machine, not a person.
        if (
            domain
            and local
            and local.group() != "tig"
            and domain.group(1).lower() not in _NO_DOMAIN
        ):
            yield Candidate(Strength.MARKED, at - local.end(), domain.end(), "email")
        at = text.find("@", at + 1)


def find_ip_addresses(text: str) -> Iterator[Candidate]:
    """Yield the IP addresses that may lead to somebody: not this machine, not a network mask.

    A quad of single digits is a numbered section or a version unless a word says otherwise.
    """
    for match in _QUAD.finditer(text):
        if _is_address(text, *match.span()):
            yield Candidate(Strength.CHECKED, *match.span(), "ip_address")
    reached = 0
    for match in _COLONS.finditer(text):
        if match.start() < reached:
            continue
        before = _BEFORE_V6.search(text, max(0, match.start() - _LONGEST_V6), match.start())
        after = _AFTER_V6.match(text, match.start(), match.start() + _LONGEST_V6)
        assert before  # either may be empty
        assert after
        start, reached = before.start(), max(after.end(), match.end())
        word = text[start:reached].rstrip(".")
        if word.endswith(":") and not word.endswith("::"):
            word = word[:-1]
        if _is_v6(word):
            yield Candidate(Strength.CHECKED, start, start + len(word), "ip_address")


def _is_address(text: str, start: int, end: int) -> bool:
    quad = text[start:end]
    if _NOT_BEFORE_QUAD.search(text[max(0, start - 2) : start]):
        return False
    following = text[end : end + 2]
    if following[:1].isascii() and following[:1].isalnum():
        return False
    if following[:1] == "." and following[1:].isdigit():
        return False
    try:
        address = IPv4Address(quad)
    except AddressValueError:
        return False
    if address.is_loopback or address.is_unspecified or quad.startswith("255."):
        return False
    if has_cue(text, start, _VERSION):
        return False
    return len(quad) > len("1.2.3.4") or has_cue(text, start, _IP_CUE)


def _is_v6(word: str) -> bool:
    groups = [group for group in word.split(":") if group]
    if len(groups) < _FEWEST_GROUPS or not any(sign.isdigit() for sign in word):
        return False
    try:
        address = IPv6Address(word)
    except AddressValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)
