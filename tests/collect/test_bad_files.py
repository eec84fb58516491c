"""Bad input at the command line: all of it is in or is listed with the reason, and exit 0.

How each reader does that is tested beside it; here is what a person meets, one case of
docs/faults.md after the other.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memlm.cli.app import run
from memlm.documents import DocumentStore
from memlm.records import Document

if TYPE_CHECKING:
    from tests.collect.conftest import MakeDocument, MakePdf

FRENCH = "C'était l'été où nous étions à l'hôtel, près de la forêt."
CHINESE = "text,label\n这是一部很好看的电影，我们都喜欢。,好\n"
DEEP = '{"text": "a", "more": ' + "[" * 100_000 + "]" * 100_000 + "}"


@dataclass(frozen=True)
class Bad:
    """A file, how many documents it gives, and what is said of it."""

    name: str
    data: bytes | str
    documents: int
    reasons: tuple[str, ...] = ()
    """Words from the reason of each thing that was rejected, in order."""
    note: str = ""


@dataclass(frozen=True)
class Done:
    """What a command printed."""

    json: Any
    err: str


Memlm = Callable[..., Done]


@pytest.fixture
def memlm(capsys: pytest.CaptureFixture[str]) -> Memlm:
    def call(*words: object) -> Done:
        capsys.readouterr()
        code = run([*map(str, words), "--json", "--language", "en"])
        out, err = capsys.readouterr()
        assert code == 0, out + err
        assert "Traceback" not in err
        return Done(json.loads(out), err)

    return call


def collect(memlm: Memlm, tmp_path: Path, bad: Bad, *options: object) -> list[Document]:
    """Collect a bad file, compare what is said with what should be, and return the documents."""
    path = tmp_path / bad.name
    path.write_bytes(bad.data if isinstance(bad.data, bytes) else bad.data.encode())
    done = memlm("collect", tmp_path / "ws", path, *options)
    rejected = done.json["rejected"]
    assert done.json["documents_added"] == bad.documents, rejected
    assert len(rejected) == done.json["documents_rejected"] == len(bad.reasons), rejected
    for item, words in zip(rejected, bad.reasons, strict=True):
        assert item["source"].startswith(bad.name)
        assert words in item["reason"]
    assert bad.note in done.err
    with DocumentStore(tmp_path / "ws" / "documents.sqlite") as store:
        return list(store)


# -- tables (G7) --------------------------------------------------------------------------------

TABLES = {
    "empty": Bad("a.csv", "", 0, ("has no text",)),
    "header only": Bad("a.csv", "text,label\n", 0),
    "missing text": Bad("a.csv", "x,y\nabcde,fghij\n", 0, ("Found: x, y",)),
    "wrong case": Bad("a.csv", "TEXT,Label\na,x\n", 1),
    "duplicate header": Bad("a.csv", "text,label,text\na,b,c\n", 0, ("text",)),
    "BOM": Bad("a.csv", "\ufefftext,label\na,x\n", 1),
    "UTF-16": Bad("a.csv", CHINESE.encode("utf-16"), 1),
    "GBK": Bad("a.csv", CHINESE.encode("gbk"), 1, note="a.csv was read as gb18030"),
    "Latin-1": Bad("a.csv", f'text\n"{FRENCH}"\n'.encode("latin-1"), 1, note="read as cp1252"),
    "mixed": Bad("a.csv", f"text\n{FRENCH}\n".encode() + FRENCH.encode("latin-1"), 0, ("byte",)),
    "NUL": Bad("a.csv", "text,label\na\0b,x\n" + "word word word,y\n" * 20, 21),
    "CR": Bad("a.csv", "text,label\ra,x\rb,y\r", 2),
    "CRLF mix": Bad("a.csv", "text,label\r\na,x\nb,y\rc,z\r\n", 3),
    "open quote": Bad("a.csv", 'text,label\none,x\n"two,y\nthree,z\n', 0, ("line 3",)),
    "columns": Bad("a.csv", "text," + "," * 10**6 + "\na\n", 0, ("1,000,002",)),
    "ragged": Bad("a.csv", "text,label\na,x\nb\nc,x,y\n", 1, ("has 1 fields", "has 3 fields")),
    "semicolons": Bad("a.csv", "text;label\na, b;x\nc, d;y\n", 2),
    "tabs": Bad("a.csv", "text\tlabel\na, b\tx\nc, d\ty\n", 2),
    "line ends": Bad("a.csv", 'text,label\n"a\nb\n",x\n"c\r\nd",y\n', 2),
    "formula": Bad("a.csv", "text,label\n=cmd(),x\n", 1),
    "odd labels": Bad("a.jsonl", '{"text":"a","label":1.5}\n{"text":"b","label":NaN}', 2),
    "no labels": Bad("a.csv", "text\na\nb\n", 2),
    "twice": Bad("a.csv", "text,label\na,x\na,x\n", 2),
    "JSON": Bad("a.jsonl", f'{{"text":NaN}}\n{{"text":"a","text":"b"}}\n{"9" * 4301}\n{DEEP}\n'
                '"last"', 1, ("no text", "twice", "JSON", "JSON")),
    "half a line": Bad("a.jsonl", '{"text": "a"}\n{"text": "b"}\n{"text": "c', 2, ("JSON",)),
}  # fmt: skip


@pytest.mark.parametrize("bad", TABLES.values(), ids=TABLES)
def test_bad_table_is_in_or_listed(memlm: Memlm, tmp_path: Path, bad: Bad) -> None:
    collect(memlm, tmp_path, bad)


# -- texts (G8) ---------------------------------------------------------------------------------

MODERN = "今天早上，我在火车站等了一个小时，可是他没有来。后来我才知道，他已经走了。\n"
TEXTS = {
    "zero length": Bad("a.txt", "", 0, ("has no text",)),
    "white space": Bad("a.txt", " \t\n\u3000\u00a0", 0, ("has no text",)),
    "only emoji": Bad("a.txt", "😀👩‍👩‍👧‍👦🏳️‍🌈", 1),
    "lone surrogate": Bad("a.jsonl", '{"text": "a\\ud800"}\n"b"', 1, ("surrogate",)),
    "U+FFFD": Bad("a.txt", MODERN.encode("gbk").decode("utf-8", "replace"), 0, ("U+FFFD",)),
    "piled marks": Bad("a.txt", "a" + "\u0301" * 100_000, 0, ("30",)),
    "directions": Bad("a.txt", "שלום \u202bمرحبا\u202c \u2067abc\u2069 invoice\u202efdp.exe", 1),
    "control characters": Bad("a.txt", "bell\x07 escape\x1b[2J" + " and more words" * 20, 1),
    "both scripts": Bad("a.txt", "後來，我们在皇后區的後面看见发型师发现了头發。", 1),
    "entities": Bad("a.txt", "&lt;b&gt; &amp;amp; &#x4e2d; <script>alert(1)</script>", 1),
    "one letter": Bad("a.txt", "a" * 5000, 1),
}


@pytest.mark.parametrize("bad", TEXTS.values(), ids=TEXTS)
def test_bad_text_is_in_or_listed_and_can_be_prepared(
    memlm: Memlm, tmp_path: Path, bad: Bad
) -> None:
    if collect(memlm, tmp_path, bad):
        prepared = memlm("prepare", tmp_path / "ws", "--tokenizer", "char").json
        assert prepared["documents"] == bad.documents


# -- archives and documents (G9) ----------------------------------------------------------------


def packed(*names: str, data: bytes = b"words") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, data)
    return buffer.getvalue()


def with_entry(data: bytes, at: int, new: bytes, *, which: int = 0) -> bytes:
    """Change the entry of a member in the list of a zip archive."""
    found = -1
    for _ in range(which + 1):
        found = data.index(b"PK\1\2", found + 1)
    return data[: found + at] + new + data[found + at + len(new) :]


def nested(depth: int) -> bytes:
    data = b"words"
    for _ in range(depth):
        data = packed("a.zip" if data != b"words" else "a.txt", data=data)
    return data


def tarred(**changes: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("bad.txt", "good.txt"):
            entry = tarfile.TarInfo(name)
            entry.size = 5
            for attribute, value in changes.items() if name == "bad.txt" else ():
                setattr(entry, attribute, value)
            archive.addfile(entry, io.BytesIO(b"words"))
    return buffer.getvalue()


def zstd(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    return bytes(zstandard.ZstdCompressor().compress(data))


LONG = b" ".join(b"%d" % number for number in range(9000))
LINK: dict[str, object] = {"linkname": "/etc/passwd", "size": 0}
ARCHIVES = {
    "bomb": Bad("a.zip", packed("a.txt", data=bytes(50_000_000)), 0, ("more than 32 MB",)),
    "nested": Bad("a.zip", nested(3), 1),
    "nested too deep": Bad("a.zip", nested(9), 0, ("4",)),
    "overlapping": Bad("a.zip", with_entry(packed("a.txt", "b.txt"), 42, bytes(4), which=1), 0,
                       ("same bytes",)),
    "up": Bad("a.zip", packed("../a.txt", "b.txt"), 1, ("name",)),
    "absolute": Bad("a.zip", packed("/a.txt", "b.txt"), 1, ("name",)),
    "drive": Bad("a.zip", packed("C:/a.txt", "b.txt"), 1, ("name",)),
    "NUL": Bad("a.zip", packed("a_.txt", "b.txt").replace(b"a_.txt", b"a\0.txt"), 1, ("name",)),
    "symbolic link": Bad("a.tar", tarred(type=tarfile.SYMTYPE, **LINK), 1, ("ordinary file",)),
    "hard link": Bad("a.tar", tarred(type=tarfile.LNKTYPE, **LINK), 1, ("ordinary file",)),
    "device": Bad("a.tar", tarred(type=tarfile.CHRTYPE, size=0), 1, ("ordinary file",)),
    "truncated gz": Bad("a.txt.gz", gzip.compress(LONG)[:2000], 0, ("cut short",)),
    "truncated bz2": Bad("a.txt.bz2", bz2.compress(LONG)[:2000], 0, ("cut short",)),
    "truncated xz": Bad("a.txt.xz", lzma.compress(LONG)[:2000], 0, ("cut short",)),
    "junk": Bad("a.txt.gz", gzip.compress(b"words") + b"junk" * 9, 1, note="after its end"),
    "encrypted": Bad("a.zip", with_entry(packed("a.txt", "b.txt"), 8, b"\1"), 1, ("encrypted",)),
    "lying size": Bad("a.zip", with_entry(packed("a.txt", "b.txt"), 24, struct.pack("<L", 3)), 1,
                      ("damaged",)),
    "nesting": Bad("a.html", "<p>" + "<div>" * 10**5 + "words", 0, ("no main text",)),
}  # fmt: skip


@pytest.mark.parametrize("bad", ARCHIVES.values(), ids=ARCHIVES)
def test_bad_archive_is_in_or_listed(memlm: Memlm, tmp_path: Path, bad: Bad) -> None:
    collect(memlm, tmp_path, bad)
    assert {path.name for path in tmp_path.iterdir()} == {bad.name, "ws"}
    assert not (tmp_path.parent / "a.txt").exists()


def test_truncated_zst_is_listed(memlm: Memlm, tmp_path: Path) -> None:
    collect(memlm, tmp_path, Bad("a.txt.zst", zstd(LONG)[:2000], 0, ("cut short",)))


@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://127.0.0.1:9/x"])
def test_book_that_asks_for_an_outer_entity_is_listed(
    memlm: Memlm, tmp_path: Path, make_document: MakeDocument, address: str
) -> None:
    chapter = f'<!DOCTYPE a [<!ENTITY d SYSTEM "{address}">]><html><body>&d;</body></html>'
    data = make_document(".epub", {"OPS/one.xhtml": chapter})
    collect(memlm, tmp_path, Bad("a.epub", data, 0, ("entities",)))


# -- what those who prepare real files meet -----------------------------------------------------


def test_rows_with_line_ends_in_quotes_are_rows_like_the_others(
    memlm: Memlm, tmp_path: Path
) -> None:
    rows = [f"How long does transfer {number} take?,pending" for number in range(40)]
    for number in range(13):
        rows[3 * number] = f'"Hello,\nwhere is ""card"" {number}?\n\n",arrival'
    table = Bad("train.csv", "text,category\r\n" + "\r\n".join(rows), 40)
    found = collect(memlm, tmp_path, table)
    assert sum(document.text.count("\n") == 3 for document in found) == 13
    assert [document.label for document in found].count("arrival") == 13


def test_labels_in_a_file_of_their_own_go_to_their_lines(memlm: Memlm, tmp_path: Path) -> None:
    (tmp_path / "val_labels.txt").write_text("0\n3\n0\n")
    lines = Bad("val_text.txt", "@user I am glad \u2028 today\n@user so sad \n@user fine\n", 3)
    found = collect(memlm, tmp_path, lines, "--labels", tmp_path / "val_labels.txt")
    assert [document.label for document in found] == ["0", "3", "0"]


NEWS = "".join(
    f'"{number % 4 + 1}","Title {number}","A long text, which says what happened ({number}) '
    f'to the #36;{number} million\\and to nobody else in the whole town."\n'
    for number in range(12)
)


def test_table_that_begins_with_its_labels_and_no_header_asks_for_the_option(
    memlm: Memlm, tmp_path: Path
) -> None:
    collect(memlm, tmp_path, Bad("train.csv", NEWS, 0, ("--no-header",)))


def test_table_that_begins_with_its_labels_is_read_without_a_header(
    memlm: Memlm, tmp_path: Path
) -> None:
    table = Bad("train.csv", NEWS, 12, note="'#3' was taken for the text, '#1' for the label")
    found = collect(memlm, tmp_path, table, "--no-header")
    assert {document.label for document in found} == set("1234")
    assert found[0].fields == {"#2": "Title 0"}


def test_json_lines_are_read_whatever_the_file_is_called(memlm: Memlm, tmp_path: Path) -> None:
    lines = [json.dumps({"question": f"Who is {n}?", "answer": f"It is {n}."}) for n in range(9)]
    rows = Bad("forget01.json", "\n".join(lines), 9)
    found = collect(memlm, tmp_path, rows, "--text-column", "answer")
    assert found[0].text == "It is 0."
    assert found[0].fields == {"question": "Who is 0?"}


def test_line_without_its_tab_is_listed_by_its_number(memlm: Memlm, tmp_path: Path) -> None:
    lines = [f"I won {number}!\t我赢了{number}。" for number in range(1, 41)]
    lines[12] = "I am angry! 我很生气！"
    pairs = Bad("cmn.txt", "\n".join(lines), 39, ("has 1 fields, not 2",))
    found = collect(memlm, tmp_path, pairs, "--no-header", "--text-column", "2")
    assert found[0].text == "我赢了1。"
    rejected = (tmp_path / "ws" / "rejected.jsonl").read_text("utf-8")
    assert json.loads(rejected)["position"] == 13


def test_encrypted_pdf_is_listed_until_its_password_is_given(
    memlm: Memlm, tmp_path: Path, make_pdf: MakePdf
) -> None:
    data = make_pdf("The lamp was lit.", password="swordfish")
    collect(memlm, tmp_path, Bad("a.pdf", data, 0, ("--password",)))
    (document,) = collect(memlm, tmp_path, Bad("a.pdf", data, 1), "--password", "swordfish")
    assert document.text == "The lamp was lit."


def test_web_archive_cut_short_keeps_its_complete_records(memlm: Memlm, tmp_path: Path) -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nwords of page "
    record = b"".join(
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.org/%d\r\n"
        b"Content-Type: application/http\r\nContent-Length: %d\r\n\r\n%s%d\r\n\r\n"
        % (number, len(body) + 1, body, number)
        for number in range(3)
    )
    found = collect(memlm, tmp_path, Bad("a.warc", record[:-20], 2, ("cut short",)))
    assert [document.text[-1] for document in found] == ["0", "1"]
