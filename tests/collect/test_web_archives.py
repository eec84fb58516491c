"""Web archives: every page in, every record that is none counted, damage said and passed over."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from memlm.collect import CollectConfig, Limits, Reading, read_file
from memlm.collect.apart import Parsed
from memlm.errors import InputError, MissingExtraError
from memlm.records import SourceNote, SourceProblem, SourceText

HTML = "text/html; charset=utf-8"
PAGE = b"<html><title>A title</title><p>some words"
Item = SourceText | SourceProblem | SourceNote


@pytest.fixture(autouse=True)
def plain_extraction(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of a page is what follows its first <p>, so that no extractor is needed here."""

    def extract(
        data: bytes, reading: Reading, *, name: str, address: str | None, charset: str | None
    ) -> Parsed:
        _, mark, text = data.decode(charset or "utf-8", "replace").partition("<p>")
        if not mark:
            raise InputError("page_without_text", address=address)
        return Parsed(text=text, fields={"title": "A title", "date": "2020-02-02"})

    monkeypatch.setattr("memlm.collect.web_archives.extract_page_apart", extract)


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def record(
    block: bytes,
    *,
    kind: str = "response",
    address: str = "http://a.org/",
    media_type: str = "application/http; msgtype=response",
    length: int | None = None,
) -> bytes:
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Target-URI: {address}",
        "WARC-Date: 2021-03-04T05:06:07Z",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(block) if length is None else length}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def page(body: bytes = PAGE, *headers: str, address: str = "http://a.org/") -> bytes:
    return record(http(body, f"Content-Type: {HTML}", *headers), address=address)


def plain(body: bytes, *, charset: str = "") -> bytes:
    return record(http(body, f"Content-Type: text/plain{charset}"))


def read(path: Path, data: bytes | Iterable[bytes], **limits: float) -> list[Item]:
    path.write_bytes(data if isinstance(data, bytes) else b"".join(data))
    reading = Reading(config=CollectConfig(), limits=Limits(**limits))  # type: ignore[arg-type]
    return list(read_file(path, reading))


def texts(found: list[Item]) -> list[str]:
    return [item.text for item in found if isinstance(item, SourceText)]


def problems(found: list[Item]) -> list[tuple[int | None, str]]:
    return [(item.position, item.code) for item in found if isinstance(item, SourceProblem)]


@pytest.fixture
def warc(tmp_path: Path) -> Path:
    return tmp_path / "crawl.warc"


# -- pages --------------------------------------------------------------------------------------


def test_page_is_a_document_with_its_address(warc: Path) -> None:
    (found,) = read(warc, page())
    assert isinstance(found, SourceText)
    assert (found.text, found.key, found.position) == ("some words", "http://a.org/", 1)
    assert found.fields == {
        "url": "http://a.org/",
        "crawled": "2021-03-04T05:06:07Z",
        "title": "A title",
        "date": "2020-02-02",
    }


def test_resource_and_plain_text_are_documents_too(warc: Path) -> None:
    found = read(
        warc,
        [
            record(PAGE, kind="resource", media_type="text/html"),
            plain("灯火".encode()),
            record("词".encode(), kind="conversion", media_type="text/plain"),
        ],
    )
    assert texts(found) == ["some words", "灯火", "词"]


def test_what_is_no_page_is_counted_in_one_note(warc: Path) -> None:
    found = read(
        warc,
        [
            record(b"", kind="warcinfo", media_type="application/warc-fields"),
            record(b"GET /", kind="request", media_type="application/http"),
            page(),
            record(http(b"x", "Content-Type: image/png")),
            record(http(PAGE, f"Content-Type: {HTML}", status="404 Not Found")),
            record(http(PAGE, f"Content-Type: {HTML}"), kind="revisit"),
        ],
    )
    assert texts(found) == ["some words"]
    (note,) = [item for item in found if isinstance(item, SourceNote)]
    assert (note.code, note.values["count"]) == ("records_left", 5)
    kinds = str(note.values["kinds"]).split(", ")
    assert sorted(kinds) == ["HTTP 404 1", "image/png 1", "request 1", "revisit 1", "warcinfo 1"]


