"""One call of `collect`: what the readers find, merged into the documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from memlm.collect.config import CollectConfig
from memlm.collect.files import TextFromMemory, texts_from_memory
from memlm.collect.sources import SourceFile, read_file
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
        note: Callable[[SourceNote], None],
        progress: Callable[[int, int], None],
    ) -> None:
        self._store, self._config, self._split = store, config, split
        self._note, self._progress = note, progress
        self._reading = hash_json([asdict(config), split])
        self._totals = MergeCounts()
        self._rejected: list[Rejected] = []
        self._roots_in_use: set[int] = set()
        self._missing_column: list[tuple[Root, str, InputError]] = []
        self._has_read_a_file = False

    def read_source(self, source: Path, files: list[SourceFile]) -> None:
        """Read the files of one source."""
        hashes = {file.path: hash_file(file.path) for file in files if file.problem is None}
        root, prefix = self._root_of(source, hashes)
        for number, file in enumerate(files, start=1):
            place = root, f"{prefix}{file.relative}" if root.is_folder else root.name
            own = self._store.find_root(file.path) if file.path != source else None
            if own is not None:  # it was collected by itself before: the same document
                place = own, own.name
            if file.problem is not None:
                self._store.reject_file(*place, file.problem)
                self._rejected += self._store.rejected_in_file(*place)
            else:
                self._read_file(file.path, *place, hashes[file.path])
            self._progress(number, len(files))

    def read_texts(self, texts: Iterable[TextFromMemory]) -> None:
        """Read texts that were handed over in Python; those of earlier calls stay."""
        place = Path("texts")
        root = self._store.find_root(place) or self._store.add_root(place, is_folder=False)
        self._merge(root, root.name, texts_from_memory(texts), bytes_hash="", keeps_others=True)

    def finish(self) -> CollectReport:
        """Return the report. ConfigError if a column was named that no table has."""
        if self._missing_column and not self._has_read_a_file:
            error = self._missing_column[0][2]
            raise ConfigError(error.code, **error.values)
        for root, path, error in self._missing_column:
            self._reject(root, path, error)
        return CollectReport(
            documents_added=self._totals.added,
            documents_unchanged=self._totals.unchanged,
            documents_changed=self._totals.changed,
            documents_removed=self._totals.removed,
            documents_rejected=len(self._rejected),
            rejected=tuple(self._rejected),
            characters=self._store.characters(),
        )

    def _root_of(self, source: Path, hashes: Mapping[Path, str]) -> tuple[Root, str]:
        """Return the root that a source belongs to, and what its paths begin with there."""
        resolved = source.resolve()
        found, prefix = self._store.find_root(resolved), ""
        for parent in resolved.parents if found is None else ():
            found = self._store.find_root(parent)
            if found is not None:  # part of a folder that was collected before
                inside = resolved.relative_to(parent)
                inside = inside if source.is_dir() else inside.parent
                prefix = "" if inside == Path() else f"{inside.as_posix()}/"
                break
        if found is None:
            moved = self._store.find_moved_root(
                hashes.values(), is_folder=source.is_dir(), in_use=self._roots_in_use
            )
            if moved is not None:
                found = self._store.move_root(moved, resolved)
            else:
                found = self._store.add_root(resolved, is_folder=source.is_dir())
        self._roots_in_use.add(found.number)
        return found, prefix

    def _read_file(self, path: Path, root: Root, relative: str, bytes_hash: str) -> None:
        if self._store.file_is_current(
            root, relative, bytes_hash=bytes_hash, reading=self._reading
        ):
            self._totals.unchanged += self._store.count_in_file(root, relative)
            self._rejected += self._store.rejected_in_file(root, relative)
            self._has_read_a_file = True
            return
        try:
            self._merge(root, relative, read_file(path, self._config), bytes_hash=bytes_hash)
            self._has_read_a_file = True
        except InputError as error:
            if error.code == "column_missing":
                self._missing_column.append((root, relative, error))
            elif error.code == "workspace_busy":
                raise
            else:
                self._reject(root, relative, error)

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
            root, path, bytes_hash=bytes_hash, reading=self._reading, keeps_others=keeps_others
        ) as merge:
            for item in found:
                if isinstance(item, SourceText):
                    merge.add(item, split=self._split)
                elif isinstance(item, SourceProblem):
                    merge.reject(item)
                else:
                    self._note(item)
        for name, value in asdict(merge.counts).items():
            setattr(self._totals, name, getattr(self._totals, name) + value)
        self._rejected += self._store.rejected_in_file(root, path)

    def _reject(self, root: Root, path: str, error: MemlmError) -> None:
        line = error.values.get("line")
        self._store.reject_file(
            root, path, SourceProblem(code=error.code, values=error.values, position=line)
        )
        self._rejected += self._store.rejected_in_file(root, path)
