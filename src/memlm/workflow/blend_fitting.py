"""What is fitted before a model and its memories predict together: each memory, then the blend.

A memory of states is fitted beside the network alone, as is the smoothing of the counts; then all
are blended. Everything hears held-out text, with memories that have not read it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from memlm.errors import CorruptArtefactError
from memlm.language_model import (
    Companion,
    Hidden,
    LanguageModel,
    LogProbabilities,
    ShowsHidden,
)
from memlm.memory.cache import Cache, CacheConfig
from memlm.memory.counts import CountsModel
from memlm.memory.smoothing import Evidence, Smoothing, usual_smoothing
from memlm.memory.smoothing_fit import fit_smoothing
from memlm.predict.blend import COUNTS, WEIGHTS, Blend
from memlm.storage import MANIFEST
from memlm.workflow.adapting import adapting_predictor
from memlm.workflow.listener import Listener
from memlm.workflow.models import Model
from memlm.workflow.remembering import LEARNED, CountsMemory

if TYPE_CHECKING:  # vectors are loaded by those who have them
    from memlm.memory.vectors import VectorConfig
    from memlm.workflow.recalling import VectorMemory

CACHE = "cache"
VECTORS = "vectors"
_BLOCK = 256
_MOST_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class FittedBlend:
    """What a model is blended with, and how that did on held-out text."""

    blend: Blend
    cache: CacheConfig | None
    vectors: VectorConfig | None
    codec: str | None
    """Names the codec of the states that the vectors were fitted with."""
    smoothing: Smoothing | None
    """Of the counts that it was fitted with."""
    nats_alone: Mapping[str, float]
    nats: float
    tokens: int

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return what `from_json` takes."""
        return {
            "blend": self.blend.to_json(),
            "cache": asdict(self.cache) if self.cache else None,
            "vectors": asdict(self.vectors) if self.vectors else None,
            "codec": self.codec,
            "smoothing": self.smoothing.to_json() if self.smoothing else None,
            "nats_alone": dict(self.nats_alone),
            "nats": self.nats,
            "tokens": self.tokens,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FittedBlend:  # Any: JSON
        """Return the blend that was written as JSON."""
        from memlm.memory.vectors import VectorConfig

        cache, vectors = values["cache"], values["vectors"]
        return cls(
            Blend.from_json(values["blend"]),
            CacheConfig(**cache) if cache else None,
            VectorConfig(**vectors | {"gate": tuple(vectors["gate"])}) if vectors else None,
            values["codec"],
            Smoothing.from_json(smoothing) if (smoothing := values["smoothing"]) else None,
            values["nats_alone"],
            values["nats"],
            values["tokens"],
        )


def fit_parts(
    model: Model,
    memory: CountsMemory,
    memories: Sequence[str],
    streams: list[npt.NDArray[np.int64]],
    *,
    adapt: bool,
    listener: Listener,
) -> FittedBlend:
    """Return how a model and these memories are blended, fitted on text that none has read."""
    from memlm.predict.fit import fit_blend

    network = adapting_predictor(model, listener) if adapt else model.predictor
    experts: dict[str, LanguageModel] = {WEIGHTS: network}
    if COUNTS in memories:
        if memory.smoothing is None:
            fit_memory(memory, streams)
        counts = memory.model(splits=LEARNED)
        experts[COUNTS] = counts.adaptive() if adapt else counts
    heard = _listen(model, streams) if {CACHE, VECTORS} & {*memories} else None
    companions: dict[str, Companion] = {}
    cache = vectors = codec = None
    if heard and CACHE in memories:
        cache = _fit_cache(heard)
        companions |= _cache_of(cache, model)
    if heard and VECTORS in memories:
        states = vectors_of(model, memory, listener)
        vectors, codec = _fit_vectors(heard, states), states.codec_hash
        companions |= _asking(states, vectors, model, excluded=states.held_out)
    found = fit_blend(
        experts,
        streams,
        companions,
        progress=lambda done, total: listener.progress("blend", done, total),
    )
    smoothing = memory.smoothing if COUNTS in memories else None
    return FittedBlend(
        found.blend, cache, vectors, codec, smoothing, found.nats_alone, found.nats, found.tokens
    )


def fit_memory(memory: CountsMemory, streams: Sequence[npt.NDArray[np.int64]]) -> None:
    """Fit the smoothing of a memory on text that it must not have read, and keep it."""
    first = usual_smoothing(memory.store.tokenizer.vocabulary_size)
    counts = memory.model(splits=LEARNED, smoothing=first)

    def told() -> Iterator[tuple[Evidence, npt.NDArray[np.int64]]]:
        width = max(1, min(_BLOCK, _MOST_AT_ONCE // counts.vocabulary_size))
        for stream in streams:
            state = counts.start(1)
            for start in range(0, len(stream) - 1, width):
                wanted = stream[start + 1 : start + 1 + width]
                evidence, state = counts.evidence(state, stream[start : start + len(wanted)])
                yield evidence, wanted

    fitted = fit_smoothing(told(), first)
    memory.keep(fitted.smoothing, tokens=fitted.tokens, nats_per_token=fitted.nats_per_token)


@dataclass(frozen=True)
class _Heard:
    """What a network thought and said of a text."""

    stream: npt.NDArray[np.int64]
    """(N + 1,)"""
    hidden: Hidden
    """(N, D), after each token but the last."""
    told: LogProbabilities
    """(N,), of each token but the first."""


def _listen(model: Model, streams: Sequence[npt.NDArray[np.int64]]) -> _Heard:
    network = _network_of(model)
    stream = np.concatenate(streams)
    state = network.start(1)
    width = max(1, min(_BLOCK, _MOST_AT_ONCE // network.vocabulary_size))
    told, seen = [], []
    for start in range(0, len(stream) - 1, width):
        wanted = stream[start + 1 : start + 1 + width]
        block = stream[None, start : start + len(wanted)]
        found, hidden, state = network.read_hidden(state, block)
        told.append(found[0, np.arange(len(wanted)), wanted])
        seen.append(hidden[0])
    return _Heard(stream, np.concatenate(seen), np.concatenate(told))


def _network_of(model: Model) -> ShowsHidden:
    assert not isinstance(model.predictor, CountsModel)  # that is no network
    return cast("ShowsHidden", model.predictor)


def _fit_cache(heard: _Heard) -> CacheConfig:
    from memlm.memory.cache_fit import fit_cache

    return fit_cache(heard.stream, heard.hidden, heard.told).config


def _fit_vectors(heard: _Heard, states: VectorMemory) -> VectorConfig | None:
    """Return how the states of old are asked; None where that does not pay."""
    from memlm.memory.vector_fit import fit_vectors

    found = fit_vectors(
        states.store, heard.stream, heard.hidden, heard.told, excluded=states.held_out
    )
    return found.config if found.share else None


def companions_of(
    fitted: FittedBlend, model: Model, memory: CountsMemory, listener: Listener
) -> dict[str, Companion]:
    """Return the companions of a blend."""
    found: dict[str, Companion] = {}
    if CACHE in fitted.blend.companions:
        found |= _cache_of(fitted.cache, model)
    if VECTORS in fitted.blend.companions:
        found |= _asking(vectors_of(model, memory, listener), fitted.vectors, model)
    return found


def _cache_of(config: CacheConfig | None, model: Model) -> dict[str, Companion]:
    if config is None:
        return {}
    return {CACHE: Cache(config, vocabulary_size=model.tokenizer.vocabulary_size)}


def vectors_of(model: Model, memory: CountsMemory, listener: Listener) -> VectorMemory:
    """Return what the network of a model thought when it read the documents."""
    from memlm.workflow.recalling import refresh_vectors

    opened, weights_hash = model.workspace, weights_hash_of(model)
    return refresh_vectors(opened, _network_of(model), weights_hash, memory, listener)


def _asking(
    states: VectorMemory,
    config: VectorConfig | None,
    model: Model,
    *,
    excluded: Collection[str] = frozenset(),
) -> dict[str, Companion]:
    from memlm.memory.vectors import Vectors

    if config is None:
        return {}
    size = model.tokenizer.vocabulary_size
    return {VECTORS: Vectors(states.store, config, vocabulary_size=size, excluded=excluded)}


def weights_hash_of(model: Model) -> str:
    found = model.workspace.weights_hash(model.name)
    if found is None:  # they were here when the model was opened
        raise CorruptArtefactError(
            "artefact_unreadable", path=model.workspace.model(model.name) / MANIFEST
        )
    return found
