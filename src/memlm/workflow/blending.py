"""A model and its memories as one predictor: fitted when that is first asked for, and kept.

The fit reads held-out text with the memory of what was learned only; whoever asks afterwards gets
the whole memory. It is kept in the model's folder, bound to its weights by their hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from memlm.errors import (
    ConfigError,
    CorruptArtefactError,
    InputError,
    NotFoundError,
    ResourceError,
)
from memlm.language_model import (
    LanguageModel,
)
from memlm.memory.counts import CountsModel
from memlm.messages import render
from memlm.predict.blend import COUNTS, WEIGHTS, BlendedModel, fixed_blend
from memlm.storage import new_file, read_json, write_json
from memlm.workflow.adapting import adapting_predictor
from memlm.workflow.blend_fitting import (
    CACHE,
    VECTORS,
    FittedBlend,
    companions_of,
    fit_parts,
    vectors_of,
    weights_hash_of,
)
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, Model
from memlm.workflow.own_tokens import own_tokens, tokens_name
from memlm.workflow.remembering import CountsMemory, open_memory
from memlm.workspace import read_run

MEMORIES = (COUNTS, CACHE, VECTORS)
DEFAULT_MEMORIES = (COUNTS,)
_FILE = "blend.json"
_HELD_OUT = "held_out.bin"
_FORMAT = 3  # another when a gate means something else
_NOT_READY = ("no_documents", "workspace_busy", "cannot_write", "memory_of_other_tokens")
_FEWEST_TOKENS = 2_000
_MOST_TOKENS = 12_000
_MOST_TOKENS_ADAPTING = 10_000
_MOST_TOKENS_OF_WORDS = 6_000
_MANY_WORDS = 2_000


def check_memories(wish: Sequence[str] | None) -> None:
    """Raise ConfigError for a kind of memory that there is not."""
    for kind in wish or ():
        if kind not in MEMORIES:
            raise ConfigError("memory_unknown", kind=kind, known=", ".join(MEMORIES))


def blended_predictor(
    model: Model,
    *,
    memories: Sequence[str] | None = None,
    adapt: bool = False,
    listener: Listener | None = None,
) -> LanguageModel:
    """Return what predicts: the model, with these memories, learning while it reads if so wished.

    None: those that it is blended with by default, where there is text to fit that on; an empty
    list: the model alone. Raises ConfigError for a memory that there is not.
    """
    hears = listener or Listener()
    check_memories(memories)
    if model.name == MEMORY:
        if {*(memories or ())} - {COUNTS}:
            raise ConfigError("memory_beside_memory", model=MEMORY)
        assert isinstance(model.predictor, CountsModel)
        return model.predictor.adaptive() if adapt else model.predictor
    is_brought = model.workspace.is_brought(model.name)
    if model.is_foreign and adapt:
        raise ConfigError("adapting_brought", model=model.name)
    wanted = DEFAULT_MEMORIES if memories is None else tuple(dict.fromkeys(memories))
    if not wanted:
        return adapting_predictor(model, hears) if adapt else model.predictor
    try:
        if is_brought:  # its tokens are nobody else's: they are cut when they are first asked for
            memory_of(model, hears)
        if memories is None and not (_can_be_fitted(model) or _has_default_blend(model, adapt)):
            return adapting_predictor(model, hears) if adapt else model.predictor
        memory = memory_of(model, hears)
        fitted = ensure_blend(model, memory, wanted, adapt=adapt, listener=hears)
    except (NotFoundError, InputError, ResourceError) as error:
        if memories is not None or error.code not in _NOT_READY:
            raise
        # The workspace has lost its documents, is being written, or may not be.
        hears.note("no_memory_of_model", model=model.name, reason=str(error))
        return adapting_predictor(model, hears) if adapt else model.predictor
    if fitted.blend.experts == (WEIGHTS,) and not fitted.blend.companions:
        return adapting_predictor(model, hears) if adapt else model.predictor
    counts = memory.model(smoothing=fitted.smoothing)
    network = adapting_predictor(model, hears) if adapt else model.predictor
    experts = {WEIGHTS: network, COUNTS: counts.adaptive() if adapt else counts}
    return BlendedModel(fitted.blend, experts, companions_of(fitted, model, memory, hears))


def memories_in(predictor: LanguageModel) -> tuple[str, ...]:
    """Return the memories that predict beside the weights."""
    if not isinstance(predictor, BlendedModel):
        return ()
    return tuple(name for name in predictor.blend.members if name != WEIGHTS)


def ready_blend(model: Model, *, listener: Listener | None = None) -> None:
    """Fit what a model is blended with by default, so that nobody waits for it later."""
    hears = listener or Listener()
    if _can_be_fitted(model):
        ensure_blend(model, memory_of(model, hears), DEFAULT_MEMORIES, listener=hears)


def _can_be_fitted(model: Model) -> bool:
    """Say whether there is enough held-out text to fit a blend on, and what fits it."""
    opened = model.workspace
    store = opened.prepared(tokens_name(model)) / "store.json"
    if not store.exists() or find_spec("scipy") is None:
        return False
    held_out: int = read_json(store)["counts"]["tokens"]["held_out"]
    return held_out >= _FEWEST_TOKENS


def _has_default_blend(model: Model, adapt: bool) -> bool:
    """Say whether that was fitted already, when there was what it needs."""
    return _key(DEFAULT_MEMORIES, adapt=adapt) in _kept_blends(model, weights_hash_of(model))


def _key(memories: Sequence[str], *, adapt: bool) -> str:
    return "+".join(sorted(memories)) + ("+adapt" if adapt else "")


def memory_of(model: Model, listener: Listener) -> CountsMemory:
    """Return the memory of the documents in a model's own tokens, in step with them."""
    return open_memory(model.workspace, own_tokens(model, listener), listener=listener)


