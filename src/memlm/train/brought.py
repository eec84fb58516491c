"""A training that begins with a model of somebody else's, as it came or as it was taught here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from memlm.errors import InputError
from memlm.language_model import LanguageModel
from memlm.models.adapter import AdaptedNetwork, AdapterTarget
from memlm.models.foreign import read_foreign
from memlm.models.foreign_shape import HUGGINGFACE_FOLDER, ForeignShape
from memlm.models.hub import is_hub_name
from memlm.models.huggingface import (
    TrainableModel,
    adapter_targets,
    foreign_shape,
    load_huggingface,
    save_network,
)
from memlm.models.learning import LearningNetwork
from memlm.storage import new_folder
from memlm.train.origin import Origin, documents_of_model, write_adapter_files
from memlm.train.plan import TrainPlan

_PREFIX = "network."
_CPU = torch.device("cpu")


class Brought(Origin):
    """A model of the Hugging Face kind, in a folder that `place` finds again."""

    shape: ForeignShape

    def __init__(self, folder: Path, place: str) -> None:
        self._folder, self._place = folder, place
        foreign = read_foreign(folder)
        loaded = load_huggingface(foreign, device=_CPU)
        self.shape = foreign_shape(loaded.model)
        # Weights are read again for each network: a training changes those that it has.
        self.foreign = replace(foreign, weights={})
        taught = _taught_here(folder)
        self._name = foreign.name if taught is None else taught.name
        if taught is not None:
            self.documents = documents_of_model(taught)

    def about(self) -> dict[str, Any]:  # Any: JSON values
        return {
            "kind": "huggingface",
            "model": self._name,
            "place": self._place,
            "weights": self.foreign.weights_hash,
            "documents": self.num_documents,
        }

    def _reader(self, network: LearningNetwork) -> LanguageModel:
        assert isinstance(network, TrainableModel)
        return network.model

    def write(self, network: LearningNetwork, folder: Path) -> tuple[str, ...]:
        if isinstance(network, AdaptedNetwork):
            return self._write_adapter(network, folder)
        assert isinstance(network, TrainableModel)
        target = folder / HUGGINGFACE_FOLDER
        with new_folder(target, made_from={"weights": self.foreign.weights_hash}) as temporary:
            save_network(network.network, self.foreign, temporary)
        return tuple(f"{HUGGINGFACE_FOLDER}/{path.name}" for path in sorted(target.iterdir()))

    def _network(self, plan: TrainPlan) -> LearningNetwork:
        foreign = read_foreign(self._folder)
        if foreign.weights_hash != self.foreign.weights_hash:
            raise InputError("origin_changed", path=self._folder)
        return TrainableModel(load_huggingface(foreign, device=_CPU))

    def _targets(self, network: LearningNetwork) -> list[AdapterTarget]:
        assert isinstance(network, TrainableModel)
        return [
            AdapterTarget(_PREFIX + one.name, one.outputs, one.inputs, one.is_turned)
            for one in adapter_targets(network.network)
        ]

    def _write_adapter(self, network: AdaptedNetwork, folder: Path) -> tuple[str, ...]:
        names = {one.name: one.name.removeprefix(_PREFIX) for one in network.targets}
        # An adapter is given away: it says what the model is called, not where it lay here.
        base = self._place
        if _taught_here(self._folder) is not None:
            base = self._name
        elif not is_hub_name(base):
            base = PurePosixPath(base).name
        return write_adapter_files(network, folder, base=base, names=names)


def _taught_here(folder: Path) -> Path | None:
    """Return the folder of the model of a workspace whose weights lie in this one, if they do.

    It has the name that people know, and says what was learned.
    """
    found = folder.resolve()
    is_taught = found.name == HUGGINGFACE_FOLDER and (found.parent / "run.json").is_file()
    return found.parent if is_taught else None