def test_file_without_pages_is_rejected(warc: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(warc, record(b"", kind="metadata"))
    assert caught.value.code == "no_pages"


def test_plain_text_is_read_without_the_package_for_pages(
    warc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MissingExtraError("extra_missing", package="trafilatura", extra="documents")

    monkeypatch.setattr("memlm.collect.web_archives.extract_page_apart", fail)
    found = read(warc, [page(), plain(b"a text")])
    assert texts(found) == ["a text"]
    assert problems(found) == [(1, "extra_missing")]


def test_page_without_text_is_a_problem_of_its_record(warc: Path) -> None:
    found = read(warc, [page(b"<html>"), page()])
    assert problems(found) == [(1, "page_without_text")]
    assert texts(found) == ["some words"]


def test_same_address_twice_is_two_documents(warc: Path) -> None:
    found = read(warc, [page(b"<p>old"), page(b"<p>new")])
    assert texts(found) == ["old", "new"]


# -- as servers send them -----------------------------------------------------------------------


def chunked(body: bytes, size: int = 7) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (chunked(PAGE), [CHUNKED]),
        (PAGE, [CHUNKED]),
        (gzip.compress(PAGE), ["Content-Encoding: gzip"]),
        (PAGE, ["Content-Encoding: gzip"]),
        (zlib.compress(PAGE), ["Content-Encoding: deflate"]),
        (raw_deflate(PAGE), ["Content-Encoding: deflate"]),
        (chunked(gzip.compress(PAGE)), [CHUNKED, "Content-Encoding: gzip"]),
        (gzip.compress(zlib.compress(PAGE)), ["Content-Encoding: deflate, gzip"]),
    ],
    ids=[
        "in chunks",
        "only said to be in chunks",
        "gzip",
        "only said to be gzip",
        "deflate",
        "deflate as some do it",
        "gzip in chunks",
        "packed twice",
    ],
)
def test_page_is_unpacked(warc: Path, body: bytes, headers: list[str]) -> None:
    assert texts(read(warc, page(body, *headers))) == ["some words"]


@pytest.mark.parametrize(
    ("body", "header", "code"),
    [
        (b"5\r\nabcde\r\nnonsense\r\n", CHUNKED, "record_damaged"),
        (b"5\r\nab", CHUNKED, "record_cut_short"),
        (gzip.compress(PAGE)[:-3], "Content-Encoding: gzip", "compressed_cut_short"),
        (zlib.compress(PAGE)[:-6], "Content-Encoding: deflate", "record_cut_short"),
        (b"x\x9c\xff\xff\xff\xff", "Content-Encoding: deflate", "record_damaged"),
        (b"?", "Content-Encoding: br", "record_coding_unknown"),
    ],
    ids=["chunks", "last chunk", "gzip", "deflate", "bad deflate", "unknown coding"],
)
def test_damaged_page_is_a_problem_and_the_next_is_read(
    warc: Path, body: bytes, header: str, code: str
) -> None:
    found = read(warc, [page(body, header), page()])
    assert problems(found) == [(1, code)]
    assert texts(found) == ["some words"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_page_that_is_a_bomb_ends_the_reading(warc: Path, coding: str) -> None:
    pack = gzip.compress if coding == "gzip" else zlib.compress
    bomb = page(pack(bytes(20_000_000)), f"Content-Encoding: {coding}")
    found = read(warc, [page(), bomb, page()], ratio_free_bytes=10**6, unpacked_ratio=2.0)
    assert texts(found) == ["some words"]
    assert problems(found) == [(2, "unpacks_too_far")]


def test_page_that_is_too_large_is_a_problem(warc: Path) -> None:
    found = read(warc, [page(b"<p>" + b"x" * 2000), page()], parsed_bytes=1000)
    assert problems(found) == [(1, "record_too_large")]
    assert texts(found) == ["some words"]


@pytest.mark.parametrize(
    ("encoding", "charset"),
    [("gb18030", "; charset=gb2312"), ("cp1252", "; charset=ISO-8859-1"), ("gb18030", "")],
    ids=["the server says", "as browsers read it", "found"],
)
def test_encoding_of_a_page_is_known(warc: Path, encoding: str, charset: str) -> None:
    text = "灯火阑珊处，那人却在" if encoding == "gb18030" else "“café”"
    assert texts(read(warc, plain(text.encode(encoding), charset=charset))) == [text]


def test_utf8_is_utf8_whatever_the_server_says(warc: Path) -> None:
    assert texts(read(warc, plain("灯火".encode(), charset="; charset=gbk"))) == ["灯火"]


@pytest.mark.parametrize("charset", ["undefined", "idna", "punycode", "base64", "klingon"])
def test_charset_that_is_none_is_as_good_as_unsaid(warc: Path, charset: str) -> None:
    words = "夜里没有人来，灯还亮着，远处的山上下起了雨。" * 5
    found = read(warc, [plain(words.encode("gb18030"), charset=f"; charset={charset}"), page()])
    assert texts(found)[0] == words
    assert len(texts(found)) == 2


def test_text_in_no_known_encoding_is_a_problem_with_its_address(warc: Path) -> None:
    found = read(warc, [plain(b"caf\xe9 \x81\x8d"), page()])
    assert problems(found) == [(1, "undecodable")]
    (problem,) = [item for item in found if isinstance(item, SourceProblem)]
    assert problem.values["path"] == "http://a.org/"


# -- damaged files ------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_file_cut_short_keeps_its_complete_records(tmp_path: Path, packed: bool) -> None:
    parts = [page(b"<p>%d " % number + bytes(range(60, 120)) * 9) for number in range(3)]
    data = b"".join(gzip.compress(part) if packed else part for part in parts)
    path = tmp_path / f"crawl.warc{'.gz' if packed else ''}"
    found = read(path, data[: int(len(data) * 0.9)])
    assert [text[0] for text in texts(found)] == ["0", "1"]
    assert problems(found) == [(3, "compressed_cut_short" if packed else "record_cut_short")]


def test_record_after_damage_is_found(warc: Path) -> None:
    found = read(warc, [page(b"<p>one"), b"rubbish\n" * 5, page(b"<p>two")])
    assert texts(found) == ["one", "two"]
    assert problems(found) == [(2, "record_header_bad")]


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30], ids=["negative", "a word", "absurd"])
def test_length_that_is_no_length_costs_one_record(warc: Path, length: str) -> None:
    bad = page().replace(b"Content-Length: ", f"Content-Length: {length}\r\nX: ".encode(), 1)
    found = read(warc, [page(b"<p>one"), bad, page(b"<p>two")])
    assert texts(found) == ["one", "two"]
    assert problems(found) == [(2, "record_header_bad")]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.arc", "a.arc.gz"])
