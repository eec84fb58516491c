"""Whatever is done to the bytes of an archive, its reader reads, says what is wrong, or refuses."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memlm.collect import CollectConfig, Limits, Reading, read_file
from memlm.errors import InputError
from memlm.records import SourceText

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


@pytest.mark.parametrize("name", WHOLE)
def test_unchanged_archive_is_read_whole(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(WHOLE[name])
    found = list(read_file(tmp_path / name, Reading(config=CollectConfig())))
    assert all(isinstance(item, SourceText) for item in found)
    assert len(found) == NUM_TEXTS[name]
