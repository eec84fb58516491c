"""One call of `collect`: what the readers find, merged into the documents."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from memlm.collect.addresses import is_address
from memlm.collect.config import CollectConfig, Reading
from memlm.collect.in_memory import TextFromMemory, texts_from_memory
from memlm.collect.sources import SourceFile, is_table, read_file, relative_name
from memlm.collect.vanished import find_place, is_below
from memlm.collect.wishes import Wishes
from memlm.documents import DocumentStore, MergeCounts, Root, find_moved_root, place_name
from memlm.errors import ConfigError, InputError, MemlmError, MissingExtraError, NotFoundError
from memlm.messages import render
from memlm.records import (
    CollectReport,
    Rejected,
    SourceNote,
    SourceProblem,
    SourceText,
    Split,
    Vanished,
)
from memlm.storage import hash_file, hash_json

if TYPE_CHECKING:  # what asks the web is loaded by those who do
    from memlm.collect.web import Site, Visit

# Of members of archives: next time there may be more memory, the package, or a repaired reader.
_RETRIED = {"parser_slow", "parser_memory", "parser_crashed", "extra_missing", "reader_failed"}
_LOCKED = {"pdf_encrypted", "pdf_password_wrong"}
_NAMED = 5
LISTED_REJECTED = 1000
"""Rejected rows and files that a report lists; `rejected.jsonl` has all."""


@dataclass(frozen=True)
class _Gone:
    """What one source no longer has."""

    root: Root
    prefix: str
    source: str
    paths: list[str]


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
        fresh: bool = False,
    ) -> None:
        self._store, self._split = store, split
        self._reading = Reading(config=config, scratch=scratch)
        self._wishes = Wishes(store, config, fresh=fresh)
        self._note, self._progress = note, progress
        self._labels = hash_file(config.labels) if config.labels is not None else None
        self._manners: dict[CollectConfig, str] = {}
        self._totals = MergeCounts()
        self._rejected: list[Rejected] = []
        self._num_rejected = 0
        self._roots_in_use: set[int] = set()
        self._missing_column: list[tuple[Root, str, InputError]] = []
        self._has_read_a_table = False
        self._gone: list[_Gone] = []
        self._vanished: list[Vanished] = []

    def read_source(self, source: Path, files: list[SourceFile]) -> None:
        """Read the files of one source."""
        name = source.resolve().name
        if not files:
            self._note(SourceNote(code="nothing_found", values={"source": name}))
        hashes = {file.path: _hash_readable(file) for file in files}
        known = {
            file.relative if source.is_dir() else "": found
            for file in files
            if (found := hashes[file.path]) is not None
        }
        root, prefix = self._root_of(source, known)
        is_inside = root.is_folder and not source.is_dir()
        self._say_wishes(root, f"{prefix}{source.name}" if is_inside else prefix)
        below: dict[Path, tuple[Root, Path] | None] = {}
        before = self._store.paths_of(root) | self._store.rejected_paths_of(root)
        gone = {path for path in before if path.startswith(prefix)}
        for number, file in enumerate(files, start=1):
            place = root, f"{prefix}{file.relative}" if root.is_folder else ""
            own = self._collected_by_itself(source, file, below)
            if own is not None:
                place = own
                self._wishes.ask(*place)
            gone.discard(place[1])
            bytes_hash, problem = hashes[file.path], file.problem
            if file.path == source and self._is_readable_now(*place, problem):
                bytes_hash, problem = _hash_readable(replace(file, problem=None)), None
            if bytes_hash is None:
                unreadable = SourceProblem(code="not_readable", values={"path": file.relative})
                self._reject(*place, problem or unreadable)
            else:
                is_named = file.path == source
                self._read_file(file.path, *place, bytes_hash, is_named=is_named)
                self._note_if_empty(*place)
            self._progress(number, len(files))
        if source.is_dir():
            left_alone = (file.relative for file in files if file.problem is not None)
            hidden = {str(PurePosixPath(f"{prefix}{relative}")) for relative in left_alone}
            # What lies in a folder that may not be opened has not vanished.
            gone = {
                path for path in gone if not hidden & {str(p) for p in PurePosixPath(path).parents}
            }
            self._add_vanished(_Gone(root, prefix, name, sorted(gone)))

    def read_vanished(self, source: Path) -> bool:
        """Note that all of a source that was collected is gone; False if it never was."""
        place = find_place(self._store, source, may_be_empty=True)
        if place is None:
            return False
        root, inside = place
        known = self._store.paths_of(root) | self._store.rejected_paths_of(root)
        paths = [path for path in known if is_below(path, inside)]
        self._add_vanished(_Gone(root, inside, source.name, sorted(paths)))
        return True

    def read_site(self, site: Site, *, is_only: bool = True) -> None:
        """Visit the pages of one web address.

        Where there is nothing at it and never was, it is rejected like a file; NotFoundError is
        raised if it `is_only`, with no other source beside it.
        """
        try:
            self._read_site(site)
        except NotFoundError as error:
            if is_only:
                raise
            root = self._store.find_address(site.address) or self._store.add_address(site.address)
            self._reject(root, site.address, _problem_of(error))

    def _read_site(self, site: Site) -> None:
        from memlm.collect.web import KnownPage

        root = self._store.find_address(site.address)
        marks: dict[str, tuple[str, str]] = {}
        if root is not None:
            marks = self._store.page_marks(root, reading=self._manner_of(root, ""))
        known = {
            path: KnownPage(etag=etag, last_modified=modified)
            if self._may_stay(root, path)
            else KnownPage(etag="", last_modified="")
            for path, (etag, modified) in marks.items()
            if root is not None
        }
        gone, number = [], 0
        for visit in site.visits(known):
            root = root or self._store.add_address(site.address)
            if number == 0:
                self._say_wishes(root, "")
            if isinstance(visit, SourceNote):
                self._note(visit)
                continue
            number += 1
            self._progress(number, max(number, len(known)))
            if visit.outcome == "gone":
                gone.append(visit.address)
            else:
                self._take_visit(root, visit)
        if root is not None:
            self._add_vanished(_Gone(root, "", site.address, [p for p in gone if p in known]))

    def remove_vanished(
        self,
        may_remove: Callable[[str, int, int], bool],
        *,
        before: Callable[[list[str]], None] = lambda document_ids: None,
    ) -> int:
        """Remove what has vanished; return how many documents that were.

        Where that is more than half of a source, `may_remove(source, documents, of all)` is asked.
        `before` is told which documents will go when all has been asked, if anything is to go.
        """
        agreed = [gone for gone in self._gone if self._may_go(gone, may_remove)]  # asked first
        if agreed:
            ids = (list(self._store.ids_in_files(gone.root, gone.paths)) for gone in agreed)
            before(list(chain.from_iterable(ids)))
        total = 0
        for gone in agreed:
            removed = self._store.remove_files(gone.root, gone.paths)
            total += removed
            if removed:
                values = {"count": removed, "source": gone.source}
                self._note(SourceNote(code="pruned", values=values))
        return total

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
        self._wishes.keep()
        return CollectReport(
            documents_added=self._totals.added,
            documents_unchanged=self._totals.unchanged,
            documents_changed=self._totals.changed,
            documents_removed=self._totals.removed,
            documents_rejected=self._num_rejected,
            rejected=tuple(self._rejected),
            characters=self._store.characters(),
            vanished=tuple(self._vanished),
        )

    def _may_go(self, gone: _Gone, may_remove: Callable[[str, int, int], bool]) -> bool:
        count = sum(self._store.count_in_file(gone.root, path) for path in gone.paths)
        total = self._store.count_below(gone.root, gone.prefix)
        return 2 * count <= total or may_remove(gone.source, count, total)

    def _add_vanished(self, gone: _Gone) -> None:
        places = []
        for path in gone.paths:
            documents = self._store.count_in_file(gone.root, path)
            self._store.forget_rejected(gone.root, path)
            if documents:
                places.append(place_name(gone.root.name, gone.root.is_folder, path, None))
                self._vanished.append(Vanished(source=places[-1], documents=documents))
        if places:
            self._gone.append(gone)
            code = "vanished_pages" if is_address(gone.source) else "vanished"
            values = {"count": len(places), "source": gone.source, "names": _first_of(places)}
            self._note(SourceNote(code=code, values=values))

    def _take_visit(self, root: Root, visit: Visit) -> None:
        from memlm.collect.web import page_problem, read_visit

        path = visit.address
        if visit.problem is not None:
            self._reject(root, path, visit.problem)
            return
        origin = "" if visit.location in ("", path) else f"{visit.location} "
        content = f"{visit.content_type} {visit.charset} {origin}".encode() + visit.body
        bytes_hash = hashlib.sha256(content).hexdigest()
        if visit.outcome == "unchanged" or self._is_current(root, path, bytes_hash):
            self._totals.unchanged += self._store.count_in_file(root, path)
            self._list_rejected(root, path)
        else:
            try:
                reading = replace(self._reading, config=self._wishes.config_of(root, path))
                self._merge(root, path, read_visit(visit, reading), bytes_hash=bytes_hash)
            except (InputError, MissingExtraError) as error:
                if error.code == "workspace_busy":
                    raise
                self._reject(root, path, page_problem(error, path))
                return
            except (MemlmError, OSError, MemoryError):
                raise
            except Exception as error:  # one odd page must not cost the others
                self._reject(root, path, _failed(path, error))
                return
        if visit.outcome == "read":
            self._store.mark_page(root, path, etag=visit.etag, last_modified=visit.last_modified)

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

    def _root_of(self, source: Path, bytes_hashes: dict[str, str]) -> tuple[Root, str]:
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
            found = self._moved_root(resolved, bytes_hashes)
        if found is None:
            found = self._store.add_root(resolved, is_folder=source.is_dir())
        self._roots_in_use.add(found.number)
        return found, prefix

    def _moved_root(self, source: Path, bytes_hashes: dict[str, str]) -> Root | None:
        """Return the root that has moved to `source`, if one has, and say so."""
        moved = find_moved_root(
            self._store,
            source,
            bytes_hashes,
            is_folder=source.is_dir(),
            in_use=self._roots_in_use,
        )
        if moved is None:
            return None
        root = self._store.move_root(moved, source)
        self._note(SourceNote(code="root_moved", values={"old": moved.name, "new": root.name}))
        return root

    def _read_file(
        self, path: Path, root: Root, relative: str, bytes_hash: str, *, is_named: bool
    ) -> None:
        if self._is_current(root, relative, bytes_hash):
            self._totals.unchanged += self._store.count_in_file(root, relative)
            self._list_rejected(root, relative)
            members = self._store.members_of(root, relative)
            self._has_read_a_table |= is_table(path.name) or any(map(is_table, members))
            return
        try:
            config = self._wishes.config_of(root, relative)
            reading = replace(self._reading, config=config, is_named=is_named)
            self._merge(root, relative, read_file(path, reading), bytes_hash=bytes_hash)
            self._has_read_a_table |= is_table(path.name)
        except InputError as error:
            if error.code in ("column_missing", "column_misspelt"):
                self._missing_column.append((root, relative, error))
            elif error.code == "workspace_busy":
                raise
            else:
                self._reject(root, relative, _problem_of(error))
        except MissingExtraError as error:  # the other files can be read without it
            self._reject(root, relative, _problem_of(error))
        except (MemlmError, OSError, MemoryError):  # of the machine, not of this file
            raise
        except Exception as error:  # one odd file must not cost the others
            self._reject(root, relative, _failed(relative or root.name, error))

    def _say_wishes(self, root: Root, place: str) -> None:
        options = self._wishes.ask(root, place)
        if options:
            values = {"source": root.name, "options": options}
            self._note(SourceNote(code="read_as_before", values=values))

    def _is_readable_now(self, root: Root, path: str, problem: SourceProblem | None) -> bool:
        """Say whether a file is text because that was said of it the last time."""
        is_unknown = problem is not None and problem.code == "ending_unknown"
        return is_unknown and self._wishes.config_of(root, path).has_lines

    def _manner_of(self, root: Root, path: str) -> str:
        """Return a hash of how a file is read: otherwise, and it must be read again."""
        # A password is no manner of reading, and its hash would be something to guess against.
        # Nor is the side: reading a held-out file again without a word must not free it.
        config = replace(self._wishes.config_of(root, path), password=None)
        if config not in self._manners:
            self._manners[config] = hash_json([asdict(config), self._labels, None])
        return self._manners[config]

    def _note_if_empty(self, root: Root, path: str) -> None:
        """Say so where a file that can be read has neither texts nor anything that is rejected."""
        waits = any(place[:2] == (root, path) for place in self._missing_column)
        if waits or self._store.count_in_file(root, path):
            return
        if not self._store.num_rejected_in_file(root, path):
            place = place_name(root.name, root.is_folder, path, None)
            self._note(SourceNote(code="nothing_found", values={"source": place}))

    def _is_current(self, root: Root, path: str, bytes_hash: str) -> bool:
        return self._may_stay(root, path) and self._store.file_is_current(
            root, path, bytes_hash=bytes_hash, reading=self._manner_of(root, path)
        )

    def _may_stay(self, root: Root, path: str) -> bool:
        """Say whether a file need not be read again unless it has changed."""
        has_key = self._reading.config.password is not None
        worth_a_try = _RETRIED | _LOCKED if has_key else _RETRIED
        is_final = not worth_a_try & self._store.rejected_codes(root, path)
        return is_final and self._is_on_its_side(root, path)

    def _is_on_its_side(self, root: Root, path: str) -> bool:
        return self._split is None or self._store.split_of_file(root, path) == self._split

    def _merge(
        self,
        root: Root,
        path: str,
        found: Iterable[SourceText | SourceProblem | SourceNote],
        *,
        bytes_hash: str,
        keeps_others: bool = False,
    ) -> None:
        manner = self._manner_of(root, path)
        labelled = self._store.count_labelled(root, path)
        with self._store.merging(
            root, path, bytes_hash=bytes_hash, reading=manner, keeps_others=keeps_others
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
        has_any = self._store.count_in_file(root, path) > 0
        if labelled and has_any and not self._store.count_labelled(root, path):
            place = place_name(root.name, root.is_folder, path, None)
            values = {"source": place, "count": labelled}
            self._note(SourceNote(code="labels_gone", values=values))
        if merge.kept:
            place = place_name(root.name, root.is_folder, path, None)
            self._note(
                SourceNote(code="documents_kept", values={"source": place, "count": merge.kept})
            )
        self._list_rejected(root, path)

    def _list_rejected(self, root: Root, path: str) -> None:
        """Count what was rejected of a file, and list it up to what the report lists."""
        self._num_rejected += self._store.num_rejected_in_file(root, path)
        room = LISTED_REJECTED - len(self._rejected)
        self._rejected += islice(self._store.rejected_in_file(root, path), room)

    def _reject(self, root: Root, path: str, problem: SourceProblem) -> None:
        self._store.reject_file(root, path, problem)
        self._list_rejected(root, path)
        count = self._store.count_in_file(root, path)
        if count:
            place = place_name(root.name, root.is_folder, path, None)
            code = "earlier_page_stays" if is_address(path) else "earlier_text_stays"
            self._note(SourceNote(code=code, values={"source": place, "count": count}))


def _problem_of(error: MemlmError) -> SourceProblem:
    return SourceProblem(code=error.code, values=error.values, position=error.values.get("line"))


def _first_of(places: list[str]) -> str:
    """Return the first names of what has vanished, and how many there are more."""
    named = render("list.comma").join(places[:_NAMED])
    more = len(places) - _NAMED
    return named if more <= 0 else render("note.vanished_more", names=named, count=more)


def _failed(path: str, error: Exception) -> SourceProblem:
    """Return that a reader failed; what the error says may be text of the file."""
    return SourceProblem(code="reader_failed", values={"path": path, "kind": type(error).__name__})


def _hash_readable(file: SourceFile) -> str | None:
    """Return the hash of a file's bytes; None if there is a problem with it."""
    try:
        return hash_file(file.path) if file.problem is None else None
    except OSError:
        return None
