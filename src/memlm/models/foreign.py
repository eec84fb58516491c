"""A model of somebody else's, in a folder: read as what it may be, made to do harm.

Three things are read: `config.json`, `tokenizer.json`, and weights in safetensors. Each file is
opened once and read from what was opened, so that nobody can put another in its place in between;
no link leads out of the folder. Nothing is unpickled, executed or fetched.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from memlm.errors import InputError, NotFoundError
from memlm.models.foreign_config import CONFIG, LARGEST_CONFIG, read_config
from memlm.models.foreign_weights import (
    WeightsHeader,
    file_bad,
    read_header,
    read_tensors,
    shown,
)

if TYPE_CHECKING:
    from torch import Tensor

TOKENIZER = "tokenizer.json"
LARGEST_TOKENIZER = 1 << 27
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_LARGEST_INDEX = 1 << 26
_SHARD = re.compile(r"[\w-][\w.-]*\.safetensors", re.ASCII)
_UNFIT_FOR_NAME = re.compile(r"[^\w.-]+")
_MOST_LISTED = 5


@dataclass(frozen=True)
class Foreign:
    """What a folder holds, all of it read and none of it believed any further."""

    name: str
    """Of its folder, and some of its hash: what memlm computes of it lies under this name."""
    config: Mapping[str, Any]  # Any: JSON
    tokenizer: str
    """JSON."""
    begin_and_end: tuple[str | None, str | None]
    """The tokens BOS and EOS as `tokenizer_config.json` spells them."""
    weights: Mapping[str, Tensor]
    weights_hash: str
    """Of all three."""

    @property
    def begin_and_end_ids(self) -> tuple[int | None, int | None]:
        """The numbers of these tokens, where `tokenizer.json` has them."""
        begin, end = (_token_number(self.tokenizer, one) for one in self.begin_and_end)
        return begin, end


def _token_number(text: str, token: str | None) -> int | None:
    """Return the number that a `tokenizer.json` gives a special token; None if it has none."""
    try:
        added = json.loads(text)["added_tokens"]
        return next((int(one["id"]) for one in added if one["content"] == token), None)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # whoever reads the rest of it says so


def is_foreign(folder: Path) -> bool:
    """Say whether a folder may hold a model of the Hugging Face kind."""
    return (folder / CONFIG).is_file()


def read_foreign(folder: Path) -> Foreign:
    """Read a model's folder.

    Raises NotFoundError where something is missing, InputError for what is not read (pickled
    weights, a link that leads out), CorruptArtefactError for a file that cannot be what it says.
    """
    with _Files(folder) as files:
        config = files.read(CONFIG, LARGEST_CONFIG)
        parsed = read_config(config)
        if not (files.folder / TOKENIZER).exists():
            raise NotFoundError("foreign_no_tokenizer", path=folder)
        tokenizer = files.read(TOKENIZER, LARGEST_TOKENIZER)
        headers = list(_headers(files))
        weights: dict[str, Tensor] = {}
        hashes = [hashlib.sha256(one).hexdigest() for one in (config, tokenizer)]
        for file, header in headers:
            found, sha256 = read_tensors(file, header)
            if repeated := weights.keys() & found.keys():
                raise file_bad(header.file, "repeated_key", key=min(repeated))
            weights |= found
            hashes.append(f"{header.file} {sha256}")
        named = hashlib.sha256("\n".join(hashes).encode("utf-8")).hexdigest()
        return Foreign(
            name=f"{_stem(files.folder)}-{named[:8]}",
            config=parsed,
            tokenizer=tokenizer.decode("utf-8", "replace"),
            begin_and_end=_special_tokens(files),
            weights=weights,
            weights_hash=named,
        )


class _Files:
    """The files of a folder, each opened once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened = ExitStack()
        real = folder.resolve()
        self._roots = [real]
        # In the cache of the hub the files of a model are links to where all its versions lie.
        if real.parent.name == "snapshots" and real.parent.parent.name.startswith("models--"):
            self._roots.append(real.parent.parent / "blobs")

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def open(self, name: str) -> BinaryIO:
        """Open a file of the folder: a plain one, which no link takes out of it."""
        path = self.folder / name
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:  # a link to itself is a RuntimeError
            raise NotFoundError("file_missing", path=path) from error
        if not any(real.is_relative_to(root) for root in self._roots):
            raise InputError("foreign_outside", path=path)
        wanted = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
        flags = os.O_RDONLY
        for flag in wanted:  # not every system has each
            flags |= getattr(os, flag, 0)
        try:
            descriptor = os.open(real, flags)
        except OSError as error:  # no right to read it; a folder, on some systems
            reason = error.strerror or type(error).__name__
            raise InputError("foreign_unreadable", path=path, reason=reason) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)  # before it is a file of Python's, which a folder cannot be
            raise InputError("foreign_outside", path=path)
        return self._opened.enter_context(os.fdopen(descriptor, "rb"))

    def read(self, name: str, most: int) -> bytes:
        """Return the bytes of a small file."""
        data = self.open(name).read(most + 1)
        if len(data) > most:
            raise file_bad(name, "too_long", most=most)
        return data

    def read_json(self, name: str, most: int) -> Any:  # Any: JSON
        """Return what a small JSON file says."""
        try:
            return json.loads(self.read(name, most).decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise file_bad(name, "no_json") from error


def _headers(files: _Files) -> Iterator[tuple[BinaryIO, WeightsHeader]]:
    for name in _weights_files(files):
        file = files.open(name)
        yield file, read_header(file, name)


def _weights_files(files: _Files) -> list[str]:
    if (files.folder / _WEIGHTS).exists():
        return [_WEIGHTS]
    if not (files.folder / _INDEX).exists():
        others = sorted(
            path.name
            for path in files.folder.iterdir()
            if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".npz", ".npy", ".joblib",
                               ".h5", ".msgpack", ".gguf")
        )  # fmt: skip
        if others:
            listed = ", ".join(others[:_MOST_LISTED])
            raise InputError("foreign_not_safetensors", path=files.folder, files=listed)
        raise NotFoundError("foreign_no_weights", path=files.folder)
    index = files.read_json(_INDEX, _LARGEST_INDEX)
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not names:
        raise file_bad(_INDEX, "no_json")
    shards = {str(name) for name in names.values()}
    for name in shards:
        if not _SHARD.fullmatch(name):
            raise InputError("foreign_outside", path=shown(name))
    return sorted(shards)


def _special_tokens(files: _Files) -> tuple[str | None, str | None]:
    name = "tokenizer_config.json"
    if not (files.folder / name).exists():
        return None, None
    found = files.read_json(name, _LARGEST_INDEX)
    if not isinstance(found, dict):
        raise file_bad(name, "no_json")
    return _spelling(found.get("bos_token")), _spelling(found.get("eos_token"))


def _spelling(token: Any) -> str | None:  # Any: JSON
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _stem(folder: Path) -> str:
    """Return what a folder is called; in the cache of the hub, what the model is."""
    real = folder.resolve()
    if real.parent.name == "snapshots":
        real = Path(real.parent.parent.name.rpartition("--")[2])
    return _UNFIT_FOR_NAME.sub("-", real.name).lstrip(".-") or "model"
