"""Web addresses: a page, or a sitemap (or feed) that lists pages, visited as a guest should.

Only what somebody named as a source is ever visited. robots.txt is obeyed, requests are spaced, and
pages, bytes and minutes are bounded. A page that was collected before is asked for with what its
server said of it then (ETag, Last-Modified), so that an unchanged one costs one short answer; one
that is there no longer comes out as gone. Robots: RFC 9309; sitemaps: sitemaps.org.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from email.message import Message
from importlib.metadata import version
from typing import Literal
from urllib.parse import urlsplit

from memlm.collect.addresses import clean_address
from memlm.collect.config import Limits, Reading, WebConfig
from memlm.collect.fetching import Answer, Fetcher, unpack_gzip
from memlm.collect.files import normalise_text
from memlm.collect.markup import extract_page_apart
from memlm.collect.page_encoding import codec_of
from memlm.collect.robots import FORBIDS_ALL, Robots, read_robots
from memlm.collect.sitemaps import ListReader
from memlm.collect.sources import READERS, Item, find_ending, read_file
from memlm.errors import InputError, MemlmError, NotFoundError
from memlm.records import SourceNote, SourceProblem, SourceText
from memlm.storage import scratch_file, scratch_folder

_NAME = "memlm"
_DEEPEST_LIST = 3
_HTML = ("text/html", "application/xhtml+xml")
_HTML_ENDINGS = (".html", ".htm", ".xhtml")
_ENDINGS = {
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/json": ".json",
    "application/jsonl": ".jsonl",
    "application/x-ndjson": ".ndjson",
    "application/pdf": ".pdf",
    "application/epub+zip": ".epub",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/zip": ".zip",
}
_SAYS_NOTHING = ("", "application/octet-stream", "binary/octet-stream")


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What became of one page."""

    address: str
    outcome: Literal["read", "unchanged", "gone", "failed"]
    body: bytes = b""
    content_type: str = ""
    charset: str | None = None
    location: str = ""
    """Where it came from in the end, redirects followed."""
    etag: str = ""
    last_modified: str = ""
    problem: SourceProblem | None = None
    """Why it failed."""


@dataclass(frozen=True, kw_only=True)
class KnownPage:
    """What a server said of a page when it was collected; empty where it said nothing."""

    etag: str = ""
    last_modified: str = ""


