"""Whatever is done to the bytes of a file, its reader reads, says what is wrong, or refuses."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import tarfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memlm.collect import CollectConfig, Limits, Reading, read_file
from memlm.collect.sources import READERS, find_ending
from memlm.errors import InputError
from memlm.records import SourceText

if TYPE_CHECKING:
    from tests.collect.conftest import MakeDocument, MakePdf

EXAMPLES = int(os.environ.get("MEMLM_FUZZ_EXAMPLES", "60"))
FILES = {"a.txt": b"a text of some words", "in/b.csv": b"text,label\none,x\ntwo,y\n" * 9, "c": b"c"}


def zip_bytes() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tar_bytes() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in FILES.items():
            entry = tarfile.TarInfo(f"文件/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def warc_bytes() -> bytes:
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n\r\n"
    body += gzip.compress(b"some plain words", mtime=0)
    head = "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.org/\r\n"
    head += f"Content-Type: application/http\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head.encode() + body + b"\r\n\r\n") * 3


def arc_bytes() -> bytes:
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    body += b"4\r\nsome\r\n6\r\n words\r\n0\r\n\r\n"
    return b"http://a.org/ 1.2.3.4 20140216050221 text/plain %d\n%s\n" % (len(body), body) * 3


WHOLE = {
    "a.zip": zip_bytes(),
    "a.tar": tar_bytes(),
    "a.tar.gz": gzip.compress(tar_bytes(), mtime=0),
    "a.tar.bz2": bz2.compress(tar_bytes()),
    "a.tar.xz": lzma.compress(tar_bytes()),
    "a.warc": warc_bytes(),
    "a.warc.gz": gzip.compress(warc_bytes(), mtime=0),
    "a.arc": arc_bytes(),
}
NUM_TEXTS = {name: 3 if "arc" in name else 2 + 26 for name in WHOLE}
CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=4
)


def changed(data: bytes, changes: list[tuple[float, bytes]], kept: float) -> bytes:
    result = bytearray(data)
    for place, new in changes:
        at = int(place * len(result))
        result[at : at + len(new)] = new
    return bytes(result[: int(len(result) * kept)])


@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=EXAMPLES, deadline=None)
@given(changes=CHANGES, kept=st.one_of(st.just(1.0), st.floats(0, 1)))
def test_changed_archive_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    changes: list[tuple[float, bytes]],
    kept: float,
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(changed(WHOLE[name], changes, kept))
    limits = Limits(unpacked_bytes=10**7, ratio_free_bytes=10**7, members=100)
    with suppress(InputError):
        found = list(read_file(path, Reading(config=CollectConfig(), limits=limits)))
        num_texts = sum(isinstance(item, SourceText) for item in found)
        if kept == 1 or "arc" not in name:  # a cut between two records cannot be seen
            assert num_texts == NUM_TEXTS[name] or num_texts < len(found)  # nothing lost in silence


# -- tables and documents -----------------------------------------------------------------------

ROWS = [{"id": n, "text": f"a text, or 灯火 ({n})", "label": "xy"[n % 2]} for n in range(9)]


def csv_bytes(delimiter: str) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, ["id", "text", "label"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return file.getvalue().encode()


def arrow_bytes(ending: str) -> bytes:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import feather, ipc, parquet

    table, buffer = pa.Table.from_pylist(ROWS), io.BytesIO()
    if ending == ".parquet":
        parquet.write_table(table, buffer)
    elif ending == ".feather":
        feather.write_feather(table, buffer)
    else:
        with ipc.new_stream(buffer, table.schema) as stream:
            stream.write_table(table)
    return buffer.getvalue()


PAGE = (
    '<html><head><title>Lamps</title><meta charset="utf-8"></head><body><article><h1>Lamps</h1>'
    + "<p>The lamp was lit, and nobody &eacute; came until the ninth hour had passed.</p>" * 4
    + "</article></body></html>"
).encode()
TABLES: dict[str, Callable[[], bytes]] = {
    ".csv": lambda: csv_bytes(","),
    ".tsv": lambda: csv_bytes("\t"),
    ".json": lambda: json.dumps(ROWS, ensure_ascii=False).encode(),
    ".jsonl": lambda: "\n".join(map(json.dumps, ROWS)).encode(),
    ".parquet": lambda: arrow_bytes(".parquet"),
    ".arrow": lambda: arrow_bytes(".arrow"),
    ".feather": lambda: arrow_bytes(".feather"),
    ".csv.gz": lambda: gzip.compress(csv_bytes(","), mtime=0),
    ".csv.bz2": lambda: bz2.compress(csv_bytes(",")),
    ".csv.xz": lambda: lzma.compress(csv_bytes(",")),
    ".html": lambda: PAGE,
    ".txt": lambda: "床前明月光，疑是地上霜。举头望明月，低头思故乡。".encode("gb18030") * 3,
}
MAIN_PARTS = {".docx": "word/document.xml", ".odt": "content.xml", ".epub": "OPS/one.xhtml"}


def read_in_time(path: Path) -> None:
    """Read a file; its reader may refuse it in our own words, and must be done soon."""
    started = time.monotonic()
    with suppress(InputError):
        limits = Limits(parse_seconds=5)
        for item in read_file(path, Reading(config=CollectConfig(), limits=limits)):
            assert not isinstance(item, SourceText) or item.text.strip()
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("ending", TABLES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(changes=CHANGES, kept=st.one_of(st.just(1.0), st.floats(0, 1)))
def test_changed_table_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    ending: str,
    changes: list[tuple[float, bytes]],
    kept: float,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"changed{ending}"
    path.write_bytes(changed(TABLES[ending](), changes, kept))
    read_in_time(path)


@pytest.mark.parametrize("inside", [False, True], ids=["the file", "the part with the text"])
@pytest.mark.parametrize("ending", MAIN_PARTS)
@settings(max_examples=EXAMPLES, deadline=None)
@given(changes=CHANGES, kept=st.one_of(st.just(1.0), st.floats(0, 1)))
def test_changed_document_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    make_document: MakeDocument,
    ending: str,
    inside: bool,
    changes: list[tuple[float, bytes]],
    kept: float,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"changed{ending}"
    if inside:
        part = MAIN_PARTS[ending]
        whole = make_document.smallest(ending)[part].encode()
        path.write_bytes(make_document(ending, {part: changed(whole, changes, kept)}))
    else:
        path.write_bytes(changed(make_document(ending), changes, kept))
    read_in_time(path)


@settings(max_examples=EXAMPLES, deadline=None)
@given(changes=CHANGES, kept=st.one_of(st.just(1.0), st.floats(0, 1)))
def test_changed_pdf_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    make_pdf: MakePdf,
    changes: list[tuple[float, bytes]],
    kept: float,
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.pdf"
    path.write_bytes(changed(make_pdf("The lamp was lit.", "Nobody came."), changes, kept))
    read_in_time(path)


def test_every_reader_is_tried_with_changed_bytes() -> None:
    names = [*WHOLE, *(f"changed{ending}" for ending in (*TABLES, *MAIN_PARTS, ".pdf"))]
    tried = {READERS[find_ending(name)] for name in names}
    assert [ending for ending, reader in READERS.items() if reader not in tried] == []


@pytest.mark.parametrize("name", WHOLE)
def test_unchanged_archive_is_read_whole(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(WHOLE[name])
    found = list(read_file(tmp_path / name, Reading(config=CollectConfig())))
    assert all(isinstance(item, SourceText) for item in found)
    assert len(found) == NUM_TEXTS[name]
