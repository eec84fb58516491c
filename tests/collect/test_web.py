"""Web addresses: what a guest may and may not do, against a server on this machine."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.client import BadStatusLine, RemoteDisconnected
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from memlm import collect_documents
from memlm.cli.app import run
from memlm.collect import (
    CollectConfig,
    Collection,
    Limits,
    Site,
    WebConfig,
    list_files,
    web,
)
from memlm.collect.addresses import clean_address
from memlm.collect.fetching import Fetcher, _is_public
from memlm.documents import DocumentStore
from memlm.errors import InputError, NotFoundError
from memlm.records import CollectReport, SourceNote

TEXT = "text/plain; charset=utf-8"
QUICK = Limits(page_bytes=100_000, response_seconds=0.4)


class Served:
    """A server on loopback: what it gives at each path, and what it was asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, dict[str, str], bytes | Callable]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                status, headers, body = served.pages.get(self.path, (404, {}, b"no"))
                if headers.get("ETag") and self.headers.get("If-None-Match") == headers["ETag"]:
                    status, body = 304, b""
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if isinstance(body, bytes) and "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    if isinstance(body, bytes):
                        self.wfile.write(body)
                    else:
                        body(self.wfile)
                except OSError:  # the guest has had enough
                    pass

            def log_message(self, *words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.home = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def text(self, path: str, text: str, **headers: str) -> None:
        self.pages[path] = 200, {"Content-Type": TEXT, **headers}, text.encode()

    def sitemap(self, path: str, *addresses: str, kind: str = "urlset", packed=False) -> None:
        entry = "url" if kind == "urlset" else "sitemap"
        inside = "".join(f"<{entry}><loc>{address}</loc></{entry}>" for address in addresses)
        space = "http://www.sitemaps.org/schemas/sitemap/0.9"
        xml = f'<?xml version="1.0"?><{kind} xmlns="{space}">{inside}</{kind}>'.encode()
        body, mime = (gzip.compress(xml), "application/gzip") if packed else (xml, "text/xml")
        self.pages[path] = 200, {"Content-Type": mime}, body

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked if path != "/robots.txt"]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


