"""What a document is called: its place in words for people, its id and its content as hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from memlm.messages import spell_out


@dataclass(frozen=True)
class Root:
    """A source that was named once: number for good, name for people."""

    number: int
    name: str
    is_folder: bool


def place_name(
    root: str, is_folder: bool, path: str, position: int | None, member: str = ""
) -> str:
    """Return where something lies as people name it: `notes/monday.txt`, `a.zip/train.csv:12`."""
    is_page = "://" in path  # no path of a file has two slashes in a row
    name = f"{root}/{path}" if is_folder and not is_page else root
    name = path if is_page else name
    if member:
        name = f"{name}/{member}"
    return f"{name}:{position}" if position else name


def root_name(path: Path) -> str:
    """Return the last name of a path; bytes in it that are not UTF-8 are spelt out."""
    return spell_out(path.name or path.anchor)


def hash_place(salt: str, path: Path, is_folder: bool) -> str:
    """Return how the absolute path of a source is stored: so that nobody can read it."""
    return hash_parts(salt, "folder" if is_folder else "file", str(path))


def hash_content(text: str, label: str | None, fields: str, split: str | None) -> str:
    return hash_parts(text, label or "", str(label is None), fields, split or "")


def hash_long_content(
    blocks: Callable[[], Iterable[str]], label: str | None, fields: str, split: str | None
) -> tuple[str, int]:
    """Return what `hash_content` gives for the blocks joined, and the code points of them all."""
    size = characters = 0
    for block in blocks():
        size, characters = size + len(block.encode("utf-8")), characters + len(block)
    digest = hashlib.blake2b(digest_size=16)
    digest.update(size.to_bytes(8, "big"))
    for block in blocks():
        digest.update(block.encode("utf-8"))
    for part in (label or "", str(label is None), fields, split or ""):
        _add_part(digest, part)
    return digest.hexdigest(), characters


def hash_parts(*parts: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        _add_part(digest, part)
    return digest.hexdigest()


def _add_part(digest: hashlib.blake2b, part: str) -> None:
    data = part.encode("utf-8", "surrogatepass")
    digest.update(len(data).to_bytes(8, "big"))
    digest.update(data)


def digest_share(identity: str, content: str) -> int:
    return int(hash_parts(identity, content), 16)
