"""The token store: all tokens of one tokenizer, memory-mapped, each knowing its document.

    tokens.bin     token ids, end to end              tokenizer.json   what made them
    offsets.bin    code point of the collected text   documents.txt    document ids
    units.bin      one record a stretch of one split  store.json       sizes and counts
    dropped.jsonl  documents left out, and why

A *unit* is a stretch of one document on one side of the split. Its tokens are, in order, the
label's (where the unit begins the document), the text's, and the end's (where it ends it).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import numpy.typing as npt

from memlm.errors import CorruptArtefactError, InputError
from memlm.language_model import Tokenizer, unknown_bytes
from memlm.prepare.clean import clean_text
from memlm.prepare.config import PrepareConfig
from memlm.prepare.split import Piece, SplitPlan, plan_split
from memlm.prepare.tokenizer import learn_tokenizer, load_tokenizer
from memlm.prepare.words import han_share
from memlm.records import SPLITS, Document, Dropped, PrepareReport, Split
from memlm.runtime import is_installed
from memlm.storage import read_json

DEFAULT_HELD_OUT_SHARE = 0.1
_SURELY_BOTH = 30  # documents to be expected on the smaller side
_LARGEST_ENCODED_AT_ONCE = 1 << 20
_LARGE_CHARACTERS = 20_000_000
_SOME_HAN, _MOSTLY_HAN = 0.02, 0.5
_UNIT = np.dtype(
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


class TokenStore:
    """A token store on disk, opened for reading."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        header = read_json(folder / "store.json")
        self.header: dict[str, object] = header
        self.tokenizer: Tokenizer = load_tokenizer(folder / "tokenizer.json")
        self.tokens = _map(folder / "tokens.bin", header["token_dtype"], header["tokens"])
        self.offsets = _map(folder / "offsets.bin", "<u4", header["tokens"])
        self.units: Any = _map(folder / "units.bin", _UNIT, header["units"])  # Any: records by name
        self.document_ids = (folder / "documents.txt").read_text("ascii").splitlines()

    def units_of(self, split: Split) -> npt.NDArray[np.void]:
        """Return the unit records of one split."""
        return np.asarray(self.units[self.units["split"] == SPLITS.index(split)])

    def document_of(self, position: int) -> str:
        """Return the id of the document that the token at `position` belongs to."""
        unit = int(np.searchsorted(self.units["token_start"], position, side="right")) - 1
        return self.document_ids[int(self.units["document"][unit])]

    def report(self) -> PrepareReport:
        """Return what the preparation counted."""
        counts = self.header["counts"]
        assert isinstance(counts, dict)
        return PrepareReport(**counts)


def settle_config(
    documents: Iterable[Document],
    config: PrepareConfig,
    *,
    note: Callable[[str, Mapping[str, object]], None] = lambda code, values: None,
) -> PrepareConfig:
    """Return `config` with `auto` replaced by what suits the documents; `note` is told why."""
    config.check()
    if config.tokenizer != "auto":
        return config
    if not is_installed("tokenizers"):
        note("auto_tokenizer_light", {})
        return replace(config, tokenizer="char")
    survey = _survey(documents)
    kind = "char"  # what learns best from a few megabytes of one script, see benchmarks/LOG.md
    if _SOME_HAN < survey.han < _MOSTLY_HAN:
        kind = "byte"  # thousands of hanzi would take the time that the letters need
    elif survey.characters > _LARGE_CHARACTERS and survey.han <= _SOME_HAN:
        kind = "bpe"
    note("auto_tokenizer", {"kind": kind, "characters": survey.characters})
    return replace(config, tokenizer=kind)


