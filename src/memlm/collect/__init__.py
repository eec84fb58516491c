"""Sources to documents: what people name (files, folders, tables) becomes plain, decoded text.

`sources.py` has the table of formats. Nothing is skipped silently: what cannot be read comes out
as a problem with its line and its reason.
"""

from memlm.collect.collection import LISTED_REJECTED, Collection
from memlm.collect.config import CollectConfig, Limits, Reading, WebConfig
from memlm.collect.files import normalise_text, read_text_file
from memlm.collect.in_memory import TextFromMemory
from memlm.collect.sources import SourceFile, is_table, is_there, list_files, read_file
from memlm.collect.vanished import find_place
from memlm.collect.web import Site, is_address
from memlm.collect.writing import check_ending, write_documents

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
