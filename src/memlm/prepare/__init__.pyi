"""What is named here is loaded when it is asked for; `__init__.py` says what it is for."""

from .clean_config import CleanConfig
from .cleaned import CleanedDocuments, PartInMemory, survey_parts
from .cleaning import clean_documents, is_clean
from .config import TOKENIZERS, PrepareConfig
from .draft import Draft
from .foreign_tokenizer import ForeignTokenizer, foreign_tokenizer
from .library_tokenizer import library_tokenizer
from .settling import settle_config
from .split import SplitPlan
from .token_store import LeftOut, TokenStore, write_token_store
from .tokenizer import load_tokenizer, tokenizer_name

__all__ = [
    "TOKENIZERS",
    "CleanConfig",
    "CleanedDocuments",
    "Draft",
    "ForeignTokenizer",
    "LeftOut",
    "PartInMemory",
    "PrepareConfig",
    "SplitPlan",
    "TokenStore",
    "clean_documents",
    "foreign_tokenizer",
    "is_clean",
    "library_tokenizer",
    "load_tokenizer",
    "settle_config",
    "survey_parts",
    "tokenizer_name",
    "write_token_store",
]
