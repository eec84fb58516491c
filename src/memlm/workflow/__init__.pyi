"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .answering import Answerer, answer_task, has_task, read_questions
from .asking import ensure_model, generate_text, score_text
from .attending import DEFAULT_ATTENDED, attend_text, check_attended, write_attention_page
from .blending import blended_predictor, check_memories, ready_blend
from .chatting import Chat, open_chat
from .collecting import collect_documents
from .erasing import erase_documents, erase_removed
from .evaluating import evaluate_task
from .exporting import export_documents
from .keeping import delete_model, prune_checkpoints, rename_model
from .learned import count_collected
from .listener import Listener
from .looking_up import DEFAULT_CONTINUATIONS, LONGEST_CONTEXT, check_lookup, lookup_text
from .models import MEMORY, Model, load_model, written_models
from .opening import AnyWorkspace
from .precision import PrecisionCost, precision_cost
from .preparing import prepare_documents
from .prompting import check_shots, read_shots
from .reading import FoundText, read_texts, read_whole_text, text_from_bytes
from .showing import check_page_place
from .taking_away import export_adapter, export_model
from .tracing import trace_text, trace_texts, write_trace_page
from .training import train_model

__all__ = [
    "DEFAULT_ATTENDED",
    "DEFAULT_CONTINUATIONS",
    "LONGEST_CONTEXT",
    "MEMORY",
    "Answerer",
    "AnyWorkspace",
    "Chat",
    "FoundText",
    "Listener",
    "Model",
    "PrecisionCost",
    "answer_task",
    "attend_text",
    "blended_predictor",
    "check_attended",
    "check_lookup",
    "check_memories",
    "check_page_place",
    "check_shots",
    "collect_documents",
    "count_collected",
    "delete_model",
    "ensure_model",
    "erase_documents",
    "erase_removed",
    "evaluate_task",
    "export_adapter",
    "export_documents",
    "export_model",
    "generate_text",
    "has_task",
    "load_model",
    "lookup_text",
    "open_chat",
    "precision_cost",
    "prepare_documents",
    "prune_checkpoints",
    "read_questions",
    "read_shots",
    "read_texts",
    "read_whole_text",
    "ready_blend",
    "rename_model",
    "score_text",
    "text_from_bytes",
    "trace_text",
    "trace_texts",
    "train_model",
    "write_attention_page",
    "write_trace_page",
    "written_models",
]
