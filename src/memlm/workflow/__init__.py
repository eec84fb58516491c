"""What must have run before what: the one room that joins the others.

Every verb takes a workspace (its folder, or what `open_workspace` returned), first runs what is
missing or stale, says so through its `listener`, and returns a record. One file a verb; what a
file needs of another stands above it in this list.

    listener  opening  reading     who hears; the workspace; a text from a file
    left_behind                    what removing documents leaves of them
    showing                        where a page lies
    collecting  exporting          texts in, documents out
    preparing                      tokens
    blanking  erasing              what leaves all of these
    models  training  learned      a model, how it comes to be, from what
    keeping                        keeping house among models
    adapting                       how it learns while it reads
    remembering  blending          what is remembered beside it, and how much that counts
    tracing                        where the words of a text come from
    asking  attending              what it is asked; what it looks at
"""

from memlm.workflow.asking import (
    ensure_model,
    evaluate_task,
    generate_text,
    score_text,
)
from memlm.workflow.attending import (
    DEFAULT_ATTENDED,
    attend_text,
    check_attended,
    write_attention_page,
)
from memlm.workflow.blending import blended_predictor, check_memories, ready_blend
from memlm.workflow.collecting import collect_documents
from memlm.workflow.erasing import erase_documents, erase_removed
from memlm.workflow.exporting import export_documents
from memlm.workflow.keeping import delete_model, prune_checkpoints, rename_model
from memlm.workflow.learned import count_collected
from memlm.workflow.listener import Listener
from memlm.workflow.looking_up import (
    DEFAULT_CONTINUATIONS,
    LONGEST_CONTEXT,
    check_lookup,
    lookup_text,
)
from memlm.workflow.models import MEMORY, Model, load_model
from memlm.workflow.opening import AnyWorkspace
from memlm.workflow.preparing import prepare_documents
from memlm.workflow.reading import FoundText, read_texts, read_whole_text, text_from_bytes
from memlm.workflow.showing import check_page_place
from memlm.workflow.tracing import trace_text, trace_texts, write_trace_page
from memlm.workflow.training import train_model

__all__ = [
    "DEFAULT_ATTENDED",
    "DEFAULT_CONTINUATIONS",
    "LONGEST_CONTEXT",
    "MEMORY",
    "AnyWorkspace",
    "FoundText",
    "Listener",
    "Model",
    "attend_text",
    "blended_predictor",
    "check_attended",
    "check_lookup",
    "check_memories",
    "check_page_place",
    "collect_documents",
    "count_collected",
    "delete_model",
    "ensure_model",
    "erase_documents",
    "erase_removed",
    "evaluate_task",
    "export_documents",
    "generate_text",
    "load_model",
    "lookup_text",
    "prepare_documents",
    "prune_checkpoints",
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
]