@dataclass
class Time:
    """A clock that moves only when somebody sleeps."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DocumentStore]:
    with DocumentStore(tmp_path / "documents.sqlite") as opened:
        yield opened


@dataclass
class Collector:
    store: DocumentStore
    time: Time = field(default_factory=Time)
    notes: list[SourceNote] = field(default_factory=list)

    def __call__(
        self, address: str, *, limits: Limits = QUICK, prune=False, real_time=False, **web
    ) -> CollectReport:
        collection = Collection(
            self.store,
            CollectConfig(),
            split=None,
            note=self.notes.append,
            progress=lambda done, total: None,
        )
        moving = {} if real_time else {"clock": self.time.clock, "sleep": self.time.sleep}
        web = {"delay": 0.0 if real_time else 1.0} | web
        collection.read_site(Site(address, WebConfig(**web), limits=limits, **moving))
        report = collection.finish()
        if prune:
            return replace(report, documents_removed=collection.remove_vanished(lambda *_: True))
        return report


@pytest.fixture
def collect(store: DocumentStore) -> Collector:
    return Collector(store)


def texts(store: DocumentStore) -> list[str]:
    return sorted(document.text for document in store)


def reasons(report: CollectReport) -> str:
    return " ".join(item.reason for item in report.rejected)


HTML = (
    "<html><head><title>On lamps</title>{meta}</head><body><nav>menu</nav><article><h1>On lamps"
    "</h1><p>The lamp was lit before the evening came, and nobody saw who had lit it.</p><p>{more}"
    "</p></article></body></html>"
)


# -- pages --------------------------------------------------------------------------------------


def test_page_becomes_a_document_that_knows_its_address(server, store, collect) -> None:
    body = HTML.format(meta="", more="A second paragraph of some length stands here too.").encode()
    server.pages["/a.html"] = 200, {"Content-Type": "text/html"}, body
    report = collect(f"{server.home}/a.html#part")
    assert (report.documents_added, report.rejected) == (1, ())
    document = next(iter(store))
    assert "The lamp was lit" in document.text
    assert "menu" not in document.text
    assert document.source == f"{server.home}/a.html"
    assert document.fields["url"] == f"{server.home}/a.html"
    assert document.fields["title"] == "On lamps"


@pytest.mark.parametrize("meta", ["", '<meta charset="big5">'], ids=["no meta", "meta lies"])
def test_charset_of_the_header_is_honoured(server, store, collect, meta: str) -> None:
    words = "夜里没有人来，灯还亮着，远处的山上下起了雨。"
    body = HTML.format(meta=meta, more=words * 3).encode("gb18030")
    server.pages["/"] = 200, {"Content-Type": "text/html; charset=gb2312"}, body
    collect(server.home)
    assert words in next(iter(store)).text


def test_charset_of_a_plain_text_is_honoured(server, store, collect) -> None:
    server.pages["/t"] = (
        200,
        {"Content-Type": "text/plain; charset=latin-1"},
        "né".encode("latin-1"),
    )
    collect(f"{server.home}/t")
    assert texts(store) == ["né"]


@pytest.mark.parametrize(
    "charset", ["undefined", "idna", "punycode", "unicode_escape", "base64", "klingon", "a\u00e9"]
)
def test_charset_that_is_none_costs_one_page_only(server, store, collect, charset: str) -> None:
    server.pages["/odd"] = 200, {"Content-Type": f"text/plain; charset={charset}"}, b"caf\xe9."
    server.text("/good", "a text")
    server.sitemap("/sitemap.xml", f"{server.home}/odd", f"{server.home}/good")
    report = collect(f"{server.home}/sitemap.xml")
    assert texts(store) == ["a text"]
    assert "which is no known encoding" in reasons(report)


def test_page_whose_reader_fails_costs_one_page_only(server, store, collect, monkeypatch) -> None:
    def read_visit(visit, reading):
        if visit.address.endswith("/odd"):
            raise ZeroDivisionError("words of the page")
        return real(visit, reading)

    real = web.read_visit
    monkeypatch.setattr(web, "read_visit", read_visit)
    server.text("/odd", "an odd text")
    server.text("/good", "a text")
    server.sitemap("/sitemap.xml", f"{server.home}/odd", f"{server.home}/good")
    report = collect(f"{server.home}/sitemap.xml")
    assert texts(store) == ["a text"]
    assert [item.source for item in report.rejected] == [f"{server.home}/odd"]
    assert "ZeroDivisionError" in reasons(report)
    assert "words" not in reasons(report)


def test_mark_that_cannot_be_sent_back_costs_one_page_only(server, store, collect) -> None:
    server.text("/odd", "an odd text", ETag='"1"')
    server.text("/good", "a text")
    server.sitemap("/sitemap.xml", f"{server.home}/odd", f"{server.home}/good")
    collect(f"{server.home}/sitemap.xml")
    root = store.find_address(f"{server.home}/sitemap.xml")
    store.mark_page(root, f"{server.home}/odd", etag='"1"\n', last_modified="")
    report = collect(f"{server.home}/sitemap.xml")
    assert (report.documents_unchanged, report.documents_rejected) == (1, 1)
    assert "ValueError" in reasons(report)


def test_text_that_is_not_in_the_charset_of_its_header_is_rejected(server, collect) -> None:
    server.pages["/t"] = 200, {"Content-Type": TEXT}, b"caf\xe9 and more"
    assert f"{server.home}/t" in reasons(collect(f"{server.home}/t"))


def test_table_is_read_by_the_reader_of_its_type(server, store, collect) -> None:
    server.pages["/rows"] = 200, {"Content-Type": "text/csv"}, b"text,label\ngood,yes\nbad,no\n"
    assert collect(f"{server.home}/rows").documents_added == 2
    assert {d.label: d.fields["url"] for d in store} == dict.fromkeys(
        ("yes", "no"), f"{server.home}/rows"
    )


@pytest.mark.parametrize("kind", ["image/png", "application/javascript", "video/mp4"])
def test_type_without_a_reader_is_rejected_with_its_name(server, collect, kind: str) -> None:
    server.pages["/x"] = 200, {"Content-Type": kind}, b"\x89PNG"
    report = collect(f"{server.home}/x")
    assert report.documents_rejected == 1
    assert kind in reasons(report)


def test_page_that_is_missing_is_not_found(server, store, collect) -> None:
    with pytest.raises(NotFoundError) as caught:
        collect(f"{server.home}/nothing")
    assert caught.value.code == "address_missing"
    assert store.find_address(f"{server.home}/nothing") is None


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        ({"Content-Encoding": "gzip"}, gzip.compress(b"packed"), "packed"),
        ({"Content-Encoding": "deflate"}, zlib.compress(b"packed"), "packed"),
        ({"Content-Encoding": "deflate"}, zlib.compress(b"packed", wbits=-15), "packed"),
    ],
    ids=["gzip", "deflate", "deflate without its header"],
)
def test_packed_page_is_unpacked(server, store, collect, headers, body, text) -> None:
    server.pages["/p"] = 200, {"Content-Type": TEXT, **headers}, body
    collect(f"{server.home}/p")
    assert texts(store) == [text]


# -- again --------------------------------------------------------------------------------------


def test_unchanged_page_is_asked_for_with_its_tag_and_changes_nothing(
    server, store, collect
) -> None:
    server.text("/t", "the same", ETag='"1"', **{"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"})
    collect(f"{server.home}/t")
    digest = store.digest()
    again = collect(f"{server.home}/t")
    assert (again.documents_unchanged, again.documents_added, again.vanished) == (1, 0, ())
    assert store.digest() == digest
    assert server.asked[-1][1]["if-none-match"] == '"1"'
    assert server.asked[-1][1]["if-modified-since"].endswith("GMT")


def test_page_without_a_tag_is_compared_by_its_content(server, collect) -> None:
    server.text("/t", "the same")
    collect(f"{server.home}/t")
    assert collect(f"{server.home}/t").documents_unchanged == 1


def test_changed_page_changes_one_document_and_keeps_its_id(server, store, collect) -> None:
    server.text("/t", "before", ETag='"1"')
    collect(f"{server.home}/t")
    before = next(iter(store)).id
    server.text("/t", "after", ETag='"2"')
    assert collect(f"{server.home}/t").documents_changed == 1
    assert [(d.id, d.text) for d in store] == [(before, "after")]


@pytest.mark.parametrize("status", [404, 410])
def test_vanished_page_is_reported_and_stays_until_pruned(server, store, collect, status) -> None:
    server.sitemap("/sitemap.xml", *(f"{server.home}/{n}" for n in range(3)))
    for n in range(3):
        server.text(f"/{n}", f"text {n}")
    collect(f"{server.home}/sitemap.xml")
    server.pages["/1"] = status, {}, b""
    report = collect(f"{server.home}/sitemap.xml")
    assert [(v.source, v.documents) for v in report.vanished] == [(f"{server.home}/1", 1)]
    assert store.count() == 3
    assert collect(f"{server.home}/sitemap.xml", prune=True).documents_removed == 1
    assert texts(store) == ["text 0", "text 2"]


def test_page_that_its_sitemap_lists_no_more_is_still_asked_for(server, store, collect) -> None:
    server.sitemap("/sitemap.xml", f"{server.home}/0", f"{server.home}/1")
    server.text("/0", "text 0")
    server.text("/1", "text 1")
    collect(f"{server.home}/sitemap.xml")
    server.sitemap("/sitemap.xml", f"{server.home}/0")
    assert collect(f"{server.home}/sitemap.xml").documents_unchanged == 2
    del server.pages["/1"]
    assert len(collect(f"{server.home}/sitemap.xml").vanished) == 1


def test_server_error_is_no_vanishing(server, store, collect) -> None:
    server.text("/t", "the text")
    collect(f"{server.home}/t")
    server.pages["/t"] = 503, {}, b""
    report = collect(f"{server.home}/t", prune=True)
    assert (report.vanished, report.documents_rejected, store.count()) == ((), 1, 1)
    assert "503" in reasons(report)


# -- sitemaps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
def test_sitemap_index_leads_to_all_pages(server, store, collect, packed: bool) -> None:
    ending = ".xml.gz" if packed else ".xml"
    inner = [f"/part-{n}{ending}" for n in range(2)]
    for n, path in enumerate(inner):
        server.sitemap(path, f"{server.home}/{n}a", f"{server.home}/{n}b", packed=packed)
        server.text(f"/{n}a", f"{n} a")
        server.text(f"/{n}b", f"{n} b")
    server.sitemap("/index.xml", *(server.home + path for path in inner), kind="sitemapindex")
    report = collect(f"{server.home}/index.xml")
    assert texts(store) == ["0 a", "0 b", "1 a", "1 b"]
    assert report.rejected == ()


@pytest.mark.parametrize(
    "feed",
    [
        "<rss version='2.0'><channel><link>/</link><item><link>{0}</link></item></channel></rss>",
        "<feed xmlns='http://www.w3.org/2005/Atom'><link href='/'/><entry><link href='{0}'/>"
        "<link rel='edit' href='/edit'/></entry></feed>",
    ],
    ids=["rss", "atom"],
)
def test_feed_leads_to_its_entries(server, store, collect, feed: str) -> None:
    server.text("/a", "an entry")
    body = feed.format(f"{server.home}/a").encode()
    server.pages["/feed"] = 200, {"Content-Type": "application/xml"}, body
    collect(f"{server.home}/feed")
    assert server.paths() == ["/feed", "/a"]
    assert texts(store) == ["an entry"]


def test_page_on_another_host_than_the_sitemap_is_rejected(server, collect) -> None:
    server.sitemap("/sitemap.xml", "https://example.org/elsewhere")
    report = collect(f"{server.home}/sitemap.xml")
    assert [item.source for item in report.rejected] == ["https://example.org/elsewhere"]


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE x [<!ENTITY a 'aaa'>]><urlset><url><loc>&a;</loc></url></urlset>",
        b"<urlset><url><loc>http://127.0.0.1/x</loc></url>",
    ],
    ids=["entities", "cut short"],
)
def test_bad_sitemap_is_rejected_and_leads_nowhere(server, store, collect, body: bytes) -> None:
    server.pages["/sitemap.xml"] = 200, {"Content-Type": "text/xml"}, body
    assert collect(f"{server.home}/sitemap.xml").documents_rejected == 1
    assert server.paths() == ["/sitemap.xml"]


@pytest.mark.parametrize(
    "address",
    ["http:// /", "http://[::1", "http://a b:port/", "ftp://example.org/x", "file:///etc/passwd",
     "javascript:alert(1)", "http://user:secret@example.org/"],
)  # fmt: skip
def test_malformed_address_in_a_list_is_rejected_and_the_others_are_read(
    server, store, collect, address: str
) -> None:
    server.sitemap("/sitemap.xml", address, f"{server.home}/a")
    server.text("/a", "a text")
    report = collect(f"{server.home}/sitemap.xml")
    assert texts(store) == ["a text"]
    assert report.documents_rejected == 1
    assert "secret" not in reasons(report)


@pytest.mark.parametrize("encoding", ["gbk", "GB2312", "big5", "shift_jis", "iso-8859-1"])
def test_sitemap_in_any_encoding_is_read(server, store, collect, encoding: str) -> None:
    address = f"{server.home}/{'é' if encoding.startswith('iso') else '山'}"
    xml = f'<?xml version="1.0" encoding="{encoding}"?><urlset><url><loc>{address}</loc></url>'
    body = f"{xml}</urlset>".encode(encoding)
    server.pages["/sitemap.xml"] = 200, {"Content-Type": "text/xml"}, body
    server.text(urlsplit(clean_address(address)).path, "a text")
    assert collect(f"{server.home}/sitemap.xml").rejected == ()
    assert texts(store) == ["a text"]


@pytest.mark.parametrize("encoding", ["klingon", "undefined", "idna", "base64", "a\u00e9"])
def test_sitemap_in_no_encoding_is_rejected(server, collect, encoding: str) -> None:
    xml = f'<?xml version="1.0" encoding="{encoding}"?><urlset><url><loc>/a</loc></url></urlset>'
    server.pages["/sitemap.xml"] = 200, {"Content-Type": "text/xml"}, xml.encode()
    assert collect(f"{server.home}/sitemap.xml").documents_rejected == 1
    assert server.paths() == ["/sitemap.xml"]


def test_sitemap_that_lists_itself_ends(server, collect) -> None:
    home = f"{server.home}/index.xml"
    server.sitemap("/index.xml", home, home, kind="sitemapindex")
    collect(home)
    assert len(server.paths()) < 10
    assert [note.code for note in collect.notes][-1] == "sitemaps_left"


# -- manners ------------------------------------------------------------------------------------


def test_page_that_robots_forbid_is_not_asked_for(server, store, collect) -> None:
    server.text("/robots.txt", "User-agent: memlm\nDisallow: /private\n")
    server.text("/private", "a secret")
    server.text("/open", "no secret")
    server.sitemap("/sitemap.xml", f"{server.home}/private", f"{server.home}/open")
    report = collect(f"{server.home}/sitemap.xml")
    assert texts(store) == ["no secret"]
    assert "/private" not in server.paths()
    assert "robots.txt" in reasons(report)


def test_robots_that_cannot_be_reached_forbid_everything(server, collect) -> None:
    server.pages["/robots.txt"] = 500, {}, b""
    server.text("/t", "a text")
    assert collect(f"{server.home}/t").documents_rejected == 1
    assert server.paths() == []


def test_name_and_version_are_told_to_the_server(server, collect) -> None:
    server.text("/t", "a text")
    collect(f"{server.home}/t")
    assert {headers["user-agent"].split("/")[0] for _, headers in server.asked} == {"memlm"}


@pytest.mark.parametrize(
    ("robots", "pause"), [("", 2.0), ("User-agent: *\nCrawl-delay: 5\n", 5.0)], ids=["ours", "its"]
)
def test_requests_are_spaced(server, collect, robots: str, pause: float) -> None:
    server.text("/robots.txt", robots)
    server.sitemap("/sitemap.xml", f"{server.home}/0", f"{server.home}/1")
    server.text("/0", "text 0")
    server.text("/1", "text 1")
    collect(f"{server.home}/sitemap.xml", delay=2.0, limits=replace(QUICK, response_seconds=60))
    assert collect.time.slept == [pause] * 3  # after robots.txt, the sitemap, and the first page


# -- limits -------------------------------------------------------------------------------------


@pytest.fixture
def large_site(server: Served) -> Served:
    server.sitemap("/sitemap.xml", *(f"{server.home}/{n}" for n in range(20)))
    for n in range(20):
        server.text(f"/{n}", f"text {n} " + "x" * 1000)
    return server


@pytest.mark.parametrize(
    ("web", "limits", "pages"),
    [
        ({"max_pages": 3}, QUICK, 3),
        ({}, replace(QUICK, site_bytes=6_000), 5),
        ({"max_minutes": 0.1, "delay": 1.0}, QUICK, 4),
    ],
    ids=["pages", "bytes", "minutes"],
)
def test_visit_ends_at_its_limit_and_says_what_is_left(
    large_site, store, collect, web, limits, pages
) -> None:
    collect(f"{large_site.home}/sitemap.xml", limits=limits, **web)
    assert abs(store.count() - pages) <= 1
    note = collect.notes[-1]
    assert (note.code, note.values["count"]) == ("pages_left", 20 - store.count())


def test_pages_beyond_a_limit_have_not_vanished(large_site, store, collect) -> None:
    collect(f"{large_site.home}/sitemap.xml")
    assert store.count() == 20
    assert collect(f"{large_site.home}/sitemap.xml", max_pages=2).vanished == ()


def _drip(file) -> None:
    for _ in range(100):
        file.write(b"x")
        file.flush()
        time.sleep(0.05)


def _endless(file) -> None:
    while True:
        file.write(b"x" * 65536)


BOMB = gzip.compress(b"\0" * 10_000_000)


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"Content-Length": "100"}, _drip, "did not come in the time"),
        ({}, _endless, "larger than"),
        ({"Content-Encoding": "gzip"}, BOMB, "larger than"),
        ({"Content-Encoding": "gzip"}, gzip.compress(b"x" * 999)[:-9], "damaged"),
        ({"Content-Encoding": "gzip"}, b"no gzip at all", "damaged"),
        ({"Content-Encoding": "br"}, b"whatever", "br"),
        ({"Content-Length": "1000"}, b"much less", "ended early"),
        ({"Transfer-Encoding": "chunked"}, b"5\r\nhello\r\nzz\r\n", "ended early"),
    ],
    ids=["slow", "endless", "bomb", "cut gzip", "no gzip", "brotli", "wrong length", "bad chunks"],
)
def test_bad_body_is_rejected_with_its_reason(server, store, collect, headers, body, code) -> None:
    server.pages["/t"] = 200, {"Content-Type": TEXT, **headers}, body
    started = time.monotonic()
    report = collect(f"{server.home}/t", real_time=True)
    assert code in reasons(report)
    assert store.count() == 0
    assert time.monotonic() - started < 2


def test_slow_head_is_given_up_too(collect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                for _ in range(40):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return
                    time.sleep(0.05)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        report = collect(f"http://127.0.0.1:{listening.getsockname()[1]}/", real_time=True)
        thread.join()
    assert "did not come in the time" in reasons(report)


# -- redirects and addresses --------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "http://169.254.169.254/latest/", "ftp://example.org/", "http://[::1]/"],
)
def test_redirect_away_from_the_open_web_is_not_followed(server, store, collect, location) -> None:
    server.pages["/t"] = 302, {"Location": location}, b""
    assert collect(f"{server.home}/t").documents_rejected == 1
    assert store.count() == 0


def test_redirect_to_another_port_of_this_machine_is_not_followed(server, collect) -> None:
    other = Served()
    try:
        other.text("/secret", "an admin page")
        server.pages["/t"] = 302, {"Location": f"{other.home}/secret"}, b""
        assert "private network" in reasons(collect(f"{server.home}/t"))
        assert other.asked == []
    finally:
        other.close()


def _resolve_to(monkeypatch, *addresses: str) -> list[str]:
    """Let every host have the first address, then the second and so on; return the connected."""
    waiting, connected = list(addresses), []

    def getaddrinfo(host, port, **options):
        address = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def create_connection(place, timeout):
        connected.append(place[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", create_connection)
    return connected


def _ask_twice() -> list[str]:
    fetcher = Fetcher("http://example.org/", limits=QUICK, agent="memlm")
    found = []
    for _ in range(2):
        with pytest.raises(InputError) as caught:
            fetcher.get("http://example.org/")
        found.append(caught.value.code)
    return found


def test_name_that_was_public_cannot_turn_inwards(monkeypatch) -> None:
    connected = _resolve_to(monkeypatch, "93.184.216.34", "169.254.169.254")
    assert _ask_twice()[1] == "address_not_public"
    assert connected == ["93.184.216.34"]


def test_private_host_that_was_named_keeps_the_address_it_had(monkeypatch) -> None:
    connected = _resolve_to(monkeypatch, "192.168.1.7", "169.254.169.254")
    assert "address_not_public" not in _ask_twice()
    assert connected == ["192.168.1.7", "192.168.1.7"]


def test_redirect_to_a_page_that_robots_forbid_is_not_followed(server, collect) -> None:
    server.text("/robots.txt", "User-agent: *\nDisallow: /private\n")
    server.text("/private", "a secret")
    server.pages["/t"] = 301, {"Location": "/private"}, b""
    assert "robots.txt" in reasons(collect(f"{server.home}/t"))
    assert "/private" not in server.paths()


def test_redirect_is_followed_but_not_for_ever(server, store, collect) -> None:
    server.pages["/a"] = 301, {"Location": "/b"}, b""
    server.text("/b", "here")
    collect(f"{server.home}/a")
    assert texts(store) == ["here"]
    server.pages["/c"] = 302, {"Location": "/c"}, b""
    assert "redirects" in reasons(collect(f"{server.home}/c"))
    assert server.paths().count("/c") == 6


def test_page_is_attributed_to_where_it_came_from_in_the_end(server, store, collect) -> None:
    server.pages["/a"] = 301, {"Location": "/deep/b"}, b""
    server.text("/deep/b", "here")
    collect(f"{server.home}/a")
    (document,) = store
    assert document.source == f"{server.home}/a"
    assert document.fields["url"] == f"{server.home}/deep/b"
    assert collect(f"{server.home}/a").documents_unchanged == 1


def test_links_of_a_list_begin_where_it_came_from_in_the_end(server, store, collect) -> None:
    server.pages["/feed"] = 301, {"Location": "/deep/feed"}, b""
    body = b"<rss><channel><item><link>a</link></item></channel></rss>"
    server.pages["/deep/feed"] = 200, {"Content-Type": "text/xml"}, body
    server.text("/deep/a", "an entry")
    collect(f"{server.home}/feed")
    assert texts(store) == ["an entry"]


def test_list_may_name_pages_of_the_host_that_it_was_moved_to(
    server, store, collect, monkeypatch
) -> None:
    monkeypatch.setattr("memlm.collect.fetching._is_public", lambda address: True)
    other = Served()
    try:
        server.pages["/sitemap.xml"] = 301, {"Location": f"{other.home}/sitemap.xml"}, b""
        other.sitemap("/sitemap.xml", f"{other.home}/a", "https://example.org/elsewhere")
        other.text("/a", "a text")
        report = collect(f"{server.home}/sitemap.xml")
    finally:
        other.close()
    assert texts(store) == ["a text"]
    assert [item.source for item in report.rejected] == ["https://example.org/elsewhere"]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:127.0.0.1", "0.0.0.0",
        "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "224.0.0.1", "100.64.0.1",
    ],
)  # fmt: skip
def test_private_address_is_known_as_such(address: str) -> None:
    import ipaddress

    assert not _is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["http://", "http://user:secret@example.org/", "https://exa mple:port/", "ftp://example.org"],
)
def test_bad_address_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(InputError) as caught:
        clean_address(address)
    assert caught.value.code == "address_bad"
    assert "secret" not in str(caught.value)


def test_address_is_written_in_ascii_without_its_fragment() -> None:
    found = clean_address("HTTP://Bücher.example:80/灯 b?q=é#x")
    assert found == "http://xn--bcher-kva.example/%E7%81%AF%20b?q=%C3%A9"


def test_host_that_is_not_there_is_rejected(collect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    report = collect(f"http://127.0.0.1:{port}/")
    assert report.documents_rejected == 1
    assert "refuses the connection" in reasons(report)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionRefusedError(), "host_refuses"),
        (ConnectionResetError(), "host_breaks_off"),
        (BrokenPipeError(), "host_breaks_off"),
        (RemoteDisconnected(), "host_breaks_off"),
        (BadStatusLine("SSH-2.0"), "answer_bad"),
        (OSError(113, "No route to host"), "host_unreachable"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_failure_has_a_sentence_of_its_own(monkeypatch, error: Exception, code: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Fetcher, "_ask", fail)
    with pytest.raises(InputError) as caught:
        Fetcher("http://example.org/", limits=QUICK, agent="memlm").get("http://example.org/")
    assert caught.value.code == code
    assert type(error).__name__ not in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ("--delay", "-1"), ("--delay", "nan"), ("--delay", "inf"), ("--max-minutes", "nan"),
        ("--max-minutes", "-0.5"), ("--max-pages", "0"), ("--max-pages", "-5"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_impossible_manner_of_visiting_is_refused(server, tmp_path, capsys, words) -> None:
    server.text("/t", "a text")
    command = ["collect", str(tmp_path / "ws"), f"{server.home}/t", f"{words[0]}={words[1]}"]
    assert run([*command, "--json"]) == 2
    assert words[0] in json.loads(capsys.readouterr().out)["error"]["message"]
    assert server.asked == []
    assert not (tmp_path / "ws").exists()


def test_address_with_nothing_at_it_costs_no_other_source(server, tmp_path) -> None:
    server.text("/t", "a text")
    quick, sources = WebConfig(delay=0), (f"{server.home}/gone", f"{server.home}/t")
    for _ in range(2):
        report = collect_documents(tmp_path / "ws", *sources, web=quick)
        assert [item.source for item in report.rejected] == [f"{server.home}/gone"]
        assert report.documents_added + report.documents_unchanged == 1
    server.text("/gone", "now there")
    report = collect_documents(tmp_path / "ws", *sources, web=quick)
    assert (report.documents_added, report.rejected) == (1, ())
    with pytest.raises(NotFoundError):
        collect_documents(tmp_path / "other", f"{server.home}/nothing", web=quick)


def test_address_survives_the_command_line(server, tmp_path, capsys) -> None:
    server.text("/a//b.txt", "two slashes")
    words = ["collect", str(tmp_path / "ws"), f"{server.home}/a//b.txt", "--delay", "0", "--json"]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["documents_added"] == 1
    assert server.paths() == ["/a//b.txt"]
    with DocumentStore(tmp_path / "ws" / "documents.sqlite") as documents:
        assert [d.source for d in documents] == [f"{server.home}/a//b.txt"]


def test_page_that_is_gone_is_pruned_from_the_workspace(server, tmp_path) -> None:
    server.text("/t", "words of a page")
    ws, quick = tmp_path / "ws", WebConfig(delay=0)
    collect_documents(ws, f"{server.home}/t", web=quick)
    del server.pages["/t"]
    report = collect_documents(
        ws, f"{server.home}/t", web=quick, prune=True, may_remove=lambda *_: True
    )
    assert (report.documents_removed, report.characters) == (1, 0)
    assert not [
        path for path in ws.rglob("*") if path.is_file() and b"words of a page" in path.read_bytes()
    ]


def test_files_are_read_without_any_socket(collect, corpus, monkeypatch) -> None:
    def refuse(*words: object) -> None:
        raise AssertionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    collection = Collection(
        collect.store, CollectConfig(), split=None, note=print, progress=lambda done, total: None
    )
    collection.read_source(corpus, list(list_files(corpus)))
    assert collection.finish().documents_added == 7
