"""A tokenizer of ours as the `tokenizer.json` that the library `tokenizers` and others read.

Ids are the same. Special tokens get names with a space in them, which no symbol has and no text is
cut into, and are registered as special: `split_special_tokens` in `tokenizer_config.json` has
`transformers` leave their names alone where a text happens to contain them. What is written has
been tried on hard texts; a tokenizer that cannot be expressed exactly is refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from memlm.errors import InputError
from memlm.language_model import Tokenizer
from memlm.prepare.byte_alphabet import byte_alphabet
from memlm.prepare.tokenizer import BLANK_PIECE, UNKNOWN_TEXT
from memlm.runtime import require_package

Json = dict[str, Any]  # Any: JSON values
END_NAME, UNKNOWN_NAME = "<end of text>", "<unknown symbol>"
_BLANK_NAME = "<blank {}>"
_IS_BLANK = r"^<blank \d+>$"
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
_UNKNOWN_BYTES = "ï¿½"  # U+FFFD in the alphabet of byte-level BPE
_HARD_TEXTS = (
    "",
    "The lamp was lit; it's 12.5 °C.\n\nNobody  came.\t(Really?)",
    "夜里没有人来。灯、火！\n㐂𠮷 Ａ全角",
    " 😀👩\u200d👩\u200d👧 e\u0301 \u00a0\u3000\x1c\x85\u2028x\r\n\ufffd",
    f"{END_NAME} {UNKNOWN_NAME} <end> <unknown> <|endoftext|> <label a> <blank 1>",
)
_MOST_TRIED_IDS = 5000


@dataclass(frozen=True)
class LibraryTokenizer:
    """The two files that describe a tokenizer to others."""

    tokenizer: Json
    """`tokenizer.json`."""
    config: Json
    """`tokenizer_config.json`."""


def library_tokenizer(tokenizer: Tokenizer) -> LibraryTokenizer:
    """Return a tokenizer as others read it; InputError if it cannot be expressed exactly.

    Words of Chinese are found with a dictionary, which the library knows nothing of.
    """
    require_package("tokenizers", extra="fast")
    described = tokenizer.to_json()
    kind = str(described["kind"])
    if kind not in _KINDS:
        raise InputError("tokenizer_unportable", tokenizer=tokenizer.name, kind=kind)
    specials = _special_names(tokenizer, described)
    library = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added(name, rank) for name, rank in specials.items() if name != UNKNOWN_NAME
        ],
        "normalizer": None,
        "post_processor": _opening(END_NAME),
    }
    library |= _KINDS[kind](described["symbols"], specials, library)
    if not _is_same(tokenizer, library):
        raise InputError("tokenizer_unportable", tokenizer=tokenizer.name, kind=kind)
    return LibraryTokenizer(library, _config())


def _special_names(tokenizer: Tokenizer, described: Mapping[str, Any]) -> dict[str, int]:
    """Return the names of the special tokens, in the order of their ids."""
    names = [END_NAME, *([UNKNOWN_NAME] if tokenizer.unknown is not None else [])]
    for label in described["labels"]:
        names.append(_BLANK_NAME.format(len(names)) if label is None else f"<label {label}>")
    return {name: number for number, name in enumerate(names)}


def _added(name: str, rank: int, *, is_special: bool = True) -> Json:
    strips = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": rank, "content": name, **strips, "special": is_special}


def _opening(name: str) -> Json:
    """Return what puts the end of the text before before each text, as models of ours read it."""

    def special(sequence: int) -> Json:
        return {"SpecialToken": {"id": name, "type_id": sequence}}

    def text(letter: str, sequence: int) -> Json:
        return {"Sequence": {"id": letter, "type_id": sequence}}

    first = [special(0), text("A", 0)]
    return {
        "type": "TemplateProcessing",
        "single": first,
        "pair": [*first, special(1), text("B", 1)],
        "special_tokens": {name: {"id": name, "ids": [0], "tokens": [name]}},
    }


def _config() -> Json:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_NAME,
        "eos_token": END_NAME,
        "pad_token": END_NAME,
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,
    }


def _vocabulary(symbols: list[str | None], specials: Mapping[str, int]) -> dict[str, int]:
    vocabulary = dict(specials)
    for rank, symbol in enumerate(symbols, start=len(specials)):
        vocabulary[_BLANK_NAME.format(rank) if symbol is None else symbol] = rank
    return vocabulary


def _chars(symbols: list[str | None], specials: Mapping[str, int], library: Json) -> Json:
    return {
        "pre_tokenizer": None,
        "decoder": _sequence(*_spelling(symbols), {"type": "Fuse"}),
        "model": _pairs(_vocabulary(symbols, specials), [], unknown=UNKNOWN_NAME),
    }


def _bytes(symbols: None, specials: Mapping[str, int], library: Json) -> Json:
    return {
        "pre_tokenizer": _BYTE_LEVEL | {"use_regex": False},
        "decoder": _BYTE_LEVEL | {"use_regex": True},
        "model": _pairs(_vocabulary([*byte_alphabet()], specials), []),
    }


def _bpe(symbols: Json, specials: Mapping[str, int], library: Json) -> Json:
    """Return the library's own description, its ids behind the special tokens."""
    model, first = symbols["model"], len(specials)
    vocabulary = {piece: rank + first for piece, rank in model["vocab"].items()}
    # What its file adds is found in every text, by us too: it must not count as special.
    added = [
        one | {"id": one["id"] + first, "special": False} for one in symbols.get("added_tokens", [])
    ]
    decoder: list[Json] = [_BYTE_LEVEL | {"use_regex": True}]
    if any(piece.startswith(BLANK_PIECE) for piece in vocabulary):
        decoder.insert(0, _replace({"Regex": f"^{BLANK_PIECE}.*$"}, _UNKNOWN_BYTES))
    return {
        "added_tokens": [*library["added_tokens"], *added],
        "normalizer": symbols.get("normalizer"),
        "pre_tokenizer": symbols.get("pre_tokenizer"),
        "decoder": _sequence(*decoder),
        "model": model | {"vocab": {**specials, **vocabulary}},
    }


