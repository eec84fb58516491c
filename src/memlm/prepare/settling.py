"""How are these documents cut into tokens? What a person left open is settled by what they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from memlm.prepare.cleaned import Survey
from memlm.prepare.config import DEFAULTS, PrepareConfig
from memlm.runtime import is_installed

_LARGE_CHARACTERS = 20_000_000
_SOME_HAN, _MOSTLY_HAN = 0.02, 0.5
_SMALLEST_BPE, _LARGEST_BPE = 512, 32_768
_FEWEST_BPE_TOKENS = 256 + 1  # every byte, and the end
_FEWEST_TOKENS = 3  # a symbol, the unknown one, and the end


def settle_config(
    survey: Survey,
    config: PrepareConfig,
    *,
    note: Callable[[str, Mapping[str, object]], None] = lambda code, values: None,
) -> PrepareConfig:
    """Return `config` with nothing left open, and `auto` replaced by what suits the documents.

    `note` is told why.
    """
    config = config.over(DEFAULTS)
    config.check()
    kind = config.tokenizer
    if kind == "auto":
        kind = _suitable_tokenizer(survey, note)
    assert kind is not None  # it has a default
    wish = config.vocabulary_size
    if wish is None and kind == "bpe":
        wish = _size_of_bpe(survey.characters)
    size = _possible_size(kind, wish, len(survey.labels), note)
    return replace(config, tokenizer=kind, vocabulary_size=size)


def _size_of_bpe(characters: int) -> int:
    """Return the power of two nearest to the root of the text's length: 1,024 for a megabyte.

    Different words grow about so (Heaps 1978), and each piece should be met often enough to learn.
    """
    size = 1 << round(math.log2(max(1, characters)) / 2)
    return min(max(size, _SMALLEST_BPE), _LARGEST_BPE)


def _suitable_tokenizer(survey: Survey, note: Callable[[str, Mapping[str, object]], None]) -> str:
    if not is_installed("tokenizers"):
        note("auto_tokenizer_light", {})
        return "char"
    kind = "char"  # what learns best from a few megabytes of one script, see benchmarks/LOG.md
    if _SOME_HAN < survey.han_share < _MOSTLY_HAN:
        kind = "byte"  # thousands of hanzi would take the time that the letters need
    elif survey.characters > _LARGE_CHARACTERS and survey.han_share <= _SOME_HAN:
        kind = "bpe"
    note("auto_tokenizer", {"kind": kind, "characters": survey.characters})
    return kind


def _possible_size(
    kind: str,
    wish: int | None,
    labels: int,
    note: Callable[[str, Mapping[str, object]], None],
) -> int | None:
    """Return the size that a vocabulary can have which is nearest to the one wished for."""
    if wish is None:
        return None
    if kind == "byte" or kind.endswith(".json"):
        note("vocabulary_size_ignored", {"asked": wish, "tokenizer": kind})
        return None
    least = labels + (_FEWEST_BPE_TOKENS if kind == "bpe" else _FEWEST_TOKENS)
    if wish < least:
        note("vocabulary_size_raised", {"asked": wish, "tokenizer": kind, "least": least})
    return max(wish, least)
