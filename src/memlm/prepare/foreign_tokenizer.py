"""The tokenizer of a model of somebody else's, as one of ours.

It cuts text as the library `tokenizers` does by the model's `tokenizer.json`, with nothing added:
what begins and ends a text is told by `end`. Special tokens in a text are text. What is not needed
to cut text is left out before the library sees it: templates, padding, truncation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from memlm.errors import CorruptArtefactError, InputError
from memlm.language_model import Encoding, TextDecoder
from memlm.prepare.byte_alphabet import byte_alphabet
from memlm.prepare.growth import grows_too_much
from memlm.prepare.patterns import is_safe_pattern, patterns_in
from memlm.runtime import require_package

KIND = "huggingface"
_UNDECODED = "\ufffd"
_SPACE = "\u2581"
"""Stands for a space in the tokens of SentencePiece."""
_BYTE = re.compile("<0x([0-9A-F]{2})>")
_LONGEST_CHARACTER = 4
"""Tokens that may be pieces of one character: a byte each."""
_PROBE = "A word, 一个词 😀\n\tand Ünicode\u00a0more"
_LEFT_OUT = ("post_processor", "truncation", "padding")


class ForeignTokenizer:
    """Cuts text as a model's own tokenizer does."""

    labels: Mapping[str, int]

    def __init__(self, described: Mapping[str, Any], *, name: str) -> None:  # Any: JSON
        require_package("tokenizers", extra="fast")
        from tokenizers import Tokenizer as LibraryTokenizer

        self.name, self.labels = name, {}
        self._described = described
        self._library = LibraryTokenizer.from_str(json.dumps(described["library"]))
        self._library.encode_special_tokens = True
        self.vocabulary_size, self.end = int(described["size"]), int(described["end"])
        known = set(self._library.get_vocab(with_added_tokens=True).values())
        self.unknown = _unknown(described["library"], self._library)
        self._known = frozenset(known)
        self._special = _special(described["library"])
        self.blanks = frozenset(set(range(self.vocabulary_size)) - known - {self.end})

    def encode(self, text: str) -> Encoding:
        with _own_errors():
            found = self._library.encode(text, add_special_tokens=False)
        starts = np.asarray([start for start, _ in found.offsets], dtype=np.int64)
        return Encoding(np.asarray(found.ids, dtype=np.uint32), np.maximum.accumulate(starts))

    def decode(self, ids: Iterable[int]) -> str:
        decoder = self.decoder()
        return "".join([decoder.feed(int(token)) for token in ids]) + decoder.finish()

    def decoder(self) -> TextDecoder:
        return _Decoder(self._library, self._known - {self.end})

    @property
    def is_spaced(self) -> bool:
        return False  # a space is part of a token, or was lost

    def pieces(self) -> Sequence[bytes]:
        alphabet = {sign: byte for byte, sign in enumerate(byte_alphabet())}
        decoder = self._described["library"].get("decoder")
        is_bytes = "ByteLevel" in json.dumps(decoder)
        is_word_piece = isinstance(decoder, dict) and decoder.get("type") == "WordPiece"
        inside = str(decoder.get("prefix") or "") if is_word_piece else ""
        return [
            self._piece(number, alphabet if is_bytes else {}).removeprefix(inside.encode())
            for number in range(self.vocabulary_size)
        ]

    def _piece(self, number: int, alphabet: Mapping[str, int]) -> bytes:
        is_written = number in self._known and number not in self._special | {self.end}
        token = self._library.id_to_token(number) if is_written else None
        if token is None:
            return b""
        if alphabet and all(sign in alphabet for sign in token):
            return bytes(alphabet[sign] for sign in token)
        byte = _BYTE.fullmatch(token)
        if byte is not None:  # a byte of what the vocabulary lacks
            return bytes([int(byte.group(1), 16)])
        return str(token).replace(_SPACE, " ").encode()

    def to_json(self) -> dict[str, object]:
        return {"kind": KIND, "name": self.name, "labels": [], "symbols": dict(self._described)}

    @property
    def is_lossless(self) -> bool:
        """Whether text comes back as it was: some take accents or capital letters away."""
        return self.decode(self.encode(_PROBE).ids).strip() == _PROBE.strip()


def foreign_tokenizer(
    text: str, *, name: str, size: int, end: int, model_size: int
) -> ForeignTokenizer:
    """Return the tokenizer that the `tokenizer.json` of a model describes.

    `size` counts the ids, `end` among them; the model itself has `model_size`. Raises
    CorruptArtefactError where it is none, InputError for one that the model has not, or whose
    patterns could take for ever.
    """
    require_package("tokenizers", extra="fast")
    with _own_errors():
        library = json.loads(text)
        library |= dict.fromkeys(_LEFT_OUT)
        for pattern in patterns_in(library):
            if not is_safe_pattern(pattern):
                raise InputError("foreign_pattern", pattern=ascii(pattern)[:80])
        if grows_too_much(library):
            raise InputError("foreign_growth")
        described = {"library": library, "size": size, "end": end}
        found = ForeignTokenizer(described, name=name)
        largest = max(found._library.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= model_size:
        raise InputError("foreign_vocabulary", largest=largest, size=model_size)
    return found


def _special(described: Mapping[str, Any]) -> frozenset[int]:  # Any: JSON
    """Return the ids of the tokens that write nothing."""
    added = described.get("added_tokens") or ()
    return frozenset(int(one["id"]) for one in added if one.get("special"))


def _unknown(described: Mapping[str, Any], library: Any) -> int | None:  # Any: JSON, the library
    """Return the id that stands for what the vocabulary lacks; None if bytes spell it out."""
    model = described["model"]
    if isinstance(model.get("unk_id"), int):
        return None if model.get("byte_fallback") else int(model["unk_id"])
    token = model.get("unk_token")
    if not isinstance(token, str) or model.get("byte_fallback"):
        return None
    number: int | None = library.token_to_id(token)
    return number


@contextmanager
def _own_errors() -> Iterator[None]:
    """Turn whatever the library raises or panics with into a CorruptArtefactError."""
    try:
        yield
    except InputError:
        raise
    except BaseException as error:  # what the library panics with is no Exception
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError | GeneratorExit):
            raise
        reason = ascii(str(error).partition("\n")[0])[1:-1][:80] or type(error).__name__
        raise CorruptArtefactError("foreign_tokenizer", reason=reason) from error


class _Decoder:
    """Gives text in whole characters; glue between tokens depends on those before them."""

    def __init__(self, library: Any, known: frozenset[int]) -> None:  # Any: as above
        self._library, self._known = library, known
        self._before: list[int] = []
        """Tokens whose text was given last."""
        self._held: list[int] = []

    def feed(self, token: int) -> str:
        if token not in self._known:
            return ""
        self._held.append(token)
        text = self._new_text()
        if text.endswith(_UNDECODED) and len(self._held) < _LONGEST_CHARACTER:
            return ""
        if not text:  # a special token, or one that only changes what comes next
            return text
        self._before, self._held = self._held, []
        return text

    def finish(self) -> str:
        text = self._new_text()
        self._before, self._held = self._held or self._before, []
        return text

    def _new_text(self) -> str:
        if not self._held:
            return ""
        with _own_errors():
            said = self._library.decode(self._before) if self._before else ""
            return str(self._library.decode(self._before + self._held))[len(said) :]
