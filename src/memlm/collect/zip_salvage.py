"""The members of a zip archive that has lost its list: what a download that broke off still holds.

Each member has a short header of its own before it. They are read from the beginning, one after the
other, as far as there are any; the checksum of each is compared as it would be with the list.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from memlm.collect.archives import Member, clean_name
from memlm.collect.member_names import NamesSoFar, guess_note
from memlm.collect.unpacking import Allowance, ByteStream, blocks_of
from memlm.errors import InputError
from memlm.records import SourceNote

IS_ENCRYPTED, IS_UTF8 = 0x1, 0x800
_HAS_DESCRIPTOR = 0x8  # sizes and checksum come after the member, because it was made in passing
_HEADER = struct.Struct("<4s2xHH4xLLLHH")
_MARK, _DESCRIPTOR_MARK = b"PK\3\4", b"PK\7\x08"
_LARGE = 0xFFFFFFFF  # the size stands elsewhere
_STEP_BYTES = 512
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The others, which hardly any archive uses, `zipfile` unpacks without a bound on memory."""


def members_without_list(
    path: Path, file: BinaryIO, allowance: Allowance, *, fault: str
) -> Iterator[Member | SourceNote]:
    """Yield the files of a zip archive without a good list, then raise InputError with `fault`."""
    file.seek(0)
    names = NamesSoFar()
    stream = ByteStream(blocks_of(file))
    is_first = True
    while True:
        header = stream.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(_MARK):
            break
        _, flags, method, checksum, packed, _, name_bytes, extra_bytes = _HEADER.unpack(header)
        said = names.guess
        name = name_in_zip(stream.read(name_bytes), flags=flags, decode=names.decode)
        if names.guess != said:
            yield guess_note(path, names.guess)
        stream.skip(extra_bytes)
        end = stream.position + packed
        pieces = _unpack(stream, name, flags, method, packed, checksum)
        is_first = False
        if not name.endswith("/"):
            yield Member(name, _counted(pieces, allowance))
        if not flags & _HAS_DESCRIPTOR:
            stream.skip(end - stream.position)
        elif not _is_passed(pieces):
            break
    raise InputError("archive_damaged" if is_first else fault, path=path.name, kind="zip")


def check_packing(name: str, *, flags: int, method: int) -> None:
    """Raise InputError for a member that cannot be unpacked here."""
    if flags & IS_ENCRYPTED:
        raise InputError("member_encrypted", path=name)
    if method not in _METHODS:
        raise InputError("compression_unknown", path=name, method=method)


def name_in_zip(raw: bytes, *, flags: int, decode: Callable[[bytes], str]) -> str:
    """Return a member's name, by `decode` where it does not say to be UTF-8.

    Backslashes separate folders where nothing else does.
    """
    name = raw.decode("utf-8", "replace") if flags & IS_UTF8 else decode(raw)
    name = clean_name(name if "/" in name else name.replace("\\", "/"))
    return f"{name}/" if raw.endswith(b"/") else name


def _is_passed(pieces: Iterator[bytes]) -> bool:
    """Say whether a member, of which nobody may have wanted to know, could be read to its end."""
    try:
        for _ in pieces:
            pass
    except InputError:
        return False
    return True


def _counted(pieces: Iterator[bytes], allowance: Allowance) -> Iterator[bytes]:
    for piece in pieces:
        yield from allowance.share(piece)


def _unpack(
    stream: ByteStream, name: str, flags: int, method: int, packed: int, checksum: int
) -> Iterator[bytes]:
    is_open_ended = bool(flags & _HAS_DESCRIPTOR)
    check_packing(name, flags=flags, method=method)
    if packed == _LARGE or (is_open_ended and method == zipfile.ZIP_STORED):
        raise InputError("member_damaged", path=name)  # nothing says where it ends
    end = stream.position + packed
    pieces = stream.read_pieces(packed)
    if method == zipfile.ZIP_DEFLATED:
        pieces = _inflate(stream, name)
    found = 0
    for piece in pieces:
        found = zlib.crc32(piece, found)
        yield piece
    if is_open_ended:
        descriptor = stream.read(16)
        is_marked = descriptor.startswith(_DESCRIPTOR_MARK)
        checksum = int.from_bytes(descriptor[4:8] if is_marked else descriptor[:4], "little")
        stream.unread(b"" if is_marked else descriptor[12:])
    elif stream.position < end:
        raise InputError("member_cut_short", path=name)
    if found != checksum:
        raise InputError("member_damaged", path=name)


def _inflate(stream: ByteStream, name: str) -> Iterator[bytes]:
    decoder = zlib.decompressobj(-15)
    while not decoder.eof:
        data = stream.read(_STEP_BYTES)
        if not data:
            raise InputError("member_cut_short", path=name)
        try:
            piece = decoder.decompress(data)
        except zlib.error as error:
            raise InputError("member_damaged", path=name) from error
        yield piece
    stream.unread(decoder.unused_data)
