"""How artefacts reach the disk: whole or not at all, checksummed, by one writer at a time.

Nobody else names temporary files or renames finished ones. A writer asks for a path, fills it, and
when its block ends without an exception the result is flushed and put in place by one rename; a
crash at any moment leaves the old artefact or the new one, never half of one. A folder carries a
`manifest.json`, written last, with the size and SHA-256 of each file, what it was made from, and a
checksum of itself.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from memlm.errors import CorruptArtefactError, InputError, NotFoundError, ResourceError

MANIFEST = "manifest.json"
_TEMPORARY, _OUTGOING = ".tmp-", ".old-"
_LEFTOVER = re.compile(r"(.+)(\.tmp-|\.old-)[0-9a-f]{32}")
_MACHINE_ERRORS = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EFBIG,
    errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN,
}  # fmt: skip
# What a network drive or a loose cable says once, and may not say again.
_TRANSIENT_ERRORS = {errno.EIO, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN}
_SECONDS_BETWEEN_LOCKS = 0.02
_SECONDS_BETWEEN_TRIES = (0.1, 0.5, 2.0)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Hand out a temporary path beside `path`; what is written there replaces `path` at the end."""
    temporary = _beside(path, _TEMPORARY)
    with machine_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON, atomically."""
    with new_file(path) as temporary:
        text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:  # Any: the caller knows the shape of its own file
    """Read a JSON file that memlm wrote; CorruptArtefactError if it no longer is one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError("file_missing", path=path) from error
    except ValueError as error:  # bad UTF-8 and bad JSON alike
        raise CorruptArtefactError("artefact_unreadable", path=path) from error


@contextmanager
def new_folder(path: Path, *, made_from: Mapping[str, object]) -> Iterator[Path]:
    """Hand out a temporary folder; at the end it gets a manifest and becomes `path`."""
    with growing_folder(path) as temporary:
        yield temporary
        names = [file.name for file in temporary.iterdir() if file.is_file()]
        _seal(temporary, names, made_from)


