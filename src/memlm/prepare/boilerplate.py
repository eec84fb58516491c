"""What surrounds a text and is not it: licences of Project Gutenberg, page numbers, cookie lines.

Only whole lines go, and each character that goes is counted by reason: `gutenberg`, `navigation`,
`page_number`, `page_header`. Page numbers are believed only where at least five lines hold a number
each, one more than the line before, with 15 to 120 lines between two of them:
a number alone may be that of a verse, a chapter or a table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from memlm.prepare.draft import Draft, with_removals
from memlm.records import Dropped

Removal = tuple[int, int, str]

_GUTENBERG = re.compile(
    r"^[ \t]*\*{3} ?(START|END) OF (?:THE|THIS) PROJECT GUTENBERG EBOOK\b[^*]{0,500}\*{3}[ \t]*\n?",
    re.MULTILINE | re.IGNORECASE,
)
_NAVIGATION = re.compile(
    r"^[ \t]*(?:(?:accept|reject|allow) (?:all )?cookies|cookie (?:settings|policy|preferences)"
    r"|(?:we|this (?:web)?site) uses? cookies\b[^\n]{0,200}"
    r"|skip to (?:main )?content|back to top|share (?:this )?on (?:facebook|twitter|linkedin)"
    r"|接受(?:所有|全部)?cookies?|跳(?:转)?[至到](?:主要)?内容|(?:返回|回到)顶部)"
    r"[.。!！]?[ \t]*(?:\n|\Z)",
    re.MULTILINE | re.IGNORECASE,
)
_PAGE_NUMBER = re.compile(
    r"^[ \t]*(?:(?:page|p\.) ?|第 ?|[-–—] ?)?(\d{1,4})(?: ?(?:of|/) ?\d{1,4}| ?[-–—]| ?页)?"
    r"[ \t]*(?:\n|\Z)",
    re.MULTILINE | re.IGNORECASE,
)
_FEWEST_PAGES = 5
"""Page numbers in a row, each one more than the last, that make a paged text."""
_SHORTEST_PAGE, _LONGEST_PAGE = 15, 120
"""Lines between two of them: fewer are verses or rows of a table, more are chapters."""


class Boilerplate:
    """Lines that surround a text and are not it, out."""

    name = "boilerplate"

    def run(self, draft: Draft) -> Draft | Dropped:
        """Return the draft without them; a text that is nothing else stays as it was."""
        inner = with_removals(draft, list(_gutenberg(draft.text)))
        inner = with_removals(inner, list(_navigation(inner.text)))
        inner = with_removals(inner, list(_pages(inner.text)))
        return inner if inner.text.strip() else draft


def _gutenberg(text: str) -> Iterator[Removal]:
    if "GUTENBERG" not in text and "Gutenberg" not in text:
        return
    start, end = 0, len(text)
    for mark in _GUTENBERG.finditer(text):
        if mark.group(1).upper() == "END":
            end = mark.start()
            break
        start = start or mark.end()
    if start:
        yield 0, start, "gutenberg"
    if end < len(text):
        yield end, len(text), "gutenberg"


def _navigation(text: str) -> Iterator[Removal]:
    for match in _NAVIGATION.finditer(text):
        yield *match.span(), "navigation"


def _pages(text: str) -> Iterator[Removal]:
    """Yield page numbers, and the line after each that stands after most of them."""
    numbers = _rising(list(_PAGE_NUMBER.finditer(text)))
    after = [text[match.end() : match.end() + 200].partition("\n")[0] for match in numbers]
    for match, line in zip(numbers, after, strict=True):
        yield *match.span(), "page_number"
        if line.strip() and 2 * after.count(line) > len(after):
            yield match.end(), min(match.end() + len(line) + 1, len(text)), "page_header"


def _rising(matches: list[re.Match[str]]) -> list[re.Match[str]]:
    """Return the runs of at least five numbers, each one more than the one before it."""
    kept: list[re.Match[str]] = []
    run: list[re.Match[str]] = []
    for match in matches:
        if run and not _follows(run[-1], match):
            kept += run if len(run) >= _FEWEST_PAGES else []
            run = []
        run.append(match)
    return kept + (run if len(run) >= _FEWEST_PAGES else [])


def _follows(one: re.Match[str], other: re.Match[str]) -> bool:
    lines = other.string.count("\n", one.end(), other.start())
    is_next = int(other.group(1)) == int(one.group(1)) + 1
    return is_next and _SHORTEST_PAGE <= lines <= _LONGEST_PAGE
