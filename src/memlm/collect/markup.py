"""Web pages: the main text of a page, with its title, date and author; trafilatura finds it."""

from __future__ import annotations

from dataclasses import dataclass

from memlm.runtime import require_package


@dataclass(frozen=True)
class Page:
    """What a page says, without its menus and advertisements."""

    text: str
    title: str | None = None
    date: str | None = None
    """The day it was published, as YYYY-MM-DD."""
    author: str | None = None


def extract_page(data: bytes, *, address: str | None = None) -> Page | None:
    """Return the main text of an HTML page; None where it has none."""
    require_package("trafilatura", extra="documents")
    import trafilatura

    found = trafilatura.bare_extraction(data, url=address, with_metadata=True)
    if found is None or isinstance(found, dict) or not found.text:
        return None
    return Page(text=found.text, title=found.title, date=found.date, author=found.author)
