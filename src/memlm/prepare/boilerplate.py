"""What surrounds a text and is not it: licences of Project Gutenberg, page numbers, cookie lines.

Only whole lines go, and each character that goes is counted by reason: `gutenberg`, `navigation`,
`page_number`, `page_header`.

Of Project Gutenberg stays what is between each START and its END, be there one book or ten; where
one of the two is missing, nothing goes on its side. Page numbers are believed only where at least
five lines hold a number each, one more than the line before, with 15 to 120 lines between two of
them, and something of a page is beside most of them: a form feed, or the same header in the next
line. A number alone may be that of a sonnet, a verse, a chapter or a table. A sentence about
cookies must speak of a site, or stand in a text with another line of navigation: bakers use them
too.
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
    r"|(?P<sentence>(?:we|this (?:web)?site) uses? cookies\b[^\n]{0,200})"
    r"|skip to (?:main )?content|back to top|share (?:this )?on (?:facebook|twitter|linkedin)"
    r"|接受(?:所有|全部)?cookies?|跳(?:转)?[至到](?:主要)?内容|(?:返回|回到)顶部)"
    r"[.。!！]?[ \t]*(?:\n|\Z)",
    re.MULTILINE | re.IGNORECASE,
)
_OF_A_SITE = re.compile(r"\b(?:web)?sites?\b|\bbrowsers?\b|\bbrowsing\b", re.IGNORECASE)
_PAGE_NUMBER = re.compile(
    r"^[ \t\f]*(?:(?:page|p\.) ?|第 ?|[-–—] ?)?(\d{1,4})(?: ?(?:of|/) ?\d{1,4}| ?[-–—]| ?页)?"
    r"[ \t\f]*(?:\n|\Z)",
    re.MULTILINE | re.IGNORECASE,
)
_FEWEST_PAGES = 5
"""Page numbers in a row, each one more than the last, that make a paged text."""
_LONGEST_LICENCE = 40_000
"""Code points; twice the longest. What is longer is no licence but another text behind it."""
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
    marks = list(_GUTENBERG.finditer(text))
    around: int | None = 0  # where what surrounds a book began; None: in a book, or in who knows
    is_inside = False
    for mark in marks:
        if mark.group(1).upper() == "START":
            yield _around(mark.start() if around is None else around, mark.end(), mark)
            around, is_inside = None, True
        elif is_inside:
            around, is_inside = mark.start(), False
            last_end = mark
        elif not around:  # an END without START: nothing around it goes
            around = None
    if around:
        yield _around(around, len(text), last_end)


def _around(start: int, end: int, mark: re.Match[str]) -> Removal:
    """Return what goes around a mark: its line alone where the rest is too long for a licence."""
    if end - start > _LONGEST_LICENCE:
        start, end = mark.span()
    return start, end, "gutenberg"


def _navigation(text: str) -> Iterator[Removal]:
    found = list(_NAVIGATION.finditer(text))
    for match in found:
        sentence = match.group("sentence")
        if sentence is None or len(found) > 1 or _OF_A_SITE.search(sentence):
            yield *match.span(), "navigation"


def _pages(text: str) -> Iterator[Removal]:
    """Yield page numbers, and the line after each that stands after most of them."""
    for run in _rising(list(_PAGE_NUMBER.finditer(text))):
        after = [text[match.end() : match.end() + 200].partition("\n")[0] for match in run]
        is_header = [bool(line.strip()) and 2 * after.count(line) > len(after) for line in after]
        if not any(is_header) and 2 * sum(_has_form_feed(match) for match in run) <= len(run):
            continue
        for match, line, is_one in zip(run, after, is_header, strict=True):
            yield *match.span(), "page_number"
            if is_one:
                yield match.end(), min(match.end() + len(line) + 1, len(text)), "page_header"


def _has_form_feed(match: re.Match[str]) -> bool:
    text = match.string
    return "\f" in text[max(0, match.start() - 2) : match.end() + 2]


def _rising(matches: list[re.Match[str]]) -> list[list[re.Match[str]]]:
    """Return the runs of at least five numbers, each one more than the one before it."""
    kept: list[list[re.Match[str]]] = []
    run: list[re.Match[str]] = []
    for match in matches:
        if run and not _follows(run[-1], match):
            kept += [run] if len(run) >= _FEWEST_PAGES else []
            run = []
        run.append(match)
    return kept + ([run] if len(run) >= _FEWEST_PAGES else [])


def _follows(one: re.Match[str], other: re.Match[str]) -> bool:
    lines = other.string.count("\n", one.end(), other.start())
    is_next = int(other.group(1)) == int(one.group(1)) + 1
    return is_next and _SHORTEST_PAGE <= lines <= _LONGEST_PAGE
