"""Documents to tokens: cleaned, split, cut, and laid down so that each token knows its document."""

from memlm.prepare.clean_config import CleanConfig
from memlm.prepare.cleaned import CleanedDocuments, PartInMemory, survey_parts
from memlm.prepare.cleaning import clean_documents, is_clean
from memlm.prepare.config import TOKENIZERS, PrepareConfig
from memlm.prepare.draft import Draft
from memlm.prepare.settling import settle_config
from memlm.prepare.split import SplitPlan
from memlm.prepare.token_store import LeftOut, TokenStore, write_token_store
from memlm.prepare.tokenizer import load_tokenizer, tokenizer_name

__all__ = [
    "TOKENIZERS",
    "CleanConfig",
    "CleanedDocuments",
    "Draft",
    "LeftOut",
    "PartInMemory",
    "PrepareConfig",
    "SplitPlan",
    "TokenStore",
    "clean_documents",
    "is_clean",
    "load_tokenizer",
    "settle_config",
    "survey_parts",
    "tokenizer_name",
    "write_token_store",
]
