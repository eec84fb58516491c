"""Our networks as models of `transformers`: what an exported folder carries, and we register.

The files beside this one are copied into such folders as they are. They import nothing but torch,
transformers and one another, so that a folder can be loaded where memlm is not installed.
"""

from __future__ import annotations

from pathlib import Path

from memlm.runtime import require_package

_MODULES = ("configuration_memlm.py", "cache_memlm.py", "blocks_memlm.py", "modeling_memlm.py")
OWN_KIND = "memlm"
"""What a folder calls its kind of model."""
AUTO_MAP = {
    "AutoConfig": "configuration_memlm.MemlmConfig",
    "AutoModelForCausalLM": "modeling_memlm.MemlmForCausalLM",
}
"""Which class of which file a folder names for those who trust its code."""


def modelling_files() -> list[Path]:
    """Return the files that a folder carries."""
    return [Path(__file__).with_name(name) for name in _MODULES]


def register_transformers() -> None:
    """Make `transformers` load the folders that `memlm export WS model` writes, in this process.

    Call it before `AutoModelForCausalLM.from_pretrained(folder)`; folders in the layout of Qwen3
    load without it. Raises MissingExtraError where transformers is not installed.
    """
    require_package("transformers", extra="hf")
    from transformers import AutoConfig, AutoModelForCausalLM

    from memlm.models.exporting.modelling.configuration_memlm import MemlmConfig
    from memlm.models.exporting.modelling.modeling_memlm import MemlmForCausalLM

    AutoConfig.register(MemlmConfig.model_type, MemlmConfig, exist_ok=True)
    AutoModelForCausalLM.register(MemlmConfig, MemlmForCausalLM, exist_ok=True)
    # So that `save_pretrained` takes the code along, as the folder that was loaded had it.
    MemlmConfig.register_for_auto_class()
    MemlmForCausalLM.register_for_auto_class("AutoModelForCausalLM")
