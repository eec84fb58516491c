"""What does a vocabulary still know of documents that were erased? Such entries are made blank.

A word that one document alone had stands in the list of words, a letter in that of letters, a name
in the merges of a BPE. The entry is taken out and its id is kept, so that the tokens of all other
documents stay what they are, and a model that knows them by number still does.

A BPE needs care: `Za` may be no token of any text and still be on the way to one. A piece stays if
a token that is in use is made of it, by any merge, and every merge of pieces that stay is kept in
its place. So no merge goes that was ever taken on the way to a token in use, and each text that is
left is cut as before. Single bytes always stay: they are no text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.language_model import Tokenizer
from memlm.prepare.foreign_tokenizer import KIND as FOREIGN
from memlm.prepare.tokenizer import BLANK_PIECE

Mask = npt.NDArray[np.bool_]
Json = dict[str, Any]  # Any: JSON
_TOKENS_AT_ONCE = 1 << 20
_ENCODED_AT_ONCE = 1 << 20  # code points
_WITHOUT_UNKNOWN = ("byte", "bpe")


@dataclass(frozen=True)
class Entries:
    """Some entries of a vocabulary, by what they say."""

    labels: frozenset[str]
    symbols: frozenset[str]

    def __sub__(self, other: Entries) -> Entries:
        return Entries(self.labels - other.labels, self.symbols - other.symbols)

    def __bool__(self) -> bool:
        return bool(self.labels or self.symbols)


def tokens_in_file(path: Path, dtype: npt.DTypeLike, vocabulary_size: int) -> Mask:
    """Return which token ids (V,) occur in a file of tokens, read in blocks."""
    found = np.zeros(vocabulary_size, dtype=bool)
    with path.open("rb") as file:
        while len(tokens := np.fromfile(file, dtype=dtype, count=_TOKENS_AT_ONCE)):
            found[np.unique(tokens)] = True
    return found


def tokens_in_texts(tokenizer: Tokenizer, texts: Iterable[tuple[str, str | None]]) -> Mask:
    """Return which token ids (V,) occur in texts, each given with its label."""
    found = np.zeros(tokenizer.vocabulary_size, dtype=bool)
    for text, label in texts:
        if label is not None and label in tokenizer.labels:
            found[tokenizer.labels[label]] = True
        for start in range(0, len(text), _ENCODED_AT_ONCE):
            found[np.unique(tokenizer.encode(text[start : start + _ENCODED_AT_ONCE]).ids)] = True
    return found


def entries_of(described: Json, used: Mask | None = None) -> Entries:
    """Return the entries of a tokenizer that the tokens in `used` (V,) need; all that can be blank
    if that is None.

    `described` is what its `tokenizer.json` says. That of somebody else's model was learned from
    other texts: none of it is of the documents.
    """
    if described["kind"] == FOREIGN:
        return Entries(frozenset(), frozenset())
    labels, first = described["labels"], _first_symbol(described)
    needed = {
        label
        for token, label in enumerate(labels, start=first - len(labels))
        if label is not None and (used is None or used[token])
    }
    symbols = {text for text, rank in _ranks(described) if used is None or used[first + rank]}
    if described["kind"] == "bpe":
        symbols = _with_parts(symbols, described["symbols"]["model"]["merges"])
        symbols -= {piece for piece in symbols if len(piece) == 1}
        symbols -= {added["content"] for added in described["symbols"].get("added_tokens") or ()}
    return Entries(frozenset(needed), frozenset(symbols))


def blanked(described: Json, gone: Entries) -> Json:
    """Return what `tokenizer.json` says once these entries are blank; ids are kept."""
    if described["kind"] == FOREIGN:
        return described
    labels = [None if label in gone.labels else label for label in described["labels"]]
    symbols = described["symbols"]
    if described["kind"] == "bpe":
        symbols = _blanked_bpe(symbols, gone.symbols)
    elif symbols is not None:
        symbols = [None if symbol in gone.symbols else symbol for symbol in symbols]
    return described | {"labels": labels, "symbols": symbols}


def _first_symbol(described: Json) -> int:
    return 2 - (described["kind"] in _WITHOUT_UNKNOWN) + len(described["labels"])


def _ranks(described: Json) -> Iterator[tuple[str, int]]:
    """Yield what each symbol says and its rank, blank ones left out."""
    if described["kind"] == "bpe":
        for piece, rank in described["symbols"]["model"]["vocab"].items():
            if not piece.startswith(BLANK_PIECE):
                yield piece, rank
        return
    for rank, symbol in enumerate(described["symbols"] or ()):
        if symbol is not None:
            yield symbol, rank


def _with_parts(pieces: set[str], merges: Iterable[str | list[str]]) -> set[str]:
    """Return pieces with all that any merge makes them of, and so on."""
    parts: dict[str, set[str]] = {}
    for merge in merges:
        pair = _pair(merge)
        parts.setdefault("".join(pair), set()).update(pair)
    found, waiting = set(pieces), list(pieces)
    while waiting:
        new = parts.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _blanked_bpe(library: Json, gone: frozenset[str]) -> Json:
    model = library["model"]
    vocabulary = {
        f"{BLANK_PIECE}{rank}" if piece in gone else piece: rank
        for piece, rank in model["vocab"].items()
    }
    merges = [
        merge
        for merge in model["merges"]
        if gone.isdisjoint((*_pair(merge), "".join(_pair(merge))))
    ]
    return library | {"model": model | {"vocab": vocabulary, "merges": merges}}


def _pair(merge: str | list[str]) -> tuple[str, str]:
    """Return the two pieces of a merge, which older files write as one string."""
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second