class Site:
    """One address that was named, and the pages that it leads to."""

    def __init__(
        self,
        address: str,
        config: WebConfig,
        *,
        limits: Limits = Limits(),  # noqa: B008  # frozen
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.address = clean_address(address)
        self._config, self._limits = config, limits
        self._clock, self._sleep = clock, sleep
        self._robots: dict[str, Robots] = {}
        self._last_request: float | None = None
        self._crawl_delay = 0.0
        self._visited = 0

    def visits(self, known: Mapping[str, KnownPage]) -> Iterator[Visit | SourceNote]:
        """Yield what became of each page: those it leads to, then those `known` of it before.

        Raises NotFoundError if there is nothing at the address and never was.
        """
        self._ends_at = self._clock() + 60 * self._config.max_minutes
        self._fetcher = Fetcher(
            self.address,
            limits=self._limits,
            agent=_agent(),
            ends_at=self._ends_at,
            before=self._before,
            clock=self._clock,
        )
        listed: dict[str, None] = {}
        self._hosts = {urlsplit(self.address).netloc}
        first = self._visit(self.address, known.get(self.address))
        if first.outcome == "gone" and not known:
            raise NotFoundError("address_missing", address=self.address)
        body = _unpacked_list(first, self._limits)
        if body is not None:
            self._hosts.add(urlsplit(first.location).netloc)  # example.org is www.example.org
            yield from self._read_list(first, body, listed, depth=1)
        elif first.outcome != "gone" or self.address in known:
            yield first
        waiting = [page for page in {**listed, **dict.fromkeys(known)} if page != self.address]
        for number, page in enumerate(waiting):
            limit = self._reached_limit()
            if limit is not None:
                values = {"count": len(waiting) - number, "source": self.address, "limit": limit}
                yield SourceNote(code="pages_left", values=values)
                return
            yield self._visit(page, known.get(page))

    def _visit(self, page: str, before: KnownPage | None) -> Visit:
        self._visited += 1
        conditions = {}
        if before is not None and before.etag:
            conditions["If-None-Match"] = before.etag
        if before is not None and before.last_modified:
            conditions["If-Modified-Since"] = before.last_modified
        try:
            answer = self._fetcher.get(page, headers=conditions)
            return self._outcome(page, answer, before)
        except InputError as error:
            problem = SourceProblem(code=error.code, values=error.values)
        except (MemlmError, MemoryError):
            raise
        except Exception as error:  # what one server says must not cost the other pages
            values = {"path": page, "kind": type(error).__name__}
            problem = SourceProblem(code="reader_failed", values=values)
        return Visit(address=page, outcome="failed", problem=problem)

    def _outcome(self, page: str, answer: Answer, before: KnownPage | None) -> Visit:
        if answer.status == 304 and before is not None:
            return Visit(address=page, outcome="unchanged")
        if answer.status in (404, 410):
            return self._missing(page, before)
        if answer.status != 200:
            values = {"address": page, "status": answer.status}
            problem = SourceProblem(code="page_status", values=values)
            return Visit(address=page, outcome="failed", problem=problem)
        return _visit_of(page, answer)

    def _missing(self, page: str, before: KnownPage | None) -> Visit:
        if before is not None or page == self.address:
            return Visit(address=page, outcome="gone")
        problem = SourceProblem(code="page_missing", values={"address": page})
        return Visit(address=page, outcome="failed", problem=problem)

    def _read_list(
        self, found: Visit, body: bytes, listed: dict[str, None], *, depth: int
    ) -> Iterator[Visit | SourceNote]:
        """Add the pages of a sitemap, and of those it lists, to `listed`."""
        address, reader = found.address, ListReader(found.location)
        try:
            reader.read(body)
        except InputError as error:
            problem = SourceProblem(code=error.code, values=error.values)
            yield Visit(address=address, outcome="failed", problem=problem)
            return
        for refused in reader.refused:
            problem = SourceProblem(code=refused.code, values=refused.values)
            yield Visit(address=str(refused.values["address"]), outcome="failed", problem=problem)
        for page in reader.pages:
            if urlsplit(page).netloc in self._hosts:
                listed[page] = None
            else:  # a sitemap speaks for its own host only
                problem = SourceProblem(code="page_elsewhere", values={"address": page})
                yield Visit(address=page, outcome="failed", problem=problem)
        for number, inner in enumerate(reader.lists):
            has_enough = len(listed) > self._config.max_pages
            if depth == _DEEPEST_LIST or has_enough or self._reached_limit():
                values = {"count": len(reader.lists) - number, "source": address}
                yield SourceNote(code="sitemaps_left", values=values)
                return
            visit = self._visit(inner, None)
            self._visited -= 1  # a list is no page
            unpacked = _unpacked_list(visit, self._limits)
            if unpacked is not None:
                yield from self._read_list(visit, unpacked, listed, depth=depth + 1)
            elif visit.outcome == "failed":
                yield visit
            else:
                problem = SourceProblem(code="sitemap_bad", values={"address": inner})
                yield Visit(address=inner, outcome="failed", problem=problem)

    def _reached_limit(self) -> str | None:
        """Return which limit forbids another page, as people would set it."""
        if self._visited > self._config.max_pages:  # the address itself is not counted
            return f"--max-pages {self._config.max_pages}"
        if self._fetcher.bytes_read >= self._limits.site_bytes:
            return f"{self._limits.site_bytes / 1e6:,.0f} MB"
        if self._clock() + self._pause() >= self._ends_at:
            return f"--max-minutes {self._config.max_minutes:g}"
        return None

    # -- manners --------------------------------------------------------------------------------

    def _before(self, address: str, is_page: bool) -> None:
        """Ask robots.txt, and wait until it is time for the next request."""
        if is_page:
            robots = self._robots_of(address)
            self._crawl_delay = robots.crawl_delay
            if not robots.allows(address):
                raise InputError("robots_forbid", address=address)
        pause = self._pause()
        if pause > 0:
            if self._clock() + pause >= self._ends_at:
                raise InputError("page_too_slow", address=address)
            self._sleep(pause)
        self._last_request = self._clock()

    def _pause(self) -> float:
        if self._last_request is None:
            return 0.0
        delay = max(self._config.delay, self._crawl_delay)
        return self._last_request + delay - self._clock()

    def _robots_of(self, address: str) -> Robots:
        parts = urlsplit(address)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin not in self._robots:
            robots = FORBIDS_ALL  # RFC 9309, 2.3.1.4: not reached means not allowed
            answer = self._fetcher.get(f"{origin}/robots.txt", is_page=False)
            if answer.status == 200:
                robots = read_robots(answer.body, _NAME)
            elif 400 <= answer.status < 500:  # none is there: all is allowed
                robots = Robots()
            self._robots[origin] = robots
        return self._robots[origin]


def read_visit(visit: Visit, reading: Reading) -> Iterator[Item]:
    """Yield the texts of a page that was read, by the reader of its content type."""
    if _is_html(visit):
        yield from _read_html(visit, reading)
        return
    ending = _ending_of(visit)
    charset = visit.charset if ending in READERS and visit.content_type.startswith("text/") else ""
    body = visit.body
    if charset:
        body = _decode(visit, charset).encode("utf-8")
        reading = replace(reading, config=replace(reading.config, encoding="utf-8"))
    with (
        scratch_folder(reading.scratch) as folder,
        scratch_file(folder, [body], ending=ending) as path,
    ):
        for item in read_file(path, reading):
            if isinstance(item, SourceText):
                yield replace(item, fields={"url": visit.location, **item.fields})
            else:  # it knows the page by the name of the scratch file
                yield replace(item, values=_renamed(item.values, visit.address))


def page_problem(error: MemlmError, address: str) -> SourceProblem:
    """Return what is wrong with a page, named by its address and not by a scratch file's name."""
    return SourceProblem(
        code=error.code,
        values=_renamed(error.values, address),
        position=error.values.get("line"),
    )


def _renamed(values: Mapping[str, object], address: str) -> dict[str, object]:
    return {**values, "path": address} if "path" in values else dict(values)


def _read_html(visit: Visit, reading: Reading) -> Iterator[Item]:
    page = extract_page_apart(
        visit.body,
        reading,
        name=visit.address,
        address=visit.location,
        charset=visit.charset or None,
    )
    yield from page.notes
    yield SourceText(text=normalise_text(page.text), fields={"url": visit.location, **page.fields})


def _decode(visit: Visit, charset: str) -> str:
    codec = codec_of(charset)
    if not codec:
        raise InputError("charset_unknown", address=visit.address, charset=charset)
    try:
        return visit.body.decode(codec)
    except UnicodeError as error:
        offset = error.start if isinstance(error, UnicodeDecodeError) else 0
        raise InputError(
            "not_in_encoding", path=visit.address, offset=offset, encoding=charset
        ) from error


def _is_html(visit: Visit) -> bool:
    path = urlsplit(visit.location).path.lower()
    says_nothing = visit.content_type in _SAYS_NOTHING
    return visit.content_type in _HTML or (says_nothing and path.endswith(_HTML_ENDINGS))


def _ending_of(visit: Visit) -> str:
    ending = _ENDINGS.get(visit.content_type)
    if ending is None and visit.content_type in (*_SAYS_NOTHING, "application/gzip"):
        try:
            ending = find_ending(urlsplit(visit.location).path.rpartition("/")[2])
        except InputError:
            ending = None
    if ending not in READERS:
        kind = visit.content_type or "—"
        raise InputError("content_type_unknown", address=visit.address, kind=kind)
    return ending or ".txt"


def _visit_of(page: str, answer: Answer) -> Visit:
    said = Message()
    said["content-type"] = answer.headers.get("content-type", "")
    has_type = "/" in answer.headers.get("content-type", "")
    charset = said.get_param("charset")
    return Visit(
        address=page,
        outcome="read",
        body=answer.body,
        content_type=said.get_content_type() if has_type else "",
        charset=charset.strip() or None if isinstance(charset, str) else None,
        location=answer.address,
        etag=answer.headers.get("etag", ""),
        last_modified=answer.headers.get("last-modified", ""),
    )


def _unpacked_list(visit: Visit, limits: Limits) -> bytes | None:
    """Return a sitemap or feed, unpacked; None if this is something else."""
    body = visit.body
    is_packed = urlsplit(visit.location).path.lower().endswith(".xml.gz")
    if visit.outcome != "read" or visit.content_type in _HTML:
        return None
    if is_packed and body.startswith(b"\x1f\x8b"):
        try:
            body = unpack_gzip(body, limit=limits.page_bytes, address=visit.address)
        except InputError:
            return None
    return body if ListReader(visit.address).is_list(body[:4096]) else None


def _agent() -> str:
    return f"{_NAME}/{version('memlm')}"
