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
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from memlm.index import SuffixIndex, maximal_matches
from memlm.records import Span, SpanKind, SpanSource, Trace

RECITED_EXPECTATION = 0.01
RECITED_LENGTH = 24
RECOMBINED_EXPECTATION = 1.0
ORDER = 3
_PRIOR = 4.0  # M: how many observations the next lower order is worth


def trace_spans(
    index: SuffixIndex,
    text: str,
    *,
    source_of: Callable[[str], str],
    sources_per_span: int = 5,
) -> Trace:
    """Trace `text`: its recited and recombined spans, each with its sources, and the three shares.

    `source_of` names a document for people. Offsets are code points of `text` as it is given.
    """
    surprise = _Chance(index, text)
    lengths = np.concatenate([[0], np.cumsum([_width(character) for character in text])])
    kinds = np.zeros(len(text), dtype=np.int8)  # 0 new, 1 recombined, 2 recited
    spans = []
    for match in maximal_matches(index, text):
        expected = surprise.expected(match.start, match.end)
        width = lengths[match.end] - lengths[match.start]
        kind = _kind(expected, int(width))
        if kind == "new":
            continue
        rank = 2 if kind == "recited" else 1
        kinds[match.start : match.end] = np.maximum(kinds[match.start : match.end], rank)
        words = text[match.start : match.end]
        count, places = index.places(words, limit=sources_per_span)
        spans.append(
            Span(
                start=match.start,
                end=match.end,
                text=words,
                kind=kind,
                count=count,
                expected_by_chance=expected,
                sources=tuple(
                    SpanSource(
                        document_id=identity,
                        source=source_of(identity),
                        start=offset,
                        end=offset + len(words),
                    )
                    for identity, offset in places
                ),
            )
        )
    recited, recombined = (float(np.mean(kinds == rank)) if text else 0.0 for rank in (2, 1))
    return Trace(
        text=text,
        characters=len(text),
        recited_share=recited,
        recombined_share=recombined,
        new_share=max(0.0, 1.0 - recited - recombined),
        spans=tuple(spans),
    )


def _kind(expected: float, width: int) -> SpanKind:
    if expected < RECITED_EXPECTATION and width >= RECITED_LENGTH:
        return "recited"
    return "recombined" if expected < RECOMBINED_EXPECTATION else "new"


def _width(character: str) -> int:
    """Return 2 for a hanzi (or kana), which says about as much as two letters."""
    code = ord(character)
    return 2 if 0x3040 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or code >= 0x20000 else 1


class _Chance:
    """Occurrences of each stretch of one text that chance alone would bring."""

    def __init__(self, index: SuffixIndex, text: str) -> None:
        self._log_size = math.log(max(1, index.characters))
        self._log_p = _log_probabilities(index, text)
        self._sums = np.concatenate([[0.0], np.cumsum(self._log_p[ORDER])])

    def expected(self, start: int, end: int) -> float:
        """Return the expectation for the code points [start, end)."""
        total = self._log_size
        for order in range(min(ORDER, end - start)):
            total += self._log_p[order][start + order]
        if end - start > ORDER:
            total += self._sums[end] - self._sums[start + ORDER]
        return math.exp(min(total, 700.0))


def _log_probabilities(index: SuffixIndex, text: str) -> npt.NDArray[np.float64]:
    """Return log p of each character given the k before it, in row k; fewer where there are fewer.

    Each order is built on the one below it, so that one pass gives all of them.
    """
    result = np.empty((ORDER + 1, len(text)))
    uniform = 1.0 / (index.num_symbols + 1)
    for position, character in enumerate(text):
        probability = uniform
        for order in range(min(ORDER, position) + 1):
            context = text[position - order : position]
            seen = index.count_cached(context) if context else index.characters
            joint = index.count_cached(context + character)
            probability = (joint + _PRIOR * probability) / (seen + _PRIOR)
            result[order, position] = probability
        result[order + 1 :, position] = probability
    return np.log(result)
