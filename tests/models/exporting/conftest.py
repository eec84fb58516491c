"""Networks written as folders, and loaded by transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exported_networks import OWN, QWEN3, large_random_network
from safetensors.torch import save_file

from memlm.models.exporting.folder import write_model_files
from memlm.models.exporting.modelling import register_transformers
from memlm.models.network import Network
from memlm.storage import write_json


@pytest.fixture(scope="session")
def write_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Network], Path]:
    def write(network: Network) -> Path:
        model, folder = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("folder")
        save_file(network.weights(), model / "model.safetensors")
        write_json(model / "config.json", network.config.to_json())
        write_model_files(model, folder)
        return folder

    return write


@pytest.fixture(scope="session")
def both(write_folder: Callable[[Network], Path]) -> Callable[[str], tuple[Network, Any]]:
    """By the name of a shape: our network, and what transformers loads of it."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    register_transformers()
    made: dict[str, tuple[Network, Any]] = {}

    def load(name: str) -> tuple[Network, Any]:
        if name not in made:
            network = large_random_network(**(QWEN3 | OWN)[name])
            folder = write_folder(network)
            made[name] = network, AutoModelForCausalLM.from_pretrained(folder).eval()
        return made[name]

    return load