@contextmanager
def growing_folder(path: Path) -> Iterator[Path]:
    """Hand out a temporary folder that becomes `path`, and is sealed later, when it has grown."""
    temporary = _beside(path, _TEMPORARY)
    with machine_errors(path):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            _replace_folder(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


@contextmanager
def changed_folder(path: Path) -> Iterator[Path]:
    """Hand out a copy of a folder that replaces it at the end: all of a change comes, or none.

    The copy is made of links where the disk has them, so that it takes no room; its files are
    replaced (`new_file`), never written into.
    """
    with growing_folder(path) as temporary:
        shutil.copytree(path, temporary, copy_function=_link, dirs_exist_ok=True)
        yield temporary


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a disk without links, or two disks
        shutil.copy2(source, target)


def retried(write: Callable[[], None]) -> None:
    """Write, and try again up to three times where the disk fails in a way that may pass."""
    for seconds in _SECONDS_BETWEEN_TRIES:
        try:
            return write()
        except ResourceError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            if error.__cause__.errno not in _TRANSIENT_ERRORS:
                raise
        time.sleep(seconds)
    return write()


@contextmanager
def scratch_folder(beside: Path | None = None) -> Iterator[Path]:
    """Hand out a folder that only its owner may enter, emptied and gone at the end of the block.

    It lies in `beside`, where a crash's leftovers are cleaned away, or else where the system keeps
    such things.
    """
    if beside is None:
        with tempfile.TemporaryDirectory(prefix="memlm-") as name:
            yield Path(name)
        return
    folder = _beside(beside / "scratch", _TEMPORARY)
    with machine_errors(folder):
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch_file(folder: Path, pieces: Iterable[bytes], *, ending: str) -> Iterator[Path]:
    """Write a file into a scratch folder and hand it out; it is gone at the end of the block."""
    path = folder / f"{uuid.uuid4().hex}{ending}"
    # Made and written in one go: a file that is emptied first is flushed when it is closed.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with machine_errors(path):
            descriptor = os.open(path, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                with machine_errors(path):
                    file.write(piece)
            with machine_errors(path):
                file.flush()
        yield path
    finally:
        path.unlink(missing_ok=True)


def seal_files(path: Path, names: Iterable[str], *, made_from: Mapping[str, object]) -> None:
    """Write the manifest of some files in a folder that grew in place (a training)."""
    with machine_errors(path):
        _seal(path, names, made_from)


def reseal_files(path: Path, names: Iterable[str]) -> None:
    """Note in the manifest that these files were replaced; damage to others stays seen."""
    manifest = read_manifest(path)
    with machine_errors(path):
        _seal(path, names, manifest["made_from"], others=manifest["files"])


def unseal_files(path: Path) -> None:
    """Take the manifest away, before the files under it change: half replaced they are none."""
    with machine_errors(path):
        (path / MANIFEST).unlink(missing_ok=True)
        _flush(path)


def is_sealed(path: Path) -> bool:
    """Say whether a folder has its manifest: somebody finished writing it."""
    return (path / MANIFEST).exists()


def read_manifest(path: Path) -> dict[str, Any]:  # Any: made_from differs by artefact
    """Return the manifest of the folder `path`.

    Raises NotFoundError if there is none, CorruptArtefactError if it is not as it was written.
    """
    manifest = read_json(path / MANIFEST)
    if not isinstance(manifest, dict) or manifest.pop("checksum", None) != hash_json(manifest):
        raise CorruptArtefactError("artefact_unreadable", path=path / MANIFEST)
    return manifest


def verify_folder(path: Path, *, contents: bool = True) -> dict[str, Any]:  # Any: as above
    """Check every file of `path` against its manifest and return the manifest.

    Sizes are always compared; bytes are hashed too unless `contents` is False.
    Raises CorruptArtefactError naming the first file that differs.
    """
    manifest = read_manifest(path)
    for name, expected in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise CorruptArtefactError("artefact_file_missing", path=file)
        if file.stat().st_size != expected["size"] or (
            contents and hash_file(file) != expected["sha256"]
        ):
            raise CorruptArtefactError("artefact_changed", path=file, expected=expected["sha256"])
    return manifest


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, reading it in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_json(value: object) -> str:
    """Return a hash of any JSON value that does not depend on the order of its keys."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def delete_folder(path: Path) -> None:
    """Delete a folder so that a crash half-way leaves a name that nobody reads."""
    with machine_errors(path), suppress(FileNotFoundError):
        # Named as unfinished, not as outgoing: what is half deleted must never be put back.
        doomed = _beside(path, _TEMPORARY)
        path.rename(doomed)
        shutil.rmtree(doomed)


def rename_folder(path: Path, new: Path) -> None:
    """Give a folder another name beside its own, which nothing carries yet: all of it or nothing.

    The caller holds the lock, for a system may put a folder in the place of an empty one.
    """
    with machine_errors(path):
        path.rename(new)
        _flush(new.parent)


def is_leftover(name: str) -> bool:
    """Say whether this is a name that only something unfinished or outgoing carries."""
    return _LEFTOVER.fullmatch(name) is not None


def clean_leftovers(folder: Path) -> None:
    """Remove what a crash left directly in `folder`; put back a folder that had lost its name."""
    if not folder.is_dir():
        return
    for leftover in sorted(folder.iterdir()):
        match = _LEFTOVER.fullmatch(leftover.name)
        if match is None:
            continue
        name, kind = match.groups()
        if kind == _OUTGOING and not (folder / name).exists():
            leftover.rename(folder / name)
        else:
            _remove(leftover)


def size_on_disk(path: Path) -> int:
    """Return the bytes of all files below `path` (or of the file itself)."""
    if path.is_file():
        return _size_of(path)
    folders = os.walk(path)  # which passes over a folder that a writer takes away meanwhile
    return sum(_size_of(Path(folder) / name) for folder, _, names in folders for name in names)


def _size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # a writer has put another in its place
        return 0


class WriterLock:
    """The right to write into one workspace; it dies with its process, however that ends.

    The lock is the operating system's, on the file `lock`; the process id in it is for people.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None  # Any: an open text file, or None

    def acquire(self, *, patience_seconds: float = 0.0) -> None:
        """Take the lock, or raise InputError naming the process that still holds it after that."""
        with machine_errors(self.path):
            file = self.path.open("a+", encoding="ascii")
        until = time.monotonic() + patience_seconds
        while not (is_ours := _lock_file(file)) and time.monotonic() < until:
            time.sleep(_SECONDS_BETWEEN_LOCKS)
        if not is_ours:
            file.seek(0)
            holder = file.read().strip() or "?"
            file.close()
            raise InputError("workspace_busy", path=self.path.parent, process=holder)
        try:
            with machine_errors(self.path):
                file.truncate(0)
                file.write(f"{os.getpid()}\n")
                file.flush()
        except BaseException:
            file.close()
            raise
        self._file = file

    def release(self) -> None:
        """Give the lock back."""
        self._file.close()
        self._file = None


@contextmanager
def machine_errors(path: Path) -> Iterator[None]:
    """Turn what the disk says (full, read-only, not allowed) into a ResourceError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _MACHINE_ERRORS:
            raise
        raise ResourceError(
            "cannot_write", path=error.filename or path, reason=error.strerror
        ) from error


def _seal(
    folder: Path,
    names: Iterable[str],
    made_from: Mapping[str, object],
    *,
    others: Mapping[str, object] | None = None,
) -> None:
    names = sorted(names)
    files = {
        **(others or {}),
        **{
            name: {"size": (folder / name).stat().st_size, "sha256": hash_file(folder / name)}
            for name in names
        },
    }
    for name in names:
        _flush(folder / name)
    manifest = {"files": files, "made_from": dict(made_from)}
    write_json(folder / MANIFEST, manifest | {"checksum": hash_json(manifest)})


def _replace_folder(temporary: Path, path: Path) -> None:
    outgoing = None
    if path.exists():
        outgoing = _beside(path, _OUTGOING)
        path.rename(outgoing)
    try:
        temporary.rename(path)
    except OSError:
        if outgoing is not None:
            outgoing.rename(path)
        raise
    _flush(path.parent)
    if outgoing is not None:
        shutil.rmtree(outgoing)


def _beside(path: Path, kind: str) -> Path:
    """Return a name beside `path` that nothing carries yet."""
    return path.with_name(f"{path.name}{kind}{uuid.uuid4().hex}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _flush(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot flush a directory
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock_file(file: Any) -> bool:  # Any: an open file
    try:
        import fcntl
    except ImportError:  # Windows
        return _lock_file_on_windows(file)
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lock_file_on_windows(file: Any) -> bool:  # Any: an open file
    import msvcrt

    # Ranges past the end may be locked, and leave the process id readable to the others.
    file.seek(1 << 20)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # Windows
    except OSError:
        return False
    return True
