"""Where the words of a text come from: recited, recombined, new.

Every maximal span of the text that occurs in the documents is weighed against chance: the
occurrences to expect in as many characters, if they were drawn from an order-3 character model of
the same documents,

    E(span) = N * prod_i p(c_i | c_(i-3) c_(i-2) c_(i-1)),
    p_k(c | u) = (count(uc) + M p_(k-1)(c | u')) / (count(u) + M)       (MacKay and Peto 1995)

*recited*: E < 0.01 and at least 24 characters, a hanzi counting as two; *recombined*: E < 1;
*new*: everything else. A match is evidence, not cause.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from memlm.index import SuffixIndex, ending_counts, maximal_matches, places_of
from memlm.memory.folding import code_points, fold_text, in_order
from memlm.records import Fold, Span, SpanKind, SpanSource, Trace

RECITED_EXPECTATION = 0.01
RECITED_LENGTH = 24
RECOMBINED_EXPECTATION = 1.0
ORDER = 3
_PRIOR = 4.0  # M: how many observations the next lower order is worth

Place = tuple[str, int, int]
"""A document's id, and code points of it, end not included."""
Unfold = Callable[[Sequence[Place]], list[Place]]


@dataclass(frozen=True)
class _Found:
    """A span of a folded text, weighed."""

    start: int
    end: int
    kind: SpanKind
    expected: float


def trace_spans(
    index: SuffixIndex,
    text: str,
    *,
    source_of: Callable[[str], str],
    sources_per_span: int = 5,
    folds: Collection[Fold] = (),
    unfold: Unfold = list,
) -> Trace:
    """Trace `text`: its recited and recombined spans, each with its sources, and the three shares.

    `source_of` names a document for people. Offsets are code points of `text` as it is given. With
    `folds` the index must hold documents that were folded alike (`memory/folding.py`), and `unfold`
    says where places of them lie in the documents as they were collected.
    """
    folded = fold_text(text, folds)
    spans = []
    for one, count, places in _found_places(index, folded.text, sources_per_span, unfold):
        start, end = folded.unfold(one.start, one.end)
        spans.append(
            Span(
                start=start,
                end=end,
                text=text[start:end],
                kind=one.kind,
                count=count,
                expected_by_chance=one.expected,
                sources=tuple(
                    SpanSource(document_id=name, source=source_of(name), start=begin, end=stop)
                    for name, begin, stop in places
                ),
            )
        )
    recited, recombined = shares_of(spans, len(text))
    return Trace(
        text=text,
        characters=len(text),
        recited_share=recited,
        recombined_share=recombined,
        new_share=max(0.0, 1.0 - recited - recombined),
        spans=tuple(spans),
        folded=in_order(folds),
    )


def shares_of(spans: Sequence[Span], characters: int) -> tuple[float, float]:
    """Return the shares of characters that are recited and recombined; the stronger kind counts."""
    is_recited, is_found = np.zeros(characters, dtype=bool), np.zeros(characters, dtype=bool)
    for span in spans:
        is_found[span.start : span.end] = True
        if span.kind == "recited":
            is_recited[span.start : span.end] = True
    if not characters:
        return 0.0, 0.0
    return float(is_recited.mean()), float((is_found & ~is_recited).mean())


def _found_places(
    index: SuffixIndex, text: str, limit: int, unfold: Unfold
) -> Iterator[tuple[_Found, int, list[Place]]]:
    """Yield each span of a folded text with its count and where in the documents it lies."""
    found = _weighed(index, text)
    asked = places_of(index, text, [(one.start, one.end) for one in found], limit=limit)
    places = [
        (identity, offset, offset + one.end - one.start)
        for one, (_, own) in zip(found, asked, strict=True)
        for identity, offset in own
    ]
    unfolded = iter(unfold(places))  # all at once: each document is read for many spans
    for one, (count, own) in zip(found, asked, strict=True):
        yield one, count, list(islice(unfolded, len(own)))


def _weighed(index: SuffixIndex, text: str) -> list[_Found]:
    """Return the maximal spans of a folded text that chance does not explain."""
    matches = [(match.start, match.end) for match in maximal_matches(index, text)]
    if not matches:
        return []
    starts, ends = np.array(matches).T
    codes = code_points(text)
    lengths = np.concatenate([[0], np.cumsum(1 + _is_hanzi(codes))])
    expected = _expected(index, text, starts, ends).tolist()
    widths = (lengths[ends] - lengths[starts]).tolist()
    return [
        _Found(start, end, kind, chance)
        for (start, end), width, chance in zip(matches, widths, expected, strict=True)
        if (kind := _kind(chance, width)) != "new"
    ]


def _kind(expected: float, width: int) -> SpanKind:
    if expected < RECITED_EXPECTATION and width >= RECITED_LENGTH:
        return "recited"
    return "recombined" if expected < RECOMBINED_EXPECTATION else "new"


def _is_hanzi(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Say which code points are hanzi (or kana), that say about as much as two letters."""
    return (
        ((codes >= 0x3040) & (codes <= 0x9FFF))
        | ((codes >= 0xF900) & (codes <= 0xFAFF))
        | (codes >= 0x20000)
    )


def _expected(
    index: SuffixIndex, text: str, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return the occurrences of each stretch [start, end) that chance alone would bring."""
    log_p = _log_probabilities(index, text)
    total = np.full(len(starts), math.log(max(1, index.characters)))
    for order in range(ORDER):  # the first characters have fewer before them
        place = np.minimum(starts + order, len(text) - 1)
        total += np.where(starts + order < ends, log_p[order][place], 0.0)
    sums = np.concatenate([[0.0], np.cumsum(log_p[ORDER])])
    total += sums[ends] - sums[np.minimum(starts + ORDER, ends)]
    return np.asarray(np.exp(np.minimum(total, 700.0)))


def _log_probabilities(index: SuffixIndex, text: str) -> npt.NDArray[np.float64]:
    """Return (ORDER + 1, T): log p of each character given the k before it, in row k.

    Given fewer where there are fewer. Each order is built on the one below it.
    """
    joint = ending_counts(index, text, longest=ORDER + 1)
    seen = np.full(len(text), index.characters, dtype=np.int64)
    probability = np.full(len(text), 1.0 / (index.num_symbols + 1))
    result = np.empty((ORDER + 1, len(text)))
    for order in range(ORDER + 1):
        estimated = (joint[order] + _PRIOR * probability) / (seen + _PRIOR)
        probability = np.where(np.arange(len(text)) >= order, estimated, probability)
        result[order] = probability
        seen = np.concatenate([[0], joint[order][:-1]])
    return np.asarray(np.log(result))
