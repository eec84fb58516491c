"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .addresses import is_address
from .collection import LISTED_REJECTED, Collection
from .config import CollectConfig, Limits, Reading, WebConfig
from .files import normalise_text, read_text_file
from .in_memory import TextFromMemory
from .sources import SourceFile, is_table, is_there, list_files, read_file
from .vanished import find_place
from .web import Site
from .writing import check_ending, write_documents

__all__ = [
    "LISTED_REJECTED",
    "CollectConfig",
    "Collection",
    "Limits",
    "Reading",
    "Site",
    "SourceFile",
    "TextFromMemory",
    "WebConfig",
    "check_ending",
    "find_place",
    "is_address",
    "is_table",
    "is_there",
    "list_files",
    "normalise_text",
    "read_file",
    "read_text_file",
    "write_documents",
]