def _whitespace(symbols: list[str | None], specials: Mapping[str, int], library: Json) -> Json:
    spaces = "".join(
        f"\\x{{{code:x}}}" for code in range(sys.maxunicode + 1) if chr(code).isspace()
    )
    cut = {"Regex": f"\\n|[^{spaces}]+"}
    return {
        "pre_tokenizer": {
            "type": "Split", "pattern": cut, "behavior": "Removed", "invert": True
        },
        # A space before every token but the first, and none beside line ends.
        "decoder": _sequence(
            *_spelling(symbols),
            {"type": "WordPiece", "prefix": " ", "cleanup": False},
            {"type": "Fuse"},
            _replace({"String": " \n"}, "\n"),
            _replace({"String": "\n "}, "\n"),
        ),
        "model": {
            "type": "WordLevel",
            "vocab": _vocabulary(symbols, specials),
            "unk_token": UNKNOWN_NAME,
        },
    }  # fmt: skip


_KINDS: dict[str, Callable[[Any, Mapping[str, int], Json], Json]] = {  # Any: symbols as JSON
    "char": _chars,
    "byte": _bytes,
    "bpe": _bpe,
    "whitespace": _whitespace,
}


def _pairs(vocabulary: Mapping[str, int], merges: list[str], *, unknown: str | None = None) -> Json:
    return {
        "type": "BPE", "dropout": None, "unk_token": unknown, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
        "ignore_merges": False, "vocab": vocabulary, "merges": merges,
    }  # fmt: skip


def _spelling(symbols: list[str | None]) -> list[Json]:
    """Return what decodes unknown symbols, and entries that are blank, as we do."""
    found = [_replace({"String": UNKNOWN_NAME}, UNKNOWN_TEXT)]
    if None in symbols:
        found.append(_replace({"Regex": _IS_BLANK}, UNKNOWN_TEXT))
    return found


def _replace(pattern: Json, content: str) -> Json:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _sequence(*decoders: Json) -> Json:
    return {"type": "Sequence", "decoders": list(decoders)}


def _is_same(tokenizer: Tokenizer, library: Json) -> bool:
    """Say whether hard texts have the same ids, and the ids the same text."""
    from tokenizers import Tokenizer as Library

    try:
        other = Library.from_str(json.dumps(library))
    except Exception:  # the library raises nothing narrower
        return False
    if other.get_vocab_size() != tokenizer.vocabulary_size:
        return False
    other.encode_special_tokens = True
    every = range(min(tokenizer.vocabulary_size, _MOST_TRIED_IDS))
    known = tokenizer.decode(every)
    for text in (*_HARD_TEXTS, known):
        ours = tokenizer.encode(text).ids.tolist()
        if other.encode(text, add_special_tokens=False).ids != ours:
            return False
        if other.decode(ours) != tokenizer.decode(ours):
            return False
    return bool(other.decode(list(every)) == known)
