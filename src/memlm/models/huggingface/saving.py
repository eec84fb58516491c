"""A model of the Hugging Face kind as a folder that `read_foreign` and `transformers` read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memlm.models.foreign import TOKENIZER, Foreign
from memlm.models.huggingface.library import quietly
from memlm.storage import write_json


def save_network(network: Any, foreign: Foreign, folder: Path) -> None:  # Any: of transformers
    """Write a network with the weights that it has, and the tokenizer that it came with."""
    with quietly():
        network.save_pretrained(folder)
    (folder / TOKENIZER).write_text(foreign.tokenizer, encoding="utf-8")
    begin, end = foreign.begin_and_end
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": begin, "eos_token": end}
    known = {name: value for name, value in settings.items() if value is not None}
    write_json(folder / "tokenizer_config.json", known)
