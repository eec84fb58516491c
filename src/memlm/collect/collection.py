"""One call of `collect`: what the readers find, merged into the documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from memlm.collect.config import CollectConfig, Reading
from memlm.collect.files import TextFromMemory, texts_from_memory
from memlm.collect.sources import SourceFile, is_table, read_file, relative_name
from memlm.documents import DocumentStore, MergeCounts, Root
from memlm.errors import ConfigError, InputError, MemlmError
from memlm.records import (
    CollectReport,
    Rejected,
    SourceNote,
    SourceProblem,
    SourceText,
    Split,
)
from memlm.storage import hash_file, hash_json


class Collection:
    """Reads sources into a `DocumentStore` that is open for writing, and counts what came of it."""

    def __init__(
        self,
        store: DocumentStore,
        config: CollectConfig,
        *,
        split: Split | None,
        scratch: Path | None = None,
        note: Callable[[SourceNote], None],
        progress: Callable[[int, int], None],
    ) -> None:
        self._store, self._split = store, split
        self._reading = Reading(config=config, scratch=scratch)
        self._note, self._progress = note, progress
        labels = hash_file(config.labels) if config.labels is not None else None
        self._manner = hash_json([asdict(config), labels, split])
        self._totals = MergeCounts()
        self._rejected: list[Rejected] = []
        self._roots_in_use: set[int] = set()
        self._missing_column: list[tuple[Root, str, InputError]] = []
        self._has_read_a_table = False

    def read_source(self, source: Path, files: list[SourceFile]) -> None:
        """Read the files of one source."""
        hashes = {file.path: _hash_readable(file) for file in files}
        known = [found for found in hashes.values() if found is not None]
        root, prefix = self._root_of(source, known)
        below: dict[Path, tuple[Root, Path] | None] = {}
        gone = {path for path in self._store.paths_of(root) if path.startswith(prefix)}
        for number, file in enumerate(files, start=1):
            place = root, f"{prefix}{file.relative}" if root.is_folder else ""
            place = self._collected_by_itself(source, file, below) or place
            gone.discard(place[1])
            bytes_hash, problem = hashes[file.path], file.problem
            if bytes_hash is None:
                unreadable = SourceProblem(code="not_readable", values={"path": file.relative})
                self._reject(*place, problem or unreadable)
            else:
                self._read_file(file.path, *place, bytes_hash)
            self._progress(number, len(files))
        if gone and source.is_dir():
            values = {"count": len(gone), "source": source.name}
            self._note(SourceNote(code="vanished", values=values))

    def read_texts(self, texts: Iterable[TextFromMemory]) -> None:
        """Read texts that were handed over in Python; those of earlier calls stay."""
        root = self._store.memory_root()
        self._merge(root, "", texts_from_memory(texts), bytes_hash="", keeps_others=True)

    def finish(self) -> CollectReport:
        """Return the report. ConfigError if a column was named that no table has."""
        if self._missing_column and not self._has_read_a_table:
            error = self._missing_column[0][2]
            raise ConfigError(error.code, **error.values)
        for root, path, error in self._missing_column:
            self._reject(root, path, _problem_of(error))
        return CollectReport(
            documents_added=self._totals.added,
            documents_unchanged=self._totals.unchanged,
            documents_changed=self._totals.changed,
            documents_removed=self._totals.removed,
            documents_rejected=len(self._rejected),
            rejected=tuple(self._rejected),
            characters=self._store.characters(),
        )

    def _collected_by_itself(
        self, source: Path, file: SourceFile, below: dict[Path, tuple[Root, Path] | None]
    ) -> tuple[Root, str] | None:
        """Return the place of a file which, or whose folder, was collected before its source was.

        `below` remembers the folders of the source that were asked about.
        """
        if file.path == source:
            return None
        own = self._store.find_root(file.path, is_folder=False)
        if own is not None:
            return own, ""
        folder = file.path.parent
        if folder not in below:
            below[folder] = self._nearest_root(source, folder)
        nearest = below[folder]
        return None if nearest is None else (nearest[0], relative_name(file.path, nearest[1]))

    def _nearest_root(self, source: Path, folder: Path) -> tuple[Root, Path] | None:
        """Return the root at `folder` or nearest above it, below `source`, and where it lies."""
        while folder != source:
            root = self._store.find_root(folder, is_folder=True)
            if root is not None:
                return root, folder
            folder = folder.parent
        return None

    def _root_of(self, source: Path, bytes_hashes: list[str]) -> tuple[Root, str]:
        """Return the root that a source belongs to, and what its paths begin with there."""
        resolved = source.resolve()
        found, prefix = self._store.find_root(resolved, is_folder=source.is_dir()), ""
        for parent in resolved.parents if found is None else ():
            found = self._store.find_root(parent, is_folder=True)
            if found is not None:  # part of a folder that was collected before
                inside = resolved if source.is_dir() else resolved.parent
                prefix = "" if inside == parent else f"{relative_name(inside, parent)}/"
                break
        if found is None:
            moved = self._store.find_moved_root(
                bytes_hashes, is_folder=source.is_dir(), in_use=self._roots_in_use
            )
            if moved is not None:
                found = self._store.move_root(moved, resolved)
            else:
                found = self._store.add_root(resolved, is_folder=source.is_dir())
        self._roots_in_use.add(found.number)
        return found, prefix

    def _read_file(self, path: Path, root: Root, relative: str, bytes_hash: str) -> None:
        if self._store.file_is_current(root, relative, bytes_hash=bytes_hash, reading=self._manner):
            self._totals.unchanged += self._store.count_in_file(root, relative)
            self._rejected += self._store.rejected_in_file(root, relative)
            self._has_read_a_table |= is_table(path.name)
            return
        try:
            self._merge(root, relative, read_file(path, self._reading), bytes_hash=bytes_hash)
            self._has_read_a_table |= is_table(path.name)
        except InputError as error:
            if error.code in ("column_missing", "column_misspelt"):
                self._missing_column.append((root, relative, error))
            elif error.code == "workspace_busy":
                raise
            else:
                self._reject(root, relative, _problem_of(error))

    def _merge(
        self,
        root: Root,
        path: str,
        found: Iterable[SourceText | SourceProblem | SourceNote],
        *,
        bytes_hash: str,
        keeps_others: bool = False,
    ) -> None:
        with self._store.merging(
            root, path, bytes_hash=bytes_hash, reading=self._manner, keeps_others=keeps_others
        ) as merge:
            for item in found:
                if isinstance(item, SourceText):
                    self._has_read_a_table |= is_table(item.member)
                    merge.add(item, split=self._split)
                elif isinstance(item, SourceProblem):
                    merge.reject(item)
                else:
                    self._note(item)
        for name, value in asdict(merge.counts).items():
            setattr(self._totals, name, getattr(self._totals, name) + value)
        self._rejected += self._store.rejected_in_file(root, path)

    def _reject(self, root: Root, path: str, problem: SourceProblem) -> None:
        self._store.reject_file(root, path, problem)
        self._rejected += self._store.rejected_in_file(root, path)


def _problem_of(error: MemlmError) -> SourceProblem:
    return SourceProblem(code=error.code, values=error.values, position=error.values.get("line"))


def _hash_readable(file: SourceFile) -> str | None:
    """Return the hash of a file's bytes; None if there is a problem with it."""
    try:
        return hash_file(file.path) if file.problem is None else None
    except OSError:
        return None
