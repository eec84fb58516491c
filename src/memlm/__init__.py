"""memlm: a language model, its memory, and the documents they came from, kept together.

    import memlm

    memlm.train_model("mylm", "notes/")
    model = memlm.load_model("mylm")
    print(memlm.generate_text(model, "Once")[0].text)

Importing memlm loads neither torch nor transformers.
"""

from typing import TYPE_CHECKING, Any

from memlm.collect import CollectConfig
from memlm.documents import DocumentStore
from memlm.errors import MemlmError
from memlm.generate.config import GenerateConfig
from memlm.inventory import describe_models, describe_workspace
from memlm.models import NetworkConfig
from memlm.prepare import CleanConfig, PrepareConfig
from memlm.train import TrainConfig
from memlm.workflow import (
    Listener,
    Model,
    attend_text,
    collect_documents,
    delete_model,
    erase_documents,
    evaluate_task,
    export_documents,
    generate_text,
    load_model,
    lookup_text,
    prepare_documents,
    prune_checkpoints,
    rename_model,
    score_text,
    trace_text,
    train_model,
)
from memlm.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from memlm.models.network import build_network

__version__ = "0.1.0"

__all__ = [
    "CleanConfig",
    "CollectConfig",
    "DocumentStore",
    "GenerateConfig",
    "Listener",
    "MemlmError",
    "Model",
    "NetworkConfig",
    "PrepareConfig",
    "TrainConfig",
    "Workspace",
    "attend_text",
    "build_network",
    "collect_documents",
    "delete_model",
    "describe_models",
    "describe_workspace",
    "erase_documents",
    "evaluate_task",
    "export_documents",
    "generate_text",
    "load_model",
    "lookup_text",
    "open_workspace",
    "prepare_documents",
    "prune_checkpoints",
    "rename_model",
    "score_text",
    "trace_text",
    "train_model",
]


def __getattr__(name: str) -> Any:  # Any: what needs torch is loaded when it is asked for
    if name == "build_network":
        from memlm.models.network import build_network

        return build_network
    raise AttributeError(f"module 'memlm' has no attribute {name!r}")
