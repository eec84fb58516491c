"""What weights of a byte cost: measured on held-out text when that is first asked for, and kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.errors import InputError, NotFoundError, ResourceError
from memlm.models import Precision
from memlm.storage import read_json, write_json
from memlm.workflow.adapting import tokens_learned
from memlm.workflow.blend_fitting import weights_hash_of
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, Model

_FILE = "precision.json"
_MOST_TOKENS = 3_000
_FEWEST_TOKENS = 100


@dataclass(frozen=True, kw_only=True)
class PrecisionCost:
    """What a text costs with weights as they are, and with those that are stored shorter."""

    precision: Precision
    tokens: int
    """Of held-out text; 0 where there is too little, and nothing was measured."""
    nats_per_token: float | None
    """As they are stored."""
    float32_nats_per_token: float | None
    """As they were learned."""

    @property
    def change(self) -> float | None:
        """By what share of itself the loss rises."""
        if self.nats_per_token is None or self.float32_nats_per_token is None:
            return None
        return self.nats_per_token / self.float32_nats_per_token - 1

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return the fields, and the change."""
        return asdict(self) | {"change": self.change}


def precision_cost(
    model: Model, precision: Precision, *, listener: Listener | None = None
) -> PrecisionCost | None:
    """Return what weights of a precision cost a model; None where they are as they were learned.

    The first time that is measured, said and kept beside the model.
    """
    if precision == "float32" or model.name == MEMORY:
        return None
    hears, folder = listener or Listener(), model.workspace.model(model.name)
    weights = weights_hash_of(model)
    found = _kept(folder, weights, precision)
    if found is not None:
        return found
    stream = _held_out(model)
    if len(stream) < _FEWEST_TOKENS:
        hears.note("precision_unmeasured", precision=precision)
        return PrecisionCost(
            precision=precision, tokens=0, nats_per_token=None, float32_nats_per_token=None
        )
    found = PrecisionCost(
        precision=precision,
        tokens=len(stream) - 1,
        nats_per_token=_nats(folder, precision, stream),
        float32_nats_per_token=_nats(folder, "float32", stream),
    )
    _keep(model, weights, found)
    hears.note("precision_measured", **found.to_json())
    return found


def _nats(folder: Path, precision: Precision, stream: npt.NDArray[np.int64]) -> float:
    from memlm.models.stepping import load_stepping
    from memlm.predict.score import read_long

    costs = list(read_long(load_stepping(folder, precision=precision), stream))
    return float(np.concatenate(costs).mean())


def _held_out(model: Model) -> npt.NDArray[np.int64]:
    """Return an end and the beginning of the held-out text; nothing where it is not here."""
    from memlm.train.stretches import Stretches

    store = tokens_learned(model)
    if store is None:
        return np.empty(0, dtype=np.int64)
    held_out = Stretches.of_units(store.units_of("held_out"))
    text = held_out.read(store.tokens, 0, min(len(held_out), _MOST_TOKENS))
    return np.concatenate([np.array([store.tokenizer.end]), text])


def _kept(folder: Path, weights: str, precision: Precision) -> PrecisionCost | None:
    try:
        kept = read_json(folder / _FILE)
        fields = kept[precision] if kept["weights"] == weights else None
        return None if fields is None else PrecisionCost(**fields)
    except (NotFoundError, KeyError, TypeError):  # measured anew, and written anew
        return None


def _keep(model: Model, weights: str, found: PrecisionCost) -> None:
    try:
        with model.workspace.writing():
            path = model.workspace.model(model.name) / _FILE
            write_json(path, {"weights": weights, found.precision: asdict(found)})
    except (InputError, ResourceError):  # somebody else writes, or nobody may: measured again
        return