def ensure_blend(
    model: Model,
    memory: CountsMemory,
    memories: Sequence[str],
    *,
    adapt: bool = False,
    listener: Listener,
) -> FittedBlend:
    """Return how a model and these memories are blended, fitted if that was not done yet."""
    key = _key(memories, adapt=adapt)
    folder = model.workspace.model(model.name)
    weights_hash = weights_hash_of(model)
    kept = _kept_blends(model, weights_hash)
    if key in kept:
        fitted = _read_fitted(kept[key], folder / _FILE)
        is_same = fitted.vectors is None or (
            fitted.codec == vectors_of(model, memory, listener).codec_hash
        )
        if is_same:
            return fitted
    learned, held_out = _learned_by(model, memory)
    streams = memory.streams(
        "held_out", most_tokens=_most_tokens(model, adapt=adapt), without=learned, but=held_out
    )
    if sum(map(len, streams)) < _FEWEST_TOKENS // 2 or find_spec("scipy") is None:
        code = "blend_not_fitted" if COUNTS in memories else "companions_not_fitted"
        reason = render("note.blend_needs_text" if find_spec("scipy") else "note.blend_needs_scipy")
        listener.note(code, model=model.name, reason=reason)
        even = fixed_blend({WEIGHTS: 0.5, COUNTS: 0.5} if COUNTS in memories else {WEIGHTS: 1.0})
        return FittedBlend(even, None, None, None, None, {}, float("nan"), 0)
    with model.workspace.writing():
        _note_held_out(model, memory)
        listener.note("blend_fitting", model=model.name, memories=" + ".join(memories))
        if model.workspace.is_brought(model.name):
            listener.note("brought_may_have_read", model=model.name)
        fitted = fit_parts(model, memory, memories, streams, adapt=adapt, listener=listener)
        kept = _kept_blends(model, weights_hash) | {key: fitted.to_json()}
        write_json(folder / _FILE, {"format": _FORMAT, "weights": weights_hash, "blends": kept})
    for kind in memories:
        if kind not in (*fitted.blend.experts, *fitted.blend.companions):
            listener.note("memory_does_not_pay", model=model.name, kind=kind)
    listener.note(
        "blend_fitted",
        alone=fitted.nats_alone.get(WEIGHTS, float("nan")),
        blended=fitted.nats,
        tokens=fitted.tokens,
    )
    return fitted


def _learned_by(model: Model, memory: CountsMemory) -> tuple[frozenset[int], frozenset[int]]:
    """Return the ids of documents that the weights learned from, and what of them was held out.

    None of them where the tokens are those of the training: their split is, too.
    """
    folder = model.workspace.model(model.name)
    learned, held_out = folder / "documents.bin", folder / _HELD_OUT
    if _has_learned(model, memory):
        return frozenset(), frozenset()
    return _numbers_in(learned), _numbers_in(held_out)


def _note_held_out(model: Model, memory: CountsMemory) -> None:
    """Note what was held out of a training, while its tokens are here."""
    held_out = model.workspace.model(model.name) / _HELD_OUT
    if _has_learned(model, memory) and not held_out.exists():
        with new_file(held_out) as temporary:
            memory.contents("held_out").tofile(temporary)


def _has_learned(model: Model, memory: CountsMemory) -> bool:
    """Say whether tokens are those of a model's training."""
    if model.workspace.is_brought(model.name):
        return False
    run = read_run(model.workspace.model(model.name))
    return bool(run["made_from"]["tokens"] == memory.digest)


def _numbers_in(path: Path) -> frozenset[int]:
    return frozenset(np.fromfile(path, dtype="<u8").tolist()) if path.exists() else frozenset()


def _most_tokens(model: Model, *, adapt: bool) -> int:
    if adapt:
        return _MOST_TOKENS_ADAPTING
    many = model.tokenizer.vocabulary_size > _MANY_WORDS
    return _MOST_TOKENS_OF_WORDS if many else _MOST_TOKENS


def _kept_blends(model: Model, weights_hash: str) -> dict[str, Any]:  # Any: JSON
    path = model.workspace.model(model.name) / _FILE
    try:
        found = read_json(path)
        is_current = found.get("format") == _FORMAT and found["weights"] == weights_hash
        return dict(found["blends"]) if is_current else {}
    except NotFoundError:
        return {}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=path) from error


def _read_fitted(values: Mapping[str, Any], path: Path) -> FittedBlend:  # Any: JSON
    try:
        return FittedBlend.from_json(values)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptArtefactError("artefact_unreadable", path=path) from error
