"""A memory that predicts: exact counts of what was read, as a language model without training.

    contexts.py   what followed each context of a text, in the documents
    session.py    the same of the text itself, where it may learn while it reads
    smoothing.py  counts of all orders as one distribution over the whole vocabulary

The state is the last few tokens, and the session. Everything that is asked is exact: the same
documents give the same distribution, in whatever order they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from memlm.language_model import LogProbabilities, Tokens
from memlm.memory.contexts import Contexts, Followers, Ints, SuffixArrays
from memlm.memory.session import Session
from memlm.memory.smoothing import Evidence, Floats, Mixture, Smoothing, mix
from memlm.memory.stepping import LARGEST, Stepper
from memlm.runtime import KeptLoops

_MOST_VALUES = 1 << 22
_LONGEST_BLOCK = 512
_WORTH_LOADING, _WORTH_COMPILING = 1 << 9, 1 << 11
"""Single steps without compiled loops that cost as much time as loading them, and as compiling."""


@dataclass(frozen=True)
class _Row:
    """What is carried for one text; nothing in it is ever changed."""

    tail: Ints
    """The tokens that contexts may still reach back to, and one more."""
    ranges: tuple[Ints, Ints]
    """Intervals (S, longest + 1) of the contexts that end with the last token."""
    session: Session | None = None
    read: int = 0
    """Tokens of the session that are this row's own."""


CountsState = tuple[_Row, ...]


@dataclass(frozen=True)
class _Told:
    """What the documents say of some positions."""

    followers: Followers
    counts: Floats
    """What each of the followers counts."""
    occurrences: Floats


