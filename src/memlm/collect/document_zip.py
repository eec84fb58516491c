"""Documents that are zip files inside (DOCX, ODT, EPUB): their parts, read under limits.

A part is found by its name and streamed; nothing is unpacked to disk. Before any is read, the list
of parts is checked: parts that lie on top of one another are how a small file claims to be a huge
one (Fifield, "A better zip bomb", 2019), and no honest program writes them.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from memlm.collect.apart import Task
from memlm.errors import InputError

_BLOCK_BYTES = 1 << 16
_LOCAL_HEADER_BYTES = 30
_IS_ENCRYPTED = 0x1
# Word and others wrap an encrypted document in the container of older Office files.
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, EOFError, OSError,
    RuntimeError, ValueError,
)  # fmt: skip


class DocumentZip:
    """The parts of one document. `format` is its name in sentences: DOCX, ODT, EPUB."""

    def __init__(self, file: BinaryIO, task: Task, *, format: str) -> None:
        self._task, self.format = task, format
        start = file.read(len(_OLD_OFFICE))
        if start == _OLD_OFFICE:
            raise InputError("document_encrypted", path=task.name)
        if not start.startswith(b"PK"):
            raise InputError("not_of_format", path=task.name, format=format)
        file.seek(0)
        try:
            self._zip = zipfile.ZipFile(file)
        except _DAMAGE as error:
            raise self.damaged() from error
        size = file.seek(0, 2)
        limits = task.limits
        self._allowed = max(limits.ratio_free_bytes, int(limits.unpacked_ratio * size))
        self._allowed = min(self._allowed, limits.unpacked_bytes)
        self._check(self._zip.infolist())

    def damaged(self) -> InputError:
        """Return the error that says so."""
        return InputError("file_damaged", path=self._task.name, format=self.format)

    def has(self, part: str) -> bool:
        """Say whether there is such a part."""
        return part in self._zip.NameToInfo

    def read(self, part: str) -> bytes:
        """Return a part whole; it is missing where the document is damaged."""
        return b"".join(self.pieces(part))

    def pieces(self, part: str) -> Iterator[bytes]:
        """Yield the bytes of a part. InputError where it is missing, damaged or too large."""
        known = self._zip.NameToInfo.get(part)
        if known is None:
            raise self.damaged()
        size = 0
        try:
            with self._zip.open(known) as file:
                while block := file.read(_BLOCK_BYTES):
                    size += len(block)
                    self._spend(len(block))
                    yield block
        except _DAMAGE as error:
            raise self.damaged() from error
        if size != known.file_size:
            raise self.damaged()

    def _spend(self, size: int) -> None:
        """Count what was unpacked, of all parts together."""
        self._allowed -= size
        if self._allowed < 0:
            raise InputError("document_unpacks_too_far", path=self._task.name)

    def _check(self, parts: list[zipfile.ZipInfo]) -> None:
        if len(parts) > self._task.limits.members:
            most = self._task.limits.members
            raise InputError("document_parts", path=self._task.name, count=len(parts), most=most)
        if any(part.flag_bits & _IS_ENCRYPTED for part in parts):
            raise InputError("document_encrypted", path=self._task.name)
        end = 0
        for part in sorted(parts, key=lambda part: part.header_offset):
            if part.header_offset < end:
                raise InputError("document_parts_overlap", path=self._task.name)
            end = part.header_offset + _LOCAL_HEADER_BYTES + part.compress_size
