"""Which tokens of a task's examples are learned and measured: those of the targets.

Where the sign between source and target lies is found in the tokens themselves. A document without
one is text like any other, and counts as a whole.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memlm.prepare import TokenStore
from memlm.records import Split
from memlm.tasks import MARK
from memlm.train.stretches import Integers

MOST_LABELS = 1000
"""So many different targets are labels; more are texts."""
_NEARLY_EVERY = 0.995
_READ_AT_ONCE = 1 << 22  # tokens


@dataclass(frozen=True)
class Answers:
    """Of each unit of one split: where its target begins, and how much text that is."""

    first: Integers
    """Place in the store of the first token that counts; the unit's end where none does."""
    characters: npt.NDArray[np.float64]
    bytes: npt.NDArray[np.float64]
    unknown_bytes: npt.NDArray[np.float64]

    def sizes(self, number: int) -> dict[str, float]:
        """Return how much of a unit's text counts, by the names that units have for it."""
        return {
            "characters": float(self.characters[number]),
            "bytes": float(self.bytes[number]),
            "unknown_bytes": float(self.unknown_bytes[number]),
        }

    def tokens(self, units: npt.NDArray[np.void]) -> int:
        """Return how many tokens of these units count."""
        return int((units["token_end"] - self.first).sum())


def example_tokens(store: TokenStore) -> int | None:
    """Return how many tokens nearly every learned example has at most; None without examples."""
    if find_answers(store, "train") is None:
        return None
    units = store.units_of("train")
    return int(np.quantile(units["token_end"] - units["token_start"], _NEARLY_EVERY))


def find_answers(store: TokenStore, split: Split) -> Answers | None:
    """Return where the targets of a split's units begin; None where no text has the sign."""
    ends = _ends_of_marks(store)
    if not len(ends):
        return None
    units = store.units_of(split)
    starts, stops = (units[name].astype(np.int64) for name in ("token_start", "token_end"))
    following = np.append(ends, np.iinfo(np.int64).max)[np.searchsorted(ends, starts, side="right")]
    first = np.where(following <= stops, following, starts)
    # A long example may be in several units: before the sign nothing counts, behind it all does.
    marked = np.searchsorted(store.units["token_start"], ends, side="left") - 1
    mark_of = dict(zip(store.units["document"][marked].tolist(), ends.tolist(), strict=True))
    marks = np.array([mark_of.get(number, -1) for number in units["document"].tolist()], np.int64)
    first = np.where(marks > stops, stops, first)
    return Answers(first, *_sizes(store, units, first))


def _ends_of_marks(store: TokenStore) -> Integers:
    """Return the places in the store right behind each sign."""
    sign = store.tokenizer.encode(MARK).ids.astype(np.int64)
    if not len(sign) or store.tokenizer.unknown in sign:
        return np.zeros(0, dtype=np.int64)
    found = []
    for start in range(0, len(store.tokens), _READ_AT_ONCE):
        block = np.asarray(store.tokens[start : start + _READ_AT_ONCE + len(sign) - 1])
        places = np.arange(max(0, len(block) - len(sign) + 1))
        for number, token in enumerate(sign.tolist()):
            places = places[block[places + number] == token]
        found.append(places + start + len(sign))
    return np.concatenate(found).astype(np.int64) if found else np.zeros(0, dtype=np.int64)


def _sizes(
    store: TokenStore, units: npt.NDArray[np.void], first: Integers
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the characters, the bytes, and the bytes of unknown symbols of what counts.

    Bytes are counted by the share of the tokens' own.
    """
    width = np.fromiter(map(len, store.tokenizer.pieces()), dtype=np.int64)
    characters, sizes, unknown = (np.zeros(len(units)) for _ in range(3))
    for number, (unit, begin) in enumerate(zip(units, first.tolist(), strict=True)):
        start, stop = int(unit["token_start"]), int(unit["token_end"])
        if begin >= stop:
            continue
        if begin == start:
            characters[number], sizes[number] = unit["characters"], unit["bytes"]
            unknown[number] = unit["unknown_bytes"]
            continue
        tokens = np.asarray(store.tokens[start:stop])
        characters[number] = int(unit["text_end"]) - int(store.offsets[begin])
        of_tokens = width[tokens]
        share = of_tokens[begin - start :].sum() / max(1, of_tokens.sum())
        sizes[number] = share * int(unit["bytes"])
        is_unknown = tokens == store.tokenizer.unknown
        share = is_unknown[begin - start :].sum() / max(1, is_unknown.sum())
        unknown[number] = share * int(unit["unknown_bytes"])
    return characters, sizes, unknown


def count_targets(store: TokenStore, *, most: int) -> dict[str, int] | None:
    """Return how often each target stands in the learned examples; None if over `most` differ."""
    answers, counts = find_answers(store, "train"), Counter[str]()
    if answers is None:
        return {}
    specials = {store.tokenizer.end, *store.tokenizer.labels.values()}
    for unit, begin in zip(store.units_of("train"), answers.first.tolist(), strict=True):
        ids = store.tokens[begin : int(unit["token_end"])].tolist()
        if begin == int(unit["token_start"]) or not ids:
            continue
        counts[store.tokenizer.decode(token for token in ids if token not in specials)] += 1
        if len(counts) > most:
            return None
    return dict(sorted(counts.items()))
