"""What a document is called: its place in words for people, its id and its content as hashes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


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
    name = f"{root}/{path}" if is_folder else root
    if member:
        name = f"{name}/{member}"
    return f"{name}:{position}" if position else name


def root_name(path: Path) -> str:
    """Return the last name of a path; bytes in it that are not UTF-8 are spelt out."""
    name = path.name or path.anchor
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def hash_content(text: str, label: str | None, fields: str, split: str | None) -> str:
    return hash_parts(text, label or "", str(label is None), fields, split or "")


def hash_parts(*parts: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def digest_share(identity: str, content: str) -> int:
    return int(hash_parts(identity, content), 16)
