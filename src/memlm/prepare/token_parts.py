"""One part of the corpus becomes tokens: cut, laid down with their places, counted.

What is written for a part depends on the part, the tokenizer and the split alone, so parts can be
cut by any process in any order, and one that is there already, after a crash, is not cut again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from memlm.language_model import Tokenizer, unknown_bytes
from memlm.prepare.cleaned import Part, StoredPart
from memlm.prepare.draft import Draft, collected_span
from memlm.prepare.split import Piece, Splitter
from memlm.prepare.tokenizer import load_tokenizer
from memlm.records import SPLITS
from memlm.storage import new_folder
from memlm.tasks import stretches_of

UNIT = np.dtype(
    [
        ("document", "<u4"),
        ("split", "<u1"),
        ("token_start", "<i8"),
        ("token_end", "<i8"),
        ("text_start", "<i8"),  # code points of the collected text
        ("text_end", "<i8"),
        ("characters", "<i8"),  # of the cleaned text, as bytes and unknown are
        ("bytes", "<i8"),
        ("unknown", "<i8"),
        ("unknown_bytes", "<i8"),
    ]
)
LARGEST_ENCODED_AT_ONCE = 1 << 20


def token_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """Return the narrowest type that holds every token id."""
    return np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<u4")


def run_job(
    *, folder: str, part: Mapping[str, Any], tokenizer: str, splitter: Mapping[str, Any]
) -> dict[str, Any]:  # Any: JSON
    """Cut one part; what `children` calls."""
    cut_part(
        Path(folder),
        StoredPart(**part),
        _tokenizer(tokenizer, Path(tokenizer).stat().st_mtime_ns),
        Splitter.from_json(splitter),
    )
    return {}


@lru_cache(maxsize=1)
def _tokenizer(path: str, stamp: int) -> Tokenizer:
    """Return the tokenizer, the same for one part after the other: it is fastest when warm."""
    return load_tokenizer(Path(path))


def cut_part(folder: Path, part: Part, tokenizer: Tokenizer, splitter: Splitter) -> None:
    """Write the tokens of one part into the folder `folder`, which becomes whole at the end."""
    with new_folder(folder, made_from={"part": part.key}) as temporary:
        writer = _PartWriter(temporary, tokenizer, splitter)
        with writer:
            for draft in part.drafts():
                writer.add(draft)
        writer.finish()


class _PartWriter:
    """Writes documents into the files of a part, one after the other."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, splitter: Splitter) -> None:
        self._folder, self._tokenizer, self._splitter = folder, tokenizer, splitter
        self._dtype = token_dtype(tokenizer.vocabulary_size)
        self._units: list[tuple[int, ...]] = []
        self._num_documents = self._num_tokens = 0

    def __enter__(self) -> None:
        stack = self._files = ExitStack()

        def binary(name: str) -> BinaryIO:
            return stack.enter_context((self._folder / name).open("wb"))

        self._token_file, self._offset_file = binary("tokens.bin"), binary("offsets.bin")
        self._id_file, self._seal_file = binary("documents.txt"), binary("sealed.txt")

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def add(self, draft: Draft) -> None:
        """Write one document."""
        for piece in self._splitter.pieces(draft):
            self._add_piece(draft, piece)
        self._id_file.write(draft.document.id.encode("ascii") + b"\n")
        self._num_documents += 1

    def finish(self) -> None:
        """Write what is known only at the end."""
        np.array(self._units, dtype=UNIT).tofile(self._folder / "units.bin")

    def _add_piece(self, draft: Draft, piece: Piece) -> None:
        tokenizer, start = self._tokenizer, self._num_tokens
        document, text, origin = draft.document, draft.text, draft.origin
        unknown = charged = 0
        # The tokenizer of somebody else's model has a token for no label.
        if piece.start == 0 and document.label is not None and document.label in tokenizer.labels:
            self._put([tokenizer.labels[document.label]], [0])
        for low, high in _stretches(text, piece):
            stretch = text[low:high]
            encoding = tokenizer.encode(stretch)
            sizes = unknown_bytes(tokenizer, stretch, encoding)
            unknown, charged = unknown + int((sizes > 0).sum()), charged + int(sizes.sum())
            places = encoding.starts + low
            self._put(encoding.ids, places if origin is None else origin[places])
        if piece.end == len(text):
            self._put([tokenizer.end], [len(document.text)])
        words = text[piece.start : piece.end]
        if piece.split == "sealed":
            self._seal_file.write(_seal_line(document.id, words))
        bounds = collected_span(draft, piece.start, piece.end)
        self._units.append(
            (
                self._num_documents,
                SPLITS.index(piece.split),
                start,
                self._num_tokens,
                *bounds,
                len(words),
                len(words.encode("utf-8")),
                unknown,
                charged,
            )
        )

    def _put(self, ids: npt.ArrayLike, offsets: npt.ArrayLike) -> None:
        tokens = np.asarray(ids, dtype=self._dtype)
        self._token_file.write(tokens.tobytes())
        self._offset_file.write(np.asarray(offsets, dtype="<u4").tobytes())
        self._num_tokens += len(tokens)


def _seal_line(document_id: str, words: str) -> bytes:
    """Return what proves later that a stretch is the one that was put away, however it is cut."""
    return f"{document_id} {hashlib.sha256(words.encode('utf-8')).hexdigest()}\n".encode("ascii")


def _stretches(text: str, piece: Piece) -> Iterator[tuple[int, int]]:
    """Cut a piece so that what is encoded at once is bounded, at line ends where there are any.

    The parts of a task's example are encoded each by itself.
    """
    for start, last in stretches_of(text, piece.start, piece.end):
        while start < last:
            end = min(last, start + LARGEST_ENCODED_AT_ONCE)
            if end < last:
                line_end = text.rfind("\n", start, end)
                end = line_end + 1 if line_end > start else end
            yield start, end
            start = end
