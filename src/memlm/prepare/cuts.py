"""What becomes of passages that are repeated: always listed, and cut out where somebody asked.

    repeats.jsonl  one line a passage: where it is, how often it occurs, where it stands first
    cuts.bin       the stretches of cleaned text that are cut out; none where nobody asked

Passages may overlap, and what is cut is all that lies in one; the first occurrence stays. A cut
never halves a word, and the text before it and the text after it stand on lines of their own.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.errors import CorruptArtefactError
from memlm.prepare.draft import Draft, collected_span, with_edits
from memlm.prepare.repeats import PartPrints, Repeat, find_repeats
from memlm.prepare.shingles import is_of_word, whole_words
from memlm.records import Dropped
from memlm.storage import new_file

CUT = np.dtype(
    [
        ("row", "<i8"),
        ("start", "<i8"),  # code points of the cleaned text
        ("end", "<i8"),
        ("is_line_end", "?"),  # whether a line end takes its place
    ]
)
Cuts = npt.NDArray[Any]  # Any: records by name
_STEP = "repeats"


class Repeats:
    """All repeated passages of the cleaned documents in a folder, listed and counted."""

    def __init__(
        self,
        folder: Path,
        *,
        draft: Callable[[int], Draft],
        identify: Callable[[int], str],
        is_changed: npt.NDArray[np.bool_],
        drops_repeats: bool = False,
    ) -> None:
        self._folder, self._draft, self._drops = folder, draft, drops_repeats
        self._is_changed = is_changed
        self._identify = lru_cache(maxsize=10_000)(identify)
        self._held = lru_cache(maxsize=8)(draft)
        self.counts: Counter[str] = Counter()
        self.cuts: Cuts = np.zeros(0, dtype=CUT)
        self.dropped: list[Dropped] = []
        """Documents of which the cuts leave nothing."""

    def find(self, parts: Sequence[PartPrints], order: npt.NDArray[np.int64]) -> None:
        """Find the passages among the documents that are kept, and write them down."""
        cuts: list[Cuts] = []
        work = self._folder / "repeats-unfinished"
        shutil.rmtree(work, ignore_errors=True)  # of a search that was killed
        found = find_repeats(parts, order, read=lambda row: self._draft(row).text, work=work)
        try:
            with new_file(self._folder / "repeats.jsonl") as temporary:
                work.mkdir()
                with temporary.open("wb") as file:
                    for row, passages in _by_row(found):
                        file.writelines(map(self._line, passages))
                        cuts.append(self._account(row, passages))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        self.cuts = np.concatenate([self.cuts, *cuts])
        self.cuts.sort(order="row", kind="stable")
        with new_file(self._folder / "cuts.bin") as temporary:
            self.cuts.tofile(temporary)

    def _account(self, row: int, passages: Sequence[Repeat]) -> Cuts:
        """Count what is repeated in one document, and return what is cut out of it."""
        stretches = _join(passages)
        self.counts["passages"] += len(passages)
        self.counts["characters"] += sum(end - start for start, end in stretches)
        return self._cut(row, stretches) if self._drops else self.cuts[:0]

    def _line(self, passage: Repeat) -> bytes:
        length = passage.end - passage.start
        line = {
            **self._place(passage.row, passage.start, passage.end),
            "times": passage.times,
            "first": self._place(
                passage.first_row, passage.first_start, passage.first_start + length
            ),
        }
        return json.dumps(line).encode("ascii") + b"\n"

    def _place(self, row: int, start: int, end: int) -> dict[str, object]:
        """Return a place as people know it: in the collected text."""
        if self._is_changed[row]:
            start, end = collected_span(self._held(row), start, end)
        return {"id": self._identify(row), "start": start, "end": end}

    def _cut(self, row: int, stretches: Sequence[tuple[int, int]]) -> Cuts:
        draft = self._draft(row)
        text = draft.text
        whole = (_between_words(text, start, end) for start, end in stretches)
        cuts = np.array(
            [(row, s, e, _needs_line_end(text, s, e)) for s, e in whole if s < e], dtype=CUT
        )
        if not cut_out(draft, cuts).text.strip():
            cuts = np.array([(row, 0, len(text), False)], dtype=CUT)
            self.dropped.append(
                Dropped(
                    document_id=draft.document.id,
                    step=_STEP,
                    reason="all_repeated",
                    values={"cut": len(text)},
                )
            )
        self.counts["cut"] += int((cuts["end"] - cuts["start"]).sum())
        return cuts


def cut_out(draft: Draft, cuts: Cuts) -> Draft:
    """Return a draft without what is cut out of it."""
    edits = [
        (int(cut["start"]), int(cut["end"]), "\n" if cut["is_line_end"] else "") for cut in cuts
    ]
    return with_edits(draft, edits)


def read_cuts(folder: Path, first_row: int, num_rows: int) -> Cuts:
    """Return the cuts of some neighbouring rows, the first of which counts as 0."""
    path = folder / "cuts.bin"
    if not path.exists() or path.stat().st_size % CUT.itemsize:
        raise CorruptArtefactError("artefact_unreadable", path=path)
    if path.stat().st_size == 0:
        return np.zeros(0, dtype=CUT)
    held = np.asarray(np.memmap(path, dtype=CUT, mode="r")).view(np.ndarray)
    low, high = np.searchsorted(held["row"], (first_row, first_row + num_rows))
    cuts = held[low:high].copy()
    cuts["row"] -= first_row
    return cuts


def lost_characters(cuts: Cuts, num_rows: int) -> npt.NDArray[np.int64]:
    """Return by how many code points each row is shorter."""
    lost = cuts["end"] - cuts["start"] - cuts["is_line_end"]
    return np.bincount(cuts["row"], weights=lost, minlength=num_rows).astype(np.int64)


def _by_row(found: Iterator[Repeat]) -> Iterator[tuple[int, list[Repeat]]]:
    passages: list[Repeat] = []
    for passage in found:
        if passages and passage.row != passages[0].row:
            yield passages[0].row, passages
            passages = []
        passages.append(passage)
    if passages:
        yield passages[0].row, passages


def _join(passages: Sequence[Repeat]) -> list[tuple[int, int]]:
    """Return the stretches that the passages of one document cover together."""
    joined: list[tuple[int, int]] = []
    for passage in passages:  # in order of where they begin
        start, end = passage.start, passage.end
        if joined and start <= joined[-1][1]:
            start, before = joined.pop()
            end = max(end, before)
        joined.append((start, end))
    return joined


def _between_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the stretch without the halves of words at its ends."""
    while start < end and _is_inside_word(text, start):
        start += 1
    while start < end and _is_inside_word(text, end):
        end -= 1
    return start, end


def _is_inside_word(text: str, place: int) -> bool:
    return 0 < place < len(text) and all(
        is_of_word(character) and not whole_words()[ord(character)]
        for character in text[place - 1 : place + 1]
    )


def _needs_line_end(text: str, start: int, end: int) -> bool:
    return start > 0 and end < len(text) and "\n" not in (text[start - 1], text[end])
