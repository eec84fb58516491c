"""What a training begins with: nothing, a model that was trained here, or one that was brought.

An origin makes the network, lets it write samples, and keeps what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.errors import ConfigError
from memlm.language_model import LanguageModel
from memlm.models.adapter import AdaptedNetwork, AdapterTarget
from memlm.models.config import NetworkConfig
from memlm.models.exporting.qwen3 import qwen3_lacks, qwen3_name
from memlm.models.foreign_shape import (
    ADAPTER_CONFIG,
    ADAPTER_FOLDER,
    ADAPTER_WEIGHTS,
    AnyShape,
)
from memlm.models.learning import LearningNetwork
from memlm.models.network import Network, build_network, load_network
from memlm.models.network_model import NetworkModel
from memlm.models.peft_folder import write_adapter
from memlm.models.tensor_file import save_tensors
from memlm.runtime import stream_seed
from memlm.storage import new_file, new_folder, write_json
from memlm.train.plan import TrainPlan
from memlm.train.recipe import DEFAULT_RANK

NO_DOCUMENTS: npt.NDArray[np.uint64] = np.empty(0, dtype=np.uint64)


class Origin:
    """Random weights; others build on it."""

    shape: AnyShape | None = None
    """Of the network; None where the plan chooses it."""
    documents: npt.NDArray[np.uint64] = NO_DOCUMENTS
    """Ids of the documents that its weights had learned from, as `documents.bin` has them."""

    @property
    def num_documents(self) -> int | None:
        """How many documents its weights had learned from; None where that is not known."""
        return len(self.documents) or None

    def about(self) -> dict[str, Any] | None:  # Any: JSON values
        """Return what `run.json` keeps, to find the origin again; None for random weights."""
        return None

    def network(self, plan: TrainPlan) -> LearningNetwork:
        """Return the network as the training begins with it, on the processor."""
        network = self._network(plan)
        if plan.adapter_rank is None:
            return network
        seed = stream_seed(plan.seed, "weights")
        targets = self._targets(network)
        most = max(min(target.inputs, target.outputs) for target in targets)
        if plan.adapter_rank > max(most, DEFAULT_RANK):  # a change of a higher rank is none
            values = {"value": plan.adapter_rank, "low": 1, "high": most}
            raise ConfigError("value_outside", option="--adapter-rank", **values)
        return AdaptedNetwork(network, targets, rank=plan.adapter_rank, seed=seed)

    @contextmanager
    def reading(self, network: LearningNetwork) -> Iterator[LanguageModel]:
        """Inside the block a network of this origin predicts, with what its adapter has learned."""
        if isinstance(network, AdaptedNetwork):
            with network.merged() as whole, self.reading(whole) as found:
                yield found
        else:
            yield self._reader(network)

    def write(self, network: LearningNetwork, folder: Path) -> tuple[str, ...]:
        """Write what was learned into a model's folder, and return the names of the files."""
        if isinstance(network, AdaptedNetwork):
            with network.merged() as whole:
                found = self.write(whole, folder)
            return found + self._write_adapter(network, folder)
        assert isinstance(network, Network)
        with new_file(folder / "model.safetensors") as temporary:
            save_tensors(network.weights(), temporary)
        write_json(folder / "config.json", network.config.to_json())
        return "config.json", "model.safetensors"

    def _network(self, plan: TrainPlan) -> LearningNetwork:
        assert isinstance(plan.network, NetworkConfig)
        return build_network(plan.network, seed=stream_seed(plan.seed, "weights"))

    def _reader(self, network: LearningNetwork) -> LanguageModel:
        assert isinstance(network, Network)
        return NetworkModel(network)

    def _targets(self, network: LearningNetwork) -> list[AdapterTarget]:
        return [
            AdapterTarget(name=name, outputs=weights.shape[0], inputs=weights.shape[1])
            for name, weights in network.named_parameters()
            if weights.dim() == 2 and name.startswith("blocks.")
        ]

    def _write_adapter(self, network: AdaptedNetwork, folder: Path) -> tuple[str, ...]:
        assert isinstance(network.config, NetworkConfig)
        is_qwen3 = qwen3_lacks(network.config) is None
        names = {one.name: qwen3_name(one.name) for one in network.targets} if is_qwen3 else {}
        base = str((self.about() or {})["model"])
        return write_adapter_files(network, folder, base=base, names=names)


def write_adapter_files(
    network: AdaptedNetwork, folder: Path, *, base: str, names: dict[str, str]
) -> tuple[str, ...]:
    """Write an adapter below a model's folder, and return the names of its files."""
    with new_folder(folder / ADAPTER_FOLDER, made_from={"base": base}) as temporary:
        write_adapter(network, temporary, base=base, names=names)
    return tuple(f"{ADAPTER_FOLDER}/{name}" for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS))


def documents_of_model(folder: Path) -> npt.NDArray[np.uint64]:
    """Return the ids of the documents that a model of a workspace has learned from."""
    learned = folder / "documents.bin"
    return np.fromfile(learned, dtype="<u8") if learned.exists() else NO_DOCUMENTS


class TrainedHere(Origin):
    """A model of the workspace."""

    def __init__(self, folder: Path, shape: NetworkConfig, weights_hash: str) -> None:
        self.folder, self.shape, self.weights_hash = folder, shape, weights_hash
        self.documents = documents_of_model(folder)

    def about(self) -> dict[str, Any]:  # Any: JSON values
        return {
            "kind": "memlm",
            "model": self.folder.name,
            "weights": self.weights_hash,
            "documents": self.num_documents,
        }

    def _network(self, plan: TrainPlan) -> LearningNetwork:
        import torch

        assert isinstance(plan.network, NetworkConfig)
        network = build_network(plan.network)  # with the dropout of this training
        network.load_weights(load_network(self.folder, device=torch.device("cpu")).weights())
        return network
