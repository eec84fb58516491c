"""What may a guest visit? The rules of a server's robots.txt, read as RFC 9309 says.

The group that names us counts, else the one for all (`*`). Of its rules the one with the longest
pattern that fits decides, and of two equally long ones the one that allows. In a pattern `*` is
anything and a `$` at its end the end of the address. Python's own `urllib.robotparser` knows
neither, and takes the first rule that fits.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

_MOST_BYTES = 1 << 20
"""What is read; RFC 9309 asks for 500 KiB at least."""
_RULES = ("allow", "disallow", "crawl-delay")
_AGENT_NAME = re.compile(r"[A-Za-z_-]+")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_MEANS_ITSELF = re.compile(r"[A-Za-z0-9._~-]")


@dataclass(frozen=True)
class Rule:
    """Whether what a pattern fits may be visited."""

    pattern: str
    is_allowed: bool

    def fits(self, path: str) -> bool:
        """Say whether the pattern fits a path and query; in time that grows with both only."""
        is_anchored = self.pattern.endswith("$")
        first, *others = self.pattern.removesuffix("$").split("*")
        if not path.startswith(first):
            return False
        at = len(first)
        if not others:
            return not is_anchored or at == len(path)
        *middle, last = others
        for part in middle:
            found = path.find(part, at)
            if found < 0:
                return False
            at = found + len(part)
        if is_anchored:
            return path.endswith(last) and len(path) - len(last) >= at
        return path.find(last, at) >= 0


@dataclass(frozen=True)
class Robots:
    """What one server asks of us."""

    rules: tuple[Rule, ...] = ()
    crawl_delay: float = 0.0
    """Seconds between two requests; no part of the RFC, and many ask for it."""

    def allows(self, address: str) -> bool:
        """Say whether an address of this server may be visited."""
        parts = urlsplit(address)
        path = _comparable(f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
        fitting = (rule for rule in self.rules if rule.fits(path))
        decisive = max(fitting, key=lambda rule: (len(rule.pattern), rule.is_allowed), default=None)
        return decisive is None or decisive.is_allowed


FORBIDS_ALL = Robots((Rule("/", is_allowed=False),))


def read_robots(body: bytes, agent: str) -> Robots:
    """Return what a robots.txt says to the program called `agent`, without its version."""
    for_us: list[tuple[str, str]] = []
    for_all: list[tuple[str, str]] = []
    names_us, agents, in_rules = False, set[str](), True
    for key, value in _lines(body):
        if key == "user-agent":
            # Names that follow one another share what comes after them.
            agents = {_name(value)} if in_rules else agents | {_name(value)}
            names_us, in_rules = names_us or agent.lower() in agents, False
        elif key in _RULES:
            in_rules = True
            for name, lines in ((agent.lower(), for_us), ("*", for_all)):
                if name in agents:
                    lines.append((key, value))
    return _robots_of(for_us if names_us else for_all)


def _lines(body: bytes) -> Iterator[tuple[str, str]]:
    text = body.removeprefix(codecs.BOM_UTF8)[:_MOST_BYTES].decode("utf-8", "replace")
    for line in re.split(r"\r\n?|\n", text):
        key, mark, value = line.partition("#")[0].partition(":")
        if mark:
            yield key.strip().lower(), value.strip()


def _name(value: str) -> str:
    found = _AGENT_NAME.match(value)
    return found[0].lower() if found else value[:1]


def _robots_of(lines: list[tuple[str, str]]) -> Robots:
    rules = [
        Rule(_comparable(value), is_allowed=key == "allow")
        for key, value in lines
        if key != "crawl-delay" and value  # an empty one forbids nothing
    ]
    delays = [_seconds(value) for key, value in lines if key == "crawl-delay"]
    return Robots(tuple(rules), max(delays, default=0.0))


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < math.inf else 0.0


def _comparable(path: str) -> str:
    """Return a path with one way to write each byte: escaped only if it must be."""
    escaped = quote(path, safe="/?&=;:@!$'()*+,~%[]#")
    return _ESCAPE.sub(_unescape, escaped)


def _unescape(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if _MEANS_ITSELF.match(character) else found[0].upper()
