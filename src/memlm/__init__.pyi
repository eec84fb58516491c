"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .collect import CollectConfig
from .documents import DocumentStore
from .errors import MemlmError
from .generate.answer_config import AnswerConfig
from .generate.config import GenerateConfig
from .inventory import describe_models, describe_workspace
from .models import NetworkConfig
from .models.exporting.modelling import register_transformers
from .models.network import build_network
from .prepare import CleanConfig, PrepareConfig
from .train import TrainConfig
from .workflow import (
    Listener,
    Model,
    answer_task,
    attend_text,
    collect_documents,
    delete_model,
    erase_documents,
    evaluate_task,
    export_documents,
    export_model,
    generate_text,
    load_model,
    lookup_text,
    open_chat,
    prepare_documents,
    prune_checkpoints,
    rename_model,
    score_text,
    trace_text,
    train_model,
)
from .workspace import Workspace, open_workspace

__version__: str

__all__ = [
    "AnswerConfig",
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
    "answer_task",
    "attend_text",
    "build_network",
    "collect_documents",
    "delete_model",
    "describe_models",
    "describe_workspace",
    "erase_documents",
    "evaluate_task",
    "export_documents",
    "export_model",
    "generate_text",
    "load_model",
    "lookup_text",
    "open_chat",
    "open_workspace",
    "prepare_documents",
    "prune_checkpoints",
    "register_transformers",
    "rename_model",
    "score_text",
    "trace_text",
    "train_model",
]
