"""Archives and compressed files: each member goes to the reader of its ending, one at a time.

A member is unpacked into a file of our own naming, read, and deleted before the next one is opened,
so that neither memory nor disk ever holds more than one. Names in an archive are words for people;
they are never used as paths. What an archive may not hold (a link, a device, a name that leads out
of it) is a problem of that member, and the others are read all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from memlm.collect.config import Reading
from memlm.collect.unpacking import Allowance, Unpacked
from memlm.errors import InputError, MemlmError, MissingExtraError
from memlm.records import SourceNote, SourceProblem, SourceText
from memlm.storage import scratch_file, scratch_folder

Item = SourceText | SourceProblem | SourceNote
# After these nothing more of an archive can be read.
_LAST_OF_ALL = ("member_cut_short", "compressed_cut_short", "compressed_damaged", "unpacks_too_far")
_DRIVE = re.compile(r"[A-Za-z]:")
# Characters that break a line, or turn the rest of it around, and so could forge what is said.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str
    """As the archive has it, with forward slashes."""
    pieces: Iterator[bytes]
    """What it holds; InputError where that is damaged or too much."""
    is_ordinary: bool = True
    """Whether it is a file, not a link or a device."""


@dataclass(frozen=True)
class Table:
    """The table of formats, as readers of archives need it."""

    whole_ending: Callable[[str], str]
    """Returns all of a name that matters to how it is read; InputError where it has no reader."""
    read: Callable[[Path, Reading], Iterator[Item]]


@dataclass(frozen=True)
class _Inside:
    """How what is in an archive is read."""

    reading: Reading
    scratch: Path
    allowance: Allowance


FindMembers = Callable[[Path, Reading, Allowance], Iterator[Member | SourceNote]]


def read_archive(
    path: Path, reading: Reading, *, find_members: FindMembers, table: Table
) -> Iterator[Item]:
    """Yield what is in the members of an archive, each with the path of its member.

    Raises InputError where it cannot be opened or lies too deep; what is damaged further on is a
    problem of the member that it hits, and what came before stays.
    """
    with ExitStack() as stack:
        inside = _enter(path, replace(reading, is_named=False), stack)
        members = _numbered(path, inside, find_members)
        stack.callback(members.close)  # and the archive with them
        hidden, is_empty = 0, True
        for member in members:
            is_empty &= isinstance(member, SourceNote)
            if not isinstance(member, Member):
                yield member
            elif is_hidden(member.name):
                hidden += 1
            else:
                yield from _read_member(member, inside, table)
            if inside.allowance.is_spent:
                break
        if is_empty:
            raise InputError("file_empty", path=path.name)
        if hidden:
            values = {"path": path.name, "count": hidden}
            yield SourceProblem(code="hidden_members", values=values)


def read_compressed(path: Path, reading: Reading, *, table: Table) -> Iterator[Item]:
    """Yield what is in a compressed file, by its name without the ending of the compression.

    Raises InputError, before anything is read, unless all of it can be unpacked.
    """
    ending = table.whole_ending(path.stem)
    with ExitStack() as stack:
        inside = _enter(path, reading, stack)
        with path.open("rb") as file:
            pieces = Unpacked(file, path.suffix.lower(), name=path.name, allowance=inside.allowance)
            place = stack.enter_context(scratch_file(inside.scratch, pieces, ending=ending))
        if pieces.has_junk:
            yield SourceNote(code="trailing_junk", values={"path": path.name})
        try:
            for item in table.read(place, inside.reading):
                yield _as_of(item, place, path.name)
        except InputError as error:
            raise InputError(error.code, **_renamed(error.values, place, path.name)) from error


def clean_name(name: str) -> str:
    """Return the name of a member without what says nothing: `./`, doubled slashes."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return ("/" if name.startswith("/") else "") + "/".join(parts)


def is_hidden(name: str) -> bool:
    """Say whether a member is hidden, or one of those that macOS adds to what was packed."""
    parts = PurePosixPath(name).parts
    return any(part == "__MACOSX" or re.match(r"\.[^.]", part) for part in parts)


def _enter(path: Path, reading: Reading, stack: ExitStack) -> _Inside:
    """Return how what is in an archive is to be read; InputError if it lies too deep."""
    if reading.depth > reading.limits.depth:
        raise InputError("nested_too_deep", path=path.name, depth=reading.limits.depth)
    scratch = reading.scratch or stack.enter_context(scratch_folder())
    allowance = reading.allowance
    if allowance is None:
        allowance = Allowance(reading.limits, packed_bytes=path.stat().st_size)
    inner = replace(reading, depth=reading.depth + 1, scratch=scratch, allowance=allowance)
    return _Inside(inner, scratch, allowance)


def _numbered(
    path: Path, inside: _Inside, find_members: FindMembers
) -> Generator[Member | SourceNote | SourceProblem, None, None]:
    """Yield the members up to their limit, and what ended their listing before its time."""
    number, most = 0, inside.reading.limits.members
    try:
        for member in find_members(path, inside.reading, inside.allowance):
            number += isinstance(member, Member)
            if number > most:
                values = {"path": path.name, "most": most}
                yield SourceProblem(code="too_many_members", values=values, hides="here")
                return
            yield member
    except InputError as error:
        if number == 0:
            raise
        yield SourceProblem(code=error.code, values=error.values, hides="here")


def _read_member(member: Member, inside: _Inside, table: Table) -> Iterator[Item]:
    name = shown(member.name)
    try:
        _check_name(member)
        ending = table.whole_ending(PurePosixPath(member.name).name)
        with scratch_file(inside.scratch, member.pieces, ending=ending) as place:
            try:
                for item in table.read(place, inside.reading):
                    yield _as_of(item, place, name, member=name)
            except InputError as error:
                raise InputError(error.code, **_renamed(error.values, place, name)) from error
    except (InputError, MissingExtraError) as error:  # the other members can be read without it
        line = error.values.get("line")
        yield SourceProblem(
            code=error.code,
            values=error.values,
            position=line,
            member=name,
            hides="file" if error.code in _LAST_OF_ALL else "here",
        )
    except (MemlmError, OSError, MemoryError):  # of the machine, not of this member
        raise
    except Exception as error:  # one odd member must not cost the others
        values = {"path": name, "kind": type(error).__name__}
        yield SourceProblem(code="reader_failed", values=values, member=name, hides="here")


def _check_name(member: Member) -> None:
    """Raise InputError for what no archive should hold."""
    name = member.name
    if not name or name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise InputError("member_name_bad", path=shown(name))
    if _DRIVE.match(name):
        raise InputError("member_name_bad", path=shown(name))
    if not member.is_ordinary:
        raise InputError("not_a_file", path=shown(name))


def shown(name: str) -> str:
    """Return a member's name with the characters spelt out that would not show as themselves."""
    return _UNSHOWN.sub(lambda found: ascii(found[0])[1:-1], name)


def _as_of(item: Item, place: Path, name: str, *, member: str = "") -> Item:
    """Return what a reader found in an unpacked file as found in what it was unpacked from."""
    if isinstance(item, SourceNote):
        return replace(item, values=_renamed(item.values, place, name))
    inner = f"{member}/{item.member}" if member and item.member else member or item.member
    if isinstance(item, SourceText):
        return replace(item, member=inner)
    return replace(item, member=inner, values=_renamed(item.values, place, name))


def _renamed(values: Mapping[str, object], place: Path, name: str) -> dict[str, Any]:
    """Return what fills in a sentence, with the name that people know in place of ours."""
    return {
        key: name if str(value) == place.name else value for key, value in values.items()
    }  # Any: whatever the sentence formats