@pytest.mark.parametrize("data", [b"", b"just text\n" * 99], ids=["empty", "text"])
def test_file_that_is_no_web_archive_is_rejected(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path / name, data)
    assert caught.value.code in ("file_empty", "record_header_bad", "not_compressed")


# -- ARC ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "{address} 10.0.0.1 20140216050221 text/html {length}",
        "{address} 10.0.0.1 20140216050221 text/html 200 sum - 0 a.arc {length}",
    ],
    ids=["version 1", "version 2"],
)
def test_records_of_arc_are_read(tmp_path: Path, header: str) -> None:
    block = http(PAGE, f"Content-Type: {HTML}")
    address = "http://a.org/with a space"
    line = header.format(address=address, length=len(block))
    first = b"filedesc://a.arc 0.0.0.0 20140216050221 text/plain 6\n1 0 X\n\n"
    found = read(tmp_path / "a.arc", first + line.encode() + b"\n" + block + b"\n")
    assert texts(found) == ["some words"]
    (text,) = [item for item in found if isinstance(item, SourceText)]
    assert (text.key, text.position, text.fields["crawled"]) == (address, 2, "2014-02-16")


# -- files of others ----------------------------------------------------------------------------


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "pages", "said"),
    [
        ("example.warc", 1, []),
        ("example.warc.gz", 1, []),
        ("example.arc.gz", 1, []),
        ("example-resource.warc.gz", 1, []),
        ("example-iana.org-chunked.warc", 1, []),
        ("example-bad-non-chunked.warc.gz", 1, []),
        ("example-trunc.warc", 0, [(3, "compressed_cut_short"), (4, "record_header_bad")]),
    ],
)
def test_files_of_others_are_read(
    shared_data: Path, name: str, pages: int, said: list[tuple[int, str]]
) -> None:
    reading = Reading(config=CollectConfig())
    found = list(read_file(shared_data / "documents" / "warc" / name, reading))
    assert (len(texts(found)), problems(found)) == (pages, said)


@pytest.mark.parametrize(
    ("data", "text", "note"),
    [
        ("Das ist ein Wörterbuch für Anfänger €".encode()[:-1],
         "Das ist ein Wörterbuch für Anfänger ", "character_cut"),
        ("Le café\n".encode("cp1252"), "Le café\n", "encoding_doubtful"),
    ],
    ids=["cut", "doubtful"],
)  # fmt: skip
def test_plain_record_says_what_its_encoding_leaves_open(
    tmp_path: Path, data: bytes, text: str, note: str
) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(record(http(data, "Content-Type: text/plain")))
    said, item = read_file(path, Reading(config=CollectConfig()))
    assert isinstance(said, SourceNote)
    assert (said.code, said.values["path"]) == (note, "http://a.org/")
    assert isinstance(item, SourceText)
    assert item.text == text