def write_token_store(
    folder: Path,
    documents: Callable[[], Iterable[Document]],
    config: PrepareConfig,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PrepareReport:
    """Prepare all documents into `folder` (an empty one that `storage` gave).

    `config` is settled (see `settle_config`). `documents()` is walked several times (to plan, to
    learn the vocabulary, to write) and never held. `progress(done, total)` counts code points.
    Raises InputError if nothing is left to learn from.
    """
    survey = _survey(documents())
    plan = _plan(documents, config, survey)
    labels = sorted(survey.labels)

    def learned_texts() -> Iterator[str]:
        for document in documents():
            text, _ = clean_text(document.text)
            yield from (
                text[piece.start : piece.end]
                for piece in plan.pieces(document, text)
                if piece.split == "train"
            )

    tokenizer = learn_tokenizer(
        config.tokenizer, learned_texts(), size=config.vocabulary_size, labels=labels
    )
    writer = _Writer(folder, tokenizer)
    done = 0
    with writer:
        for document in documents():
            writer.add(document, plan)
            done += len(document.text)
            progress(done, survey.characters)
    return writer.finish(plan)


@dataclass
class _Survey:
    sizes: list[int] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    han: float = 0.0
    has_held_out: bool = False


def _survey(documents: Iterable[Document]) -> _Survey:
    survey = _Survey()
    for document in documents:
        survey.characters += len(document.text)
        survey.han += han_share(document.text[:10_000]) * len(document.text)
        if document.split == "held_out":
            survey.has_held_out = True
        else:
            survey.sizes.append(len(document.text))
        if document.label is not None:
            survey.labels[document.label] += 1
    if not survey.characters:
        raise InputError("nothing_to_prepare")
    survey.han /= survey.characters
    return survey


def _plan(
    documents: Callable[[], Iterable[Document]], config: PrepareConfig, survey: _Survey
) -> SplitPlan:
    share = config.held_out_share
    if share is None:
        share = 0.0 if survey.has_held_out else DEFAULT_HELD_OUT_SHARE
    plan = plan_split(survey.sizes, share=share, seed=config.split_seed)
    is_large = plan.block_characters is None and len(survey.sizes) * share > _SURELY_BOTH
    if share == 0 or is_large:
        return plan
    # In a small collection chance may leave one side empty; the next seed that does not is taken.
    for seed in range(config.split_seed, config.split_seed + 100):
        plan = SplitPlan(share, seed, plan.block_characters)
        sides = {
            piece.split
            for document in documents()
            if (text := clean_text(document.text)[0]).strip()  # the others will be left out
            for piece in plan.pieces(document, text)
        }
        if sides == {"train", "held_out"}:
            return plan
    return SplitPlan(0.0, config.split_seed, None)


class _Writer:
    """Writes documents into the files of a store, one after the other."""

    def __init__(self, folder: Path, tokenizer: Tokenizer) -> None:
        self._folder, self._tokenizer = folder, tokenizer
        self._dtype = np.dtype("<u2" if tokenizer.vocabulary_size <= 1 << 16 else "<u4")
        self._units: list[tuple[int, ...]] = []
        self._num_documents = self._num_tokens = 0
        self._tokens_by_split = dict.fromkeys((*SPLITS, "sealed"), 0)
        self._drops: Counter[str] = Counter()
        self._unknown = self._characters = 0

    def __enter__(self) -> None:
        stack = self._files = ExitStack()

        def binary(name: str) -> BinaryIO:
            return stack.enter_context((self._folder / name).open("wb"))

        def text(name: str) -> TextIO:
            return stack.enter_context((self._folder / name).open("w", encoding="utf-8"))

        self._token_file, self._offset_file = binary("tokens.bin"), binary("offsets.bin")
        self._id_file, self._drop_file = text("documents.txt"), text("dropped.jsonl")

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def add(self, document: Document, plan: SplitPlan) -> None:
        """Write one document, or note why it is left out."""
        text, kept = clean_text(document.text)
        if not text.strip():
            dropped = Dropped(document_id=document.id, step="clean", reason="empty")
            line = {"id": dropped.document_id, "step": dropped.step, "reason": dropped.reason}
            self._drop_file.write(json.dumps(line) + "\n")
            self._drops[dropped.reason] += 1
            return
        for piece in plan.pieces(document, text):
            self._add_piece(document, text, kept, piece)
        self._id_file.write(document.id + "\n")
        self._num_documents += 1

    def _add_piece(
        self, document: Document, text: str, kept: npt.NDArray[np.int64] | None, piece: Piece
    ) -> None:
        tokenizer, start = self._tokenizer, self._num_tokens
        unknown = charged = 0
        if piece.start == 0 and document.label is not None:
            self._put([tokenizer.labels[document.label]], [0])
        for low, high in _parts(text, piece):
            part = text[low:high]
            encoding = tokenizer.encode(part)
            sizes = unknown_bytes(tokenizer, part, encoding)
            unknown, charged = unknown + int((sizes > 0).sum()), charged + int(sizes.sum())
            places = encoding.starts + low
            self._put(encoding.ids, places if kept is None else kept[places])
        if piece.end == len(text):
            self._put([tokenizer.end], [len(document.text)])
        words = text[piece.start : piece.end]
        bounds = (piece.start, piece.end)
        if kept is not None:
            bounds = int(kept[piece.start]), int(kept[piece.end - 1]) + 1
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
        self._tokens_by_split[piece.split] += self._num_tokens - start
        self._unknown += unknown
        self._characters += len(words)

    def _put(self, ids: npt.ArrayLike, offsets: npt.ArrayLike) -> None:
        tokens = np.asarray(ids, dtype=self._dtype)
        self._token_file.write(tokens.tobytes())
        self._offset_file.write(np.asarray(offsets, dtype="<u4").tobytes())
        self._num_tokens += len(tokens)

    def finish(self, plan: SplitPlan) -> PrepareReport:
        """Write what is known only at the end, and return the counts."""
        if not self._tokens_by_split["train"]:
            raise InputError("nothing_to_prepare")
        report = PrepareReport(
            documents=self._num_documents,
            dropped=sum(self._drops.values()),
            dropped_by_reason=dict(self._drops),
            tokens=self._tokens_by_split,
            tokenizer=self._tokenizer.name,
            vocabulary_size=self._tokenizer.vocabulary_size,
            unknown=self._unknown,
            characters=self._characters,
        )
        np.array(self._units, dtype=_UNIT).tofile(self._folder / "units.bin")
        header = {
            "token_dtype": self._dtype.str,
            "tokens": self._num_tokens,
            "units": len(self._units),
            "split": {
                "share": plan.share,
                "seed": plan.seed,
                "block_characters": plan.block_characters,
            },
            "counts": report.__dict__,
        }
        for name, value in (("store.json", header), ("tokenizer.json", self._tokenizer.to_json())):
            text = json.dumps(value, ensure_ascii=False)
            (self._folder / name).write_text(text, encoding="utf-8")
        return report


def _parts(text: str, piece: Piece) -> Iterator[tuple[int, int]]:
    """Cut a piece so that what is encoded at once is bounded, at line ends where there are any."""
    start = piece.start
    while start < piece.end:
        end = min(piece.end, start + _LARGEST_ENCODED_AT_ONCE)
        if end < piece.end:
            line_end = text.rfind("\n", start, end)
            end = line_end + 1 if line_end > start else end
        yield start, end
        start = end


def _map(path: Path, dtype: npt.DTypeLike, count: int) -> npt.NDArray[np.generic]:
    if path.stat().st_size != np.dtype(dtype).itemsize * count:
        raise CorruptArtefactError("artefact_unreadable", path=path)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", shape=(count,))).view(np.ndarray)
