"""Learn while reading: how fast, tried out when that is first asked for, and kept."""

from __future__ import annotations

from memlm.errors import CorruptArtefactError, NotFoundError
from memlm.language_model import LanguageModel
from memlm.memory.counts import CountsModel
from memlm.prepare import TokenStore
from memlm.storage import read_manifest
from memlm.workflow.listener import Listener
from memlm.workflow.models import Model, network_of
from memlm.workflow.preparing import open_tokens
from memlm.workspace import read_run


def adapting_predictor(model: Model, listener: Listener) -> LanguageModel:
    """Return a copy of a model that learns from what it reads; the model itself stays as it is.

    A memory counts it instead.
    How fast is chosen on the model's held-out text and kept beside it. Where its tokens are gone,
    plain steps of a fixed size do without them.
    """
    from memlm.train.adapt import PLAIN_STEPS, AdaptingModel
    from memlm.train.adapt_fit import fit_adaptation
    from memlm.train.adaptation import load_adaptation, save_adaptation

    if isinstance(model.predictor, CountsModel):
        return model.predictor.adaptive()
    network, folder = network_of(model), model.workspace.model(model.name)
    weights_hash = read_manifest(folder)["files"]["model.safetensors"]["sha256"]
    found = load_adaptation(folder, weights_hash=weights_hash)
    if found is None:
        store = tokens_learned(model)
        if store is None:
            listener.note("adapting_without_tokens", model=model.name)
            return AdaptingModel(network, PLAIN_STEPS)
        with model.workspace.writing():
            listener.note("adapting_fit", model=model.name)
            found = fit_adaptation(
                network, store, progress=lambda done, total: listener.progress("adapt", done, total)
            )
            save_adaptation(folder, found, weights_hash=weights_hash)
        if found.trials:
            listener.note(
                "adapting_fitted",
                tokens=found.tokens,
                frozen=found.frozen_nats_per_token,
                adapted=found.nats_per_token,
            )
        else:
            listener.note("adapting_defaults", model=model.name)
    return AdaptingModel(network, found.config, squares=found.squares)


def tokens_learned(model: Model) -> TokenStore | None:
    """Return the tokens that a model learned from, if they are here as they were."""
    from memlm.train.learned import tokens_hash

    made_from = read_run(model.workspace.model(model.name))["made_from"]
    try:
        store = open_tokens(model.workspace.prepared(made_from["tokenizer"]))
    except (NotFoundError, CorruptArtefactError):
        return None
    return store if tokens_hash(store) == made_from["tokens"] else None
