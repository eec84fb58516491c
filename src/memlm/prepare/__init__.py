"""Documents to tokens: cleaned, split, cut, and laid down so that each token knows its document."""

from memlm.prepare.config import PrepareConfig
from memlm.prepare.token_store import TokenStore, settle_config, write_token_store
from memlm.prepare.tokenizer import load_tokenizer, tokenizer_name

__all__ = [
    "PrepareConfig",
    "TokenStore",
    "load_tokenizer",
    "settle_config",
    "tokenizer_name",
    "write_token_store",
]
