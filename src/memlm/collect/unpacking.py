"""Compressed bytes, unpacked a piece at a time and never further than they may go.

Decoders are fed 512 bytes at a time, because most give all that their input holds: the worst 512
bytes unpack to tens of megabytes and no more (those of bzip2 to gigabytes, so it is asked for less
at a time). Bytes are counted as they come, against what the *outermost* file may unpack to, so that
a bomb inside archives inside archives is stopped where a plain one would be. Data that ends before
its format says so is refused; what follows after its proper end is left alone and said.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from memlm.collect.config import Limits
from memlm.errors import InputError
from memlm.runtime import require_package

_STEP_BYTES = 512
_BLOCK_BYTES = 1 << 18
_DICTIONARY_BYTES = 1 << 27
"""What the decoders of xz and zst may take for the text they look back at; their own largest
ordinary setting asks for half of it."""


class Decoder(Protocol):
    """One stream being unpacked."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _PatientDecoder:
    """bzip2's decoder, which hands out a bounded piece for every call."""

    def __init__(self) -> None:
        self._decoder = bz2.BZ2Decompressor()
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, /) -> bytes:
        piece = self._decoder.decompress(data, _BLOCK_BYTES)
        self.needs_input = self._decoder.needs_input
        return piece


@dataclass(frozen=True)
class _Format:
    name: str
    marks: tuple[bytes, ...]
    """What a stream begins with."""
    new_decoder: Callable[[], Decoder]


class Allowance:
    """How many bytes one source file may unpack to, however deep they lie in it."""

    def __init__(self, limits: Limits, *, packed_bytes: int) -> None:
        by_ratio = max(limits.unpacked_ratio * packed_bytes, limits.ratio_free_bytes)
        self.most_bytes = int(min(limits.unpacked_bytes, by_ratio))
        self.taken_bytes = 0

    @property
    def is_spent(self) -> bool:
        """Whether more was asked for than there is."""
        return self.taken_bytes > self.most_bytes

    def take(self, size_bytes: int) -> None:
        """Count bytes before they are used; InputError where they are too many."""
        self.taken_bytes += size_bytes
        if self.is_spent:
            raise InputError("unpacks_too_far", most_mb=self.most_bytes / 1e6)

    def require(self, size_bytes: int) -> None:
        """Raise InputError where so many bytes are more than may still be had."""
        if self.taken_bytes + size_bytes > self.most_bytes:
            raise InputError("unpacks_too_far", most_mb=self.most_bytes / 1e6)

    def share(self, piece: bytes) -> Iterator[bytes]:
        """Yield a piece, or what of it may still be had before InputError."""
        left = max(0, self.most_bytes - self.taken_bytes)
        if left < len(piece):
            yield piece[:left]
        self.take(len(piece))
        yield piece


class Unpacked:
    """The bytes of a compressed file, in pieces, in order: iterate over it once."""

    def __init__(self, file: BinaryIO, ending: str, *, name: str, allowance: Allowance) -> None:
        self._file, self._name, self._allowance = file, name, allowance
        self._format = _FORMATS[ending]
        self.has_junk = False
        """Whether something that is no compressed data followed; known at the end."""

    def __iter__(self) -> Iterator[bytes]:
        if self._format.name == "Zstandard":
            require_package("zstandard", extra="documents")
        data = self._file.read(_STEP_BYTES)
        if not data.startswith(self._format.marks):
            raise InputError("not_compressed", path=self._name, kind=self._format.name)
        while data.startswith(self._format.marks):
            decoder = self._format.new_decoder()
            while not decoder.eof:
                piece = self._decompress(decoder, data)
                yield from self._allowance.share(piece)
                is_fed = decoder.eof or not getattr(decoder, "needs_input", True)
                data = b"" if is_fed else self._more()
            data = self._after_padding(decoder.unused_data)
        self.has_junk = bool(data)

    def _decompress(self, decoder: Decoder, data: bytes) -> bytes:
        try:
            return decoder.decompress(data)
        except MemoryError:
            raise
        except Exception as error:  # each decoder has its own, and zstandard is not always here
            raise InputError(
                "compressed_damaged", path=self._name, kind=self._format.name
            ) from error

    def _more(self) -> bytes:
        data = self._file.read(_STEP_BYTES)
        if not data:
            raise InputError("compressed_cut_short", path=self._name)
        return data

    def _after_padding(self, data: bytes) -> bytes:
        """Return what follows a stream, without the zeros that fill up tapes and blocks."""
        while not data.lstrip(b"\0"):
            data = self._file.read(_STEP_BYTES)
            if not data:
                return b""
        data = data.lstrip(b"\0")
        return data if len(data) >= _STEP_BYTES else data + self._file.read(_STEP_BYTES)


class ByteStream:
    """Bytes that come in pieces, read forward as parsers want them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece, self._at = b"", 0
        self._passed_bytes = 0
        self.error: InputError | None = None
        """Why no more bytes came, where that was not their end."""

    @property
    def position(self) -> int:
        """Bytes that were read or skipped so far."""
        return self._passed_bytes + self._at

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes; fewer only at the end."""
        return b"".join(self.read_pieces(size))

    def read_pieces(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes in pieces; fewer only at the end."""
        while size > 0 and self._has_more():
            piece = self._piece[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def read_line(self, most_bytes: int) -> bytes:
        """Return the bytes up to and with the next line feed, at most so many."""
        found = b""
        while len(found) < most_bytes and self._has_more():
            stop = self._piece.find(b"\n", self._at) + 1
            until = stop or len(self._piece)
            until = min(until, self._at + most_bytes - len(found))
            found += self._piece[self._at : until]
            self._at = until
            if found.endswith(b"\n"):
                break
        return found

    def skip(self, size: int) -> int:
        """Pass over the next `size` bytes; return how many there were."""
        return sum(map(len, self.read_pieces(size)))

    def unread(self, data: bytes) -> None:
        """Put back what was read last."""
        self._passed_bytes += self._at - len(data)
        self._piece, self._at = data + self._piece[self._at :], 0

    def _has_more(self) -> bool:
        while self._at == len(self._piece):
            if self.error is not None:
                raise self.error
            self._passed_bytes += self._at
            self._piece, self._at = b"", 0
            try:
                piece = next(self._pieces, None)
            except InputError as error:
                self.error = error
                raise
            if piece is None:
                return False
            self._piece = piece  # an empty one is passed over
        return True


def blocks_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a file that is not compressed."""
    while block := file.read(_BLOCK_BYTES):
        yield block


def _new_gzip() -> Decoder:
    return zlib.decompressobj(wbits=31)  # checks the length and the checksum at the end, too


def _new_xz() -> Decoder:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_DICTIONARY_BYTES)


def _new_zstd() -> Decoder:
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=_DICTIONARY_BYTES).decompressobj()


_FORMATS = {
    ".gz": _Format("gzip", (b"\x1f\x8b",), _new_gzip),
    ".bz2": _Format("bzip2", (b"BZh",), _PatientDecoder),
    ".xz": _Format("xz", (b"\xfd7zXZ\0",), _new_xz),
    ".zst": _Format(
        "Zstandard",
        (b"\x28\xb5\x2f\xfd", *(bytes([n]) + b"\x2a\x4d\x18" for n in range(0x50, 0x60))),
        _new_zstd,
    ),
}
