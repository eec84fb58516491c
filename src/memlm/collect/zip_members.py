"""The members of a zip archive, with the traps that such archives can hold.

A zip lists its members at its end, with sizes, and says where each begins; none of that need be
true. The list is measured before it is read into memory. Members that overlap, the way a small
archive pretends to be a giant one, are refused. Sizes are not believed: what is unpacked is counted
and its checksum compared. Names from the time before Unicode are decoded by what they look like.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from memlm.collect.archives import Member
from memlm.collect.config import Reading
from memlm.collect.member_names import encoding_of_names, guess_note
from memlm.collect.unpacking import Allowance
from memlm.collect.zip_salvage import IS_UTF8, check_packing, members_without_list, name_in_zip
from memlm.errors import InputError
from memlm.records import SourceNote

_BLOCK_BYTES = 1 << 16
_END_MARK, _END_BYTES = b"PK\5\6", 22
_END_64_MARK, _LOCATOR_MARK, _END_64_BYTES = b"PK\6\6", b"PK\6\7", 76  # before it, in big ones
_LONGEST_COMMENT = 0xFFFF
_ENTRY_MARK, _ENTRY_BYTES = b"PK\1\2", 46  # in the list of members
_HEADER_BYTES = 30  # before a member, at least


def members_of_zip(
    path: Path, reading: Reading, allowance: Allowance
) -> Iterator[Member | SourceNote]:
    """Yield the files of a zip archive in the order of its list."""
    with path.open("rb") as file:
        fault = _fault_of_list(path, file, most=reading.limits.members)
        archive = None if fault else _open_archive(file)
        if archive is None:
            fault = fault or "archive_list_bad"
            yield from members_without_list(path, file, allowance, fault=fault)
            return
        entries = archive.infolist()
        _check_places(path, entries)
        encoding = encoding_of_names(
            _raw_name(entry) for entry in entries if not entry.flag_bits & IS_UTF8
        )
        if encoding != "utf-8":
            yield guess_note(path, encoding)
        for entry in entries:
            if not entry.is_dir():
                mode = entry.external_attr >> 16
                name = name_in_zip(
                    _raw_name(entry),
                    flags=entry.flag_bits,
                    decode=lambda raw: raw.decode(encoding, "replace"),
                )
                yield Member(
                    name=name,
                    pieces=_unpack(archive, entry, name, allowance),
                    is_ordinary=stat.S_IFMT(mode) in (0, stat.S_IFREG),
                )


def _open_archive(file: BinaryIO) -> zipfile.ZipFile | None:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError):
        return None


def _fault_of_list(path: Path, file: BinaryIO, *, most: int) -> str | None:
    """Return the code of what is wrong with the list of members, None where nothing is.

    It is walked, because what a zip says of its own members is not believed; `zipfile` would take
    an entry that points past the end for the last one. InputError if it is too long.
    """
    size = file.seek(0, 2)
    start = file.seek(max(0, size - _END_BYTES - _LONGEST_COMMENT))
    tail = file.read()
    at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END_BYTES:
        return "archive_cut_short"
    list_bytes, end = struct.unpack("<L", tail[at + 12 : at + 16])[0], start + at
    file.seek(max(0, end - _END_64_BYTES))
    end_64 = file.read(_END_64_BYTES)
    if end_64.startswith(_END_64_MARK) and end_64[-20:].startswith(_LOCATOR_MARK):
        list_bytes, end = struct.unpack("<Q", end_64[40:48])[0], end - _END_64_BYTES
    file.seek(max(0, end - list_bytes))
    for _ in range(most + 1):
        if file.tell() == end:
            return None
        entry = file.read(_ENTRY_BYTES)
        if not entry.startswith(_ENTRY_MARK) or len(entry) < _ENTRY_BYTES:
            return "archive_list_bad"
        file.seek(sum(struct.unpack("<HHH", entry[28:34])), 1)  # its name and what goes with it
    raise InputError("too_many_members", path=path.name, most=most)


def _check_places(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Raise InputError if the bytes of two members are the same bytes."""
    in_order = sorted(entries, key=lambda entry: entry.header_offset)
    for one, following in pairwise(in_order):
        if one.header_offset + _HEADER_BYTES + one.compress_size > following.header_offset:
            raise InputError("members_overlap", path=path.name)


def _unpack(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, allowance: Allowance
) -> Iterator[bytes]:
    check_packing(name, flags=entry.flag_bits, method=entry.compress_type)
    try:
        with archive.open(entry) as file:
            while block := file.read(_BLOCK_BYTES):
                allowance.take(len(block))
                yield block
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error) as error:
        raise InputError("member_damaged", path=name) from error


def _raw_name(entry: zipfile.ZipInfo) -> bytes:
    is_utf8 = entry.flag_bits & IS_UTF8
    return entry.orig_filename.encode("utf-8" if is_utf8 else "cp437")  # as zipfile decoded it
