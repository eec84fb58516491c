"""The members of a tar archive, plain or compressed, read once from its beginning to its end.

`tarfile` parses the headers. It is given a file that can only be read forward, that refuses headers
of absurd length before they are read, and that knows what the parser keeps to itself: whether the
archive came to its proper end. Nothing is ever extracted by name.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from memlm.collect.archives import Member, clean_name
from memlm.collect.config import Reading
from memlm.collect.member_names import NamesSoFar, guess_note
from memlm.collect.unpacking import Allowance, ByteStream, Unpacked, blocks_of
from memlm.errors import InputError
from memlm.records import SourceNote

_MOST_HEADER_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 16
_SHORT = {".tgz": ".gz", ".tbz2": ".bz2", ".txz": ".xz"}


def members_of_tar(
    path: Path, reading: Reading, allowance: Allowance
) -> Iterator[Member | SourceNote]:
    """Yield the files of a tar archive in their order; the last note says what follows it."""
    ending = path.suffix.lower()
    ending = _SHORT.get(ending, ending)
    with path.open("rb") as file:
        unpacked = None
        if ending != ".tar":
            unpacked = Unpacked(file, ending, name=path.name, allowance=allowance)
        stream = ByteStream(iter(unpacked) if unpacked is not None else blocks_of(file))
        yield from _members(path, stream, allowance, is_counted=unpacked is not None)
        if stream.error is not None:
            return
        rest = any(piece.strip(b"\0") for piece in stream.read_pieces(1 << 62))
        if rest or (unpacked is not None and unpacked.has_junk):
            yield SourceNote(code="trailing_junk", values={"path": path.name})


def _members(
    path: Path, stream: ByteStream, allowance: Allowance, *, is_counted: bool
) -> Iterator[Member | SourceNote]:
    forward, names = _Forward(stream), NamesSoFar()
    try:
        # Not "r|": there the parser would read a header of any length that it claims.
        archive = tarfile.open(fileobj=cast("IO[bytes]", forward), mode="r:")  # noqa: SIM115
        while True:
            entry = archive.next()
            if entry is None:
                break
            archive.members = []  # type: ignore[attr-defined]  # the parser would keep them all
            if not entry.isdir():
                counts = entry.issparse() or not is_counted  # holes were in no compressed byte
                said = names.guess
                name = clean_name(names.decode(entry.name.encode("utf-8", "surrogateescape")))
                if names.guess != said:
                    yield guess_note(path, names.guess)
                pieces = _unpack(archive, entry, name, allowance if counts else None)
                yield Member(name, pieces, is_ordinary=entry.isreg())
            if stream.error is not None or forward.is_cut_short:  # that member has said so
                return
    except (tarfile.TarError, ValueError, EOFError) as error:
        code = "archive_cut_short" if forward.is_cut_short else "archive_damaged"
        raise InputError(code, path=path.name, kind="tar") from error
    if not forward.is_at_end_mark:
        code = "archive_cut_short" if forward.is_cut_short else "archive_damaged"
        raise InputError(code, path=path.name, kind="tar")


def _unpack(
    archive: tarfile.TarFile, entry: tarfile.TarInfo, name: str, allowance: Allowance | None
) -> Iterator[bytes]:
    left = entry.size
    file = archive.extractfile(entry)
    assert file is not None  # links are never asked for
    try:
        while left > 0 and (block := file.read(min(left, _BLOCK_BYTES))):
            if allowance is not None:
                allowance.take(len(block))
            left -= len(block)
            yield block
    except tarfile.TarError as error:
        raise InputError("member_cut_short", path=name) from error
    if left:
        raise InputError("member_cut_short", path=name)


class _Forward:
    """A stream as `tarfile` wants a file: with `seek`, though only ahead."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.is_at_end_mark = False
        """Whether what was read last is the block of zeros that ends an archive."""
        self.is_cut_short = False
        """Whether there was less to read than was asked for."""

    def read(self, size: int) -> bytes:
        if size > _MOST_HEADER_BYTES:
            raise tarfile.ReadError("a header of absurd length")
        found = self._stream.read(size)
        self.is_cut_short = len(found) < size
        self.is_at_end_mark = len(found) == tarfile.BLOCKSIZE and not found.strip(b"\0")
        return found

    def tell(self) -> int:
        return self._stream.position

    def seek(self, position: int) -> int:
        if position < self._stream.position:
            raise tarfile.ReadError("a member that lies behind us")
        self._stream.skip(position - self._stream.position)
        return self._stream.position
