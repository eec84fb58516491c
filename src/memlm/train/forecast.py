"""What a training will come to, said before it starts, from laws fitted to our own trainings.

    L = s (E + k (A n^-a + B d^-b + C r^-c))                       nats per character

with n parameters between embedding and output, d characters of text that are read at least once,
and r characters read, all in millions (Hoffmann et al. 2022 have N and D; on small texts that are
read many times the two meanings of D part). k belongs to the kind of network, and s tells how hard
the text is beside the book that the law was fitted on: the ratio of what counts of pairs and
triples, learned from 20,000 characters, cost on each (interpolated as by Witten and Bell 1991).

`laws.json` has the numbers; `benchmarks/scaling.py` measures and fits them, for texts of few
symbols (English) and of many (Chinese).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from memlm.models.config import NetworkConfig
from memlm.prepare import TokenStore
from memlm.train.batches import TokenStream
from memlm.train.measured import measured, text_kind
from memlm.train.plan import DataFacts

_ROWS, _LEARNED, _CHECKED = 20, 1_000, 200  # of the sample that tells how hard a text is
_ORDER = 2  # tokens of context
_MILLION = 1e6
_FEWEST_READ = 80_000  # characters: the shortest runs behind the laws; below, they tell nonsense
_ENDS = 0.05  # ends of documents, as a share of the characters
_MORE = 10  # times the text, times the time: what else is told


@dataclass(frozen=True, kw_only=True)
class Law:
    """A fitted law for one kind of text. Sizes in millions, losses in nats per character."""

    floor: float
    """E."""
    size: tuple[float, float]
    """A and a."""
    text: tuple[float, float]
    """B and b."""
    reading: tuple[float, float]
    """C and c."""
    networks: Mapping[str, float]
    """k of each kind of network that was measured."""
    counted_nats: float
    """What counts cost on the text that the law was fitted on."""
    error: float
    """Relative root mean square over texts that are not in the fit, or runs left out of it."""

    def nats(self, kind: str, *, size: float, text: float, reading: float) -> float:
        """Return the loss on a text as hard as that of the law, sizes in single units."""
        parts = ((self.size, size), (self.text, min(text, reading)), (self.reading, reading))
        falling = sum(factor * (value / _MILLION) ** -power for (factor, power), value in parts)
        return self.floor + self.networks[kind] * falling


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Expected losses on held-out text, in nats per character."""

    nats: float
    low: float
    high: float
    """Two errors of the law to either side."""
    more_text: float
    """With ten times the text in the same time."""
    more_time: float
    """With ten times the time on the same text."""


def forecast_loss(
    store: TokenStore,
    facts: DataFacts,
    network: NetworkConfig,
    *,
    tokens_read: Callable[[], float],
) -> Forecast | None:
    """Return what to expect of a training that reads so many tokens; None if nobody knows.

    Measured were texts of at least 24,000 characters, each of them a token, without labels, the
    networks that the laws name, and trainings that read at least 80,000 characters.
    """
    law = laws()[text_kind(facts.vocabulary_size)]
    is_measured = (
        abs(facts.train_tokens - facts.train_characters) < _ENDS * facts.train_characters
        and network.kind in law.networks
        and not facts.label_tokens
        and facts.train_tokens >= _ROWS * (_LEARNED + _CHECKED + 1)
    )
    if not is_measured:
        return None
    reading = tokens_read() * facts.train_characters / facts.train_tokens
    if reading < _FEWEST_READ:
        return None
    hardness = counted_nats(store, facts.vocabulary_size) / law.counted_nats
    size, text = block_parameters(network), facts.train_characters
    most = math.log(facts.vocabulary_size)  # of who has learned nothing: all are equally likely

    def expected(*, text: float = text, reading: float = reading) -> float:
        nats = hardness * law.nats(network.kind, size=size, text=text, reading=reading)
        return min(nats, most)

    nats = expected()
    return Forecast(
        nats=nats,
        low=nats * (1 - 2 * law.error),
        high=min(nats * (1 + 2 * law.error), most),
        more_text=expected(text=_MORE * text),
        more_time=expected(reading=_MORE * reading),
    )


def counted_nats(store: TokenStore, vocabulary_size: int) -> float:
    """Return what tokens cost in nats if they are predicted by counts from a sample of the text."""
    stream = TokenStream(
        store.tokens,
        store.units_of("train"),
        batch_size=_ROWS,
        sequence_length=_LEARNED + _CHECKED,
        seed=0,
    )
    rows = stream.batch(0).inputs  # (20, 1,200), from places all over the text
    return witten_bell_nats(rows[:, :_LEARNED], rows[:, _LEARNED:], vocabulary_size)


def witten_bell_nats(
    learned: npt.NDArray[np.int64], checked: npt.NDArray[np.int64], vocabulary_size: int
) -> float:
    """Return the mean nats of the tokens of `checked` (R, T) by counts from `learned` (R, S).

    p(w | c) = (n(c w) + t(c) p(w | shorter c)) / (n(c) + t(c)), t(c) being how many different
    tokens followed c; below the empty context all tokens are equally likely.
    """
    followers: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for row in learned.tolist():
        for place, token in enumerate(row):
            for length in range(min(place, _ORDER) + 1):
                followers[tuple(row[place - length : place])][token] += 1
    totals = {context: counts.total() for context, counts in followers.items()}
    nats = []
    for row in checked.tolist():
        for place, token in enumerate(row):
            probability = 1 / vocabulary_size
            for length in range(min(place, _ORDER) + 1):
                context = tuple(row[place - length : place])
                if context not in totals:
                    break
                counts = followers[context]
                kinds = len(counts)
                probability = (counts[token] + kinds * probability) / (totals[context] + kinds)
            nats.append(-math.log(probability))
    return sum(nats) / len(nats)


def block_parameters(network: NetworkConfig) -> int:
    """Return the parameters between the embedding and the output."""
    width = network.blocks[0].width if network.has_entrance else network.input_width
    total = 0
    for block in network.blocks:
        total += block.num_parameters(width)
        width = block.width
    return total


@cache
def laws() -> dict[str, Law]:
    """Return the laws by the kind of text."""
    found = measured()["laws"]
    return {
        text: Law(**law | {name: tuple(law[name]) for name in ("size", "text", "reading")})
        for text, law in found.items()
    }