class CountsModel:
    """Counts in some segments, as a `LanguageModel`.

    With `is_adaptive` it also counts what it reads, each token after it was predicted.
    """

    def __init__(
        self,
        segments: Sequence[SuffixArrays],
        smoothing: Smoothing,
        *,
        vocabulary_size: int,
        is_adaptive: bool = False,
    ) -> None:
        self.smoothing = smoothing
        self.is_adaptive = is_adaptive
        self._vocabulary_size, self._segments = vocabulary_size, list(segments)
        self._contexts = Contexts(segments, vocabulary_size=vocabulary_size)
        self._orders = np.asarray(smoothing.orders)
        self._longest = max(smoothing.orders)
        self._loops = KeptLoops(
            "memlm.memory.kernels", "mix_above", loading=_WORTH_LOADING, compiling=_WORTH_COMPILING
        )

    @property
    def vocabulary_size(self) -> int:
        return self._vocabulary_size

    def adaptive(self) -> CountsModel:
        """Return the same memory, which counts what it reads; they share what was looked up."""
        found = CountsModel((), self.smoothing, vocabulary_size=self._vocabulary_size)
        found.is_adaptive, found._contexts = True, self._contexts
        return found

    def start(self, batch: int) -> CountsState:
        session = Session(self.smoothing.orders) if self.is_adaptive else None
        ranges = self._contexts.start(self._longest)
        return (_Row(np.empty(0, dtype=np.int64), ranges, session),) * batch

    def continued(self, state: CountsState) -> CountsState:
        """Return the state of a text that goes on from another's, of which nothing was counted."""
        fresh = self.start(1)[0].session
        return tuple(_Row(row.tail, row.ranges, fresh) for row in state)

    def read(self, state: CountsState, tokens: Tokens) -> tuple[LogProbabilities, CountsState]:
        read = [self._read_row(row, line) for row, line in zip(state, tokens, strict=True)]
        return np.stack([found for found, _ in read]), tuple(row for _, row in read)

    def advance(self, state: CountsState, tokens: Tokens) -> tuple[LogProbabilities, CountsState]:
        stepper = self._stepper
        if stepper is not None and all(self._is_long(row) for row in state):
            told = np.empty((len(state), self._vocabulary_size), dtype=np.float32)
            rows = [
                self._step(stepper, row, token, told, place)
                for place, (row, token) in enumerate(zip(state, tokens.tolist(), strict=True))
            ]
            return told, tuple(rows)
        if stepper is None and not self.is_adaptive:
            self.expect(len(state))
        found, after = self.read(state, np.asarray(tokens)[:, None])
        return found[:, 0], after

    def expect(self, steps: int) -> None:
        """Hear that so many single steps will come, or came: what is fast is worth it or not."""
        if self._loops.spend(steps):
            vars(self).pop("_stepper", None)

    def _is_long(self, row: _Row) -> bool:
        """Say whether a text is so long that its contexts of the longest order are whole."""
        return len(row.tail) >= self._longest

    @cached_property
    def _stepper(self) -> Stepper | None:
        """What steps fast; None where that cannot be done, or would first have to be compiled."""
        total = sum(len(segment.suffixes) for segment in self._segments)
        if self.is_adaptive or not 0 < total <= LARGEST:
            return None
        loops = self._loops.take()
        if loops is None:
            return None
        return Stepper(
            loops,
            self._segments,
            self.smoothing,
            vocabulary_size=self._vocabulary_size,
            common=self._distribution_up_to,
        )

    def _step(
        self, stepper: Stepper, row: _Row, token: int, told: LogProbabilities, place: int
    ) -> _Row:
        """Return the row after one more token; what comes next is written to `told` (B, V)."""
        found, lows, highs, tail = stepper.step(*row.ranges, row.tail, token)
        told[place] = np.log(found)
        return _Row(tail, (lows, highs))

    def _distribution_up_to(self, place: int, lows: Ints, highs: Ints) -> Floats:
        """Return the distribution (V,) of the orders up to one, of intervals (S, O)."""
        lows, highs = lows[:, : place + 1], highs[:, : place + 1]
        followers = self._contexts.followers(self._orders[: place + 1], lows, highs)
        is_longest = place == len(self._orders) - 1
        counts = np.where(
            np.repeat(np.arange(place + 1) == place, np.diff(followers.starts)) & is_longest,
            followers.counts,
            followers.varieties,
        ).astype(np.float64)
        occurrences = (highs - lows).sum(axis=0).astype(np.float64)
        evidence = Evidence(followers.starts, followers.tokens, counts, occurrences)
        mixture = mix(evidence, self.smoothing.up_to(place))
        return np.asarray(probabilities(evidence, mixture, self._vocabulary_size)[0])

    def select(self, state: CountsState, rows: Tokens) -> CountsState:
        return tuple(state[int(row)] for row in rows)

    def evidence(self, state: CountsState, tokens: Tokens) -> tuple[Evidence, CountsState]:
        """Return what followed the contexts after each of some tokens (T,) of one text."""
        (row,) = state
        evidence, after = self._evidence(row, np.asarray(tokens, dtype=np.int64))
        return evidence, (after,)

    def _read_row(self, row: _Row, tokens: Tokens) -> tuple[LogProbabilities, _Row]:
        values = np.asarray(tokens, dtype=np.int64)
        block = max(1, min(_LONGEST_BLOCK, _MOST_VALUES // self._vocabulary_size))
        found = []
        for start in range(0, len(values), block):
            evidence, row = self._evidence(row, values[start : start + block])
            found.append(self._log_probabilities(evidence))
        return np.concatenate(found), row

    def _log_probabilities(self, evidence: Evidence) -> LogProbabilities:
        found = probabilities(evidence, mix(evidence, self.smoothing), self._vocabulary_size)
        return np.log(found).astype(np.float32)

    def _evidence(self, row: _Row, tokens: Ints) -> tuple[Evidence, _Row]:
        """Return what followed the contexts after each of the tokens, and the row behind them."""
        # The last position before them is asked again: what is new after it is counted now.
        stream = np.concatenate([row.tail, tokens])
        known = len(stream) - len(tokens)
        first = max(0, known - 1) if row.session is not None else known
        lows, highs = self._contexts.follow(tokens, *row.ranges)
        if first < known:
            before = (ends[:, None] for ends in row.ranges)
            lows, highs = map(np.hstack, zip(before, (lows, highs), strict=True))
        ranges = (lows[:, -1].copy(), highs[:, -1].copy()) if len(stream) > first else row.ranges
        lengths = np.arange(first, len(stream)) + 1
        followers, occurrences = self._followers(lows, highs, lengths)
        tail = stream[max(0, len(stream) - self._longest - 1) :]
        if row.session is None:
            counts = self._counts_of(followers, lengths)
            evidence = Evidence(followers.starts, followers.tokens, counts, occurrences)
            return evidence, _Row(tail, ranges)
        session = row.session.at(row.read).shortened()
        counts = self._counts_of(followers, lengths)
        told = _Told(followers, counts, occurrences)
        evidence = self._with_session(session, told, tokens, known - first)
        return evidence, _Row(tail, ranges, session, len(session))

    def _followers(self, lows: Ints, highs: Ints, lengths: Ints) -> tuple[Followers, Floats]:
        """Return what followed each context of some positions, and how often they occur.

        `lows` and `highs` are (S, T, longest + 1); `lengths` (T,) says how many tokens there are.
        """
        lows, highs = (ends[:, :, self._orders] for ends in (lows, highs))
        # A context of an order that is longer than what was read is none.
        is_none = self._orders > lengths[:, None]
        lows[:, is_none] = highs[:, is_none] = 0
        size = len(lengths) * len(self._orders)
        flat = (lows.reshape(len(lows), size), highs.reshape(len(highs), size))
        followers = self._contexts.followers(np.tile(self._orders, len(lengths)), *flat)
        return followers, (flat[1] - flat[0]).sum(axis=0).astype(np.float64)

    def _counts_of(self, followers: Followers, lengths: Ints) -> Floats:
        """Return what each follower counts: its count at the longest order, else its variety.

        The longest is that of as many tokens as there are: `lengths` (T,) says how many.
        """
        longest = np.searchsorted(self._orders, lengths, side="right") - 1
        is_longest = (np.arange(len(self._orders)) == longest[:, None]).ravel()
        by_count = np.repeat(is_longest, np.diff(followers.starts))
        return np.where(by_count, followers.counts, followers.varieties).astype(np.float64)

    def _with_session(
        self,
        session: Session,
        told: _Told,
        tokens: Ints,
        skipped: int,
    ) -> Evidence:
        """Return the evidence of documents and session together, which counts the tokens.

        `skipped` is 1 where the first position that is told of is that before the tokens, else 0.
        """
        num_orders, followers, starts = len(self._orders), told.followers, told.followers.starts
        owners: list[int] = []
        extra: list[int] = []
        extra_counts: list[int] = []
        for number, token in enumerate(tokens.tolist()):
            before = number - 1 + skipped
            session.add(token, self._is_known(followers, before, token))
            base = (number + skipped) * num_orders
            for place, followed in enumerate(session.followers()):
                if followed is None:
                    continue
                found = followed if isinstance(followed, dict) else {followed: 1}
                owners += [base + place] * len(found)
                extra += found.keys()
                extra_counts += found.values()
        first = skipped * num_orders
        owned = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        return _merged(
            np.concatenate([owned, np.array(owners, dtype=np.int64)]) - first,
            np.concatenate([followers.tokens, np.array(extra, dtype=np.int64)]),
            np.concatenate([told.counts, np.array(extra_counts, dtype=np.float64)]),
            told.occurrences[first:],
            self._vocabulary_size,
        )

    def _is_known(self, followers: Followers, position: int, token: int) -> npt.NDArray[np.bool_]:
        """Say for each order whether the documents have the token after the context there."""
        num_orders = len(self._orders)
        if position < 0:
            return np.zeros(num_orders, dtype=np.bool_)
        edges = followers.starts[position * num_orders : (position + 1) * num_orders + 1]
        hits = np.flatnonzero(followers.tokens[edges[0] : edges[-1]] == token) + edges[0]
        known = np.zeros(num_orders, dtype=np.bool_)
        known[np.searchsorted(edges, hits, side="right") - 1] = True
        return known


def probabilities(evidence: Evidence, mixture: Mixture, vocabulary_size: int) -> Floats:
    """Return the distribution over the whole vocabulary at each position, (T, V)."""
    positions, num = mixture.shares.shape
    contexts = np.repeat(np.arange(len(evidence.starts) - 1), np.diff(evidence.starts))
    shares = mixture.shares[:, 1:].ravel()[contexts]
    places = contexts // (num - 1) * vocabulary_size + evidence.tokens
    said = np.bincount(places, shares * mixture.entries, minlength=positions * vocabulary_size)
    found = said.reshape(positions, vocabulary_size) + mixture.shares[:, :1] / vocabulary_size
    # Where rounding leaves a hair, it goes to all alike.
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _merged(
    owners: Ints, tokens: Ints, counts: Floats, occurrences: Floats, vocabulary_size: int
) -> Evidence:
    """Return evidence with one entry for each context and token; contexts below 0 are left out."""
    holds = owners >= 0
    keys, inverse = np.unique(owners[holds] * vocabulary_size + tokens[holds], return_inverse=True)
    summed = np.bincount(inverse, counts[holds], minlength=len(keys)).astype(np.float64)
    edges = np.arange(len(occurrences) + 1) * vocabulary_size
    return Evidence(np.searchsorted(keys, edges), keys % vocabulary_size, summed, occurrences)
