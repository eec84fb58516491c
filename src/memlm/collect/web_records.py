"""The records of web archives: what a crawler kept of each address, one after the other.

A WARC record is a few header lines and a block of a stated length; an ARC record has one header
line. The block of a `response` is what the server sent, headers first; chunks and compression are
undone here. `fastwarc` was weighed and left out: it knows no ARC, and takes a file that is cut
short or damaged for one that ends (tested with those of `documents/warc`).

Format: ISO 28500 (WARC 1.1); Burner and Kahle, "ARC File Format", 1996.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO, cast

from memlm.collect.unpacking import Allowance, ByteStream, Unpacked
from memlm.errors import InputError

_MOST_LINE_BYTES = 1 << 16
_MOST_HEADERS = 1000
_HTTP = "application/http"
_ARC_2 = re.compile(r"(\S+:.*) (\S+) (\d{8,14}) (\S+) (?:\d+|-) \S+ \S+ (?:\d+|-) \S+ (\d+)")
_ARC_1 = re.compile(r"(\S+:.*) (\S+) (\d{8,14}) (\S+) (\d+)")
_COMPRESSIONS = {"gzip": ".gz", "x-gzip": ".gz", "zstd": ".zst"}


@dataclass
class WebRecord:
    """One record, of which the block has not been read yet."""

    number: int
    """Place in its file, from 1."""
    kind: str
    """response, resource, request, revisit, metadata, ..."""
    address: str
    date: str
    media_type: str
    block: ByteStream
    size_bytes: int
    headers: dict[str, str] = field(default_factory=dict)
    """What the server said of what it sent, names in lower case."""
    status: int | None = None

    def open_block(self) -> None:
        """Read the headers that the server sent, where the block begins with some."""
        if not self.media_type.startswith(_HTTP):
            self.headers = {"content-type": self.media_type}
            return
        first = self.block.read_line(_MOST_LINE_BYTES)
        found = re.match(rb"HTTP/\S+ +(\d{3})", first)
        if found is None:
            raise InputError("record_damaged", address=self.address)
        self.status = int(found[1])
        self.headers = _read_headers(self.block)

    def body(self, *, most_bytes: int, allowance: Allowance) -> bytes:
        """Return what the server sent, unchunked and unpacked.

        Raises InputError if that is damaged, cut short or too long.
        """
        pieces = self.block.read_pieces(self.size_bytes)
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            pieces = _join_chunks(self.block, self.address)
        for coding in reversed(self.headers.get("content-encoding", "").lower().split(",")):
            pieces = self._decompress(pieces, coding.strip(), allowance)
        found, size = [], 0
        for piece in pieces:
            size += len(piece)
            if size > most_bytes:
                values = {"address": self.address, "most_mb": most_bytes / 1e6}
                raise InputError("record_too_large", **values)
            found.append(piece)
        return b"".join(found)

    def _decompress(
        self, pieces: Iterator[bytes], coding: str, allowance: Allowance
    ) -> Iterator[bytes]:
        if coding in ("", "identity", "none"):
            return pieces
        if coding == "deflate":
            return _inflate(pieces, self.address, allowance)
        if coding not in _COMPRESSIONS:
            raise InputError("record_coding_unknown", address=self.address, coding=coding)
        stream = ByteStream(pieces)
        ending = _COMPRESSIONS[coding]
        first = stream.read(2)
        again = ByteStream(chain([first], stream.read_pieces(1 << 62)))
        if ending == ".gz" and first != b"\x1f\x8b":  # servers say so of what they never packed
            return again.read_pieces(1 << 62)
        file = cast(BinaryIO, again)  # all that is asked of it is `read`
        return iter(Unpacked(file, ending, name=self.address, allowance=allowance))


def warc_records(stream: ByteStream) -> Iterator[WebRecord | InputError]:
    """Yield the records of a WARC file; what is damaged comes as the error that it is."""
    yield from _records(stream, _warc_header)


def arc_records(stream: ByteStream) -> Iterator[WebRecord | InputError]:
    """Yield the records of an ARC file; what is damaged comes as the error that it is."""
    yield from _records(stream, _arc_header)


def _records(
    stream: ByteStream, read_header: Callable[[bytes, ByteStream], WebRecord | None]
) -> Iterator[WebRecord | InputError]:
    """Yield record after record; after damage go on where the next one can be seen to begin."""
    number, is_lost = 0, False
    while line := stream.read_line(_MOST_LINE_BYTES):
        if not line.strip():
            continue
        record = read_header(line, stream)
        if record is None:
            if not is_lost:
                yield InputError("record_header_bad", number=number + 1)
            is_lost = True
            continue
        number, is_lost = number + 1, False
        record.number = number
        end = stream.position + record.size_bytes
        yield record
        stream.skip(end - stream.position)
        if stream.position < end:
            yield InputError("record_cut_short", address=record.address)


def _warc_header(line: bytes, stream: ByteStream) -> WebRecord | None:
    if not re.match(rb"WARC/\d", line):
        return None
    headers = _read_headers(stream)
    length = headers.get("content-length", "")
    if not length.isdecimal() or len(length) > 18:
        return None
    return WebRecord(
        number=0,
        kind=headers.get("warc-type", "?").lower(),
        address=headers.get("warc-target-uri", "").strip("<>"),
        date=headers.get("warc-date", ""),
        media_type=headers.get("content-type", "").lower(),
        block=_block(stream, int(length)),
        size_bytes=int(length),
    )


def _arc_header(line: bytes, stream: ByteStream) -> WebRecord | None:
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    found = _ARC_2.fullmatch(text) or _ARC_1.fullmatch(text)
    if found is None or len(found[5]) > 18:
        return None
    address, _, digits, media_type, length = found.groups()
    is_response = address.startswith(("http://", "https://"))
    date = "-".join((digits[:4], digits[4:6], digits[6:8]))
    return WebRecord(
        number=0,
        kind="response" if is_response else address.split(":")[0],
        address=address,
        date=date,
        media_type=_HTTP if is_response else media_type,
        block=_block(stream, int(length)),
        size_bytes=int(length),
    )


def _block(stream: ByteStream, length: int) -> ByteStream:
    return ByteStream(stream.read_pieces(length))


def _read_headers(stream: ByteStream) -> dict[str, str]:
    """Return header lines up to the blank one, names in lower case; the first of a name counts."""
    headers: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = stream.read_line(_MOST_LINE_BYTES)
        if not line.strip():
            break
        name, _, value = line.decode("utf-8", "replace").partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    return headers


def _join_chunks(block: ByteStream, address: str) -> Iterator[bytes]:
    """Yield what is in chunks; all of it as it stands if it only claims to be in chunks."""
    is_first = True
    while True:
        line = block.read_line(_MOST_LINE_BYTES)
        found = re.fullmatch(rb"([0-9a-fA-F]{1,15})[ \t]*(;.*)?\r?\n", line)
        if found is None and is_first:
            yield line
            yield from block.read_pieces(1 << 62)
            return
        if found is None:
            raise InputError("record_damaged", address=address)
        left = int(found[1], 16)
        if left == 0:
            return
        end = block.position + left
        yield from block.read_pieces(left)
        if block.position < end:
            raise InputError("record_cut_short", address=address)
        block.read_line(2)
        is_first = False


def _inflate(pieces: Iterator[bytes], address: str, allowance: Allowance) -> Iterator[bytes]:
    """Yield what `deflate` packed: with zlib's header as it should be, or without as some do."""
    decoder = None
    for data in _in_steps(pieces):
        if decoder is None:
            decoder = zlib.decompressobj(15 if data[0] & 0x0F == 8 else -15)
        try:
            piece = decoder.decompress(data)
        except zlib.error as error:
            raise InputError("record_damaged", address=address) from error
        yield from allowance.share(piece)
    if decoder is not None and not decoder.eof:
        raise InputError("record_cut_short", address=address)


def _in_steps(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes, few at a time, so that no step unpacks to much."""
    for piece in pieces:
        for start in range(0, len(piece), 512):
            yield piece[start : start + 512]


def media_type_of(headers: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the media type that headers name (empty if none), and the charset."""
    name, _, rest = headers.get("content-type", "").lower().partition(";")
    found = re.search(r"charset\s*=\s*[\"']?([\w.:-]+)", rest)
    return name.strip(), found[1] if found else None
