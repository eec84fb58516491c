"""The tokenizers: char, byte, bpe, word, whitespace.

Ids begin with the special tokens: the end of a document, the unknown symbol (where a vocabulary
can lack one), and one for each label, which opens the documents that carry it (as control codes do
in CTRL, Keskar et al. 2019). The rest are the symbols. All but `whitespace` give the text back
exactly, unknown symbols excepted.

An entry that only erased documents had is *blank* (see `blanking.py`): it keeps its id, so that
nobody else's changes, and no text has it. In the lists of labels and symbols it is None.
"""

from __future__ import annotations

import codecs
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memlm.errors import CorruptArtefactError, InputError
from memlm.language_model import Encoding, TextDecoder, Tokenizer
from memlm.prepare.byte_alphabet import byte_alphabet
from memlm.prepare.foreign_tokenizer import KIND as FOREIGN
from memlm.prepare.foreign_tokenizer import ForeignTokenizer
from memlm.prepare.words import split_words
from memlm.runtime import is_installed, require_package
from memlm.storage import hash_file, read_json

END, UNKNOWN = "<end>", "<unknown>"
UNKNOWN_TEXT = "\ufffd"
BLANK_PIECE = "\u00ff\u00ff"
"""What the blank pieces of a BPE begin with: it stands for two bytes that no UTF-8 has."""
_PROOFS, _PROOF_CHARACTERS = 20, 200
_VISIBLE_OR_LINE_END = re.compile(r"\n|[^\s]+")


class SpecialTokens(ABC):
    """What all tokenizers share: special ids first, then the symbols. Abstract."""

    kind: str
    has_unknown = True
    is_spaced = False

    def __init__(self, *, labels: Sequence[str | None], name: str) -> None:
        self.name = name
        specials = [END, *([UNKNOWN] if self.has_unknown else [])]
        self.end = 0
        self.unknown = 1 if self.has_unknown else None
        self._labels = list(labels)
        self.labels = {
            label: len(specials) + number
            for number, label in enumerate(labels)
            if label is not None
        }
        self.num_specials = len(specials) + len(labels)

    @property
    @abstractmethod
    def num_symbols(self) -> int:
        """Symbols beside the special tokens."""

    @property
    def vocabulary_size(self) -> int:
        return self.num_specials + self.num_symbols

    @abstractmethod
    def encode(self, text: str) -> Encoding:
        """See `Tokenizer.encode`."""

    @abstractmethod
    def decoder(self) -> TextDecoder:
        """See `Tokenizer.decoder`."""

    @abstractmethod
    def symbols_to_json(self) -> object:
        """Return the symbols as JSON."""

    @abstractmethod
    def symbol_bytes(self) -> Sequence[bytes]:
        """Return the UTF-8 of each symbol; that of a blank one is `UNKNOWN_TEXT`'s."""

    @property
    @abstractmethod
    def blank_symbols(self) -> Iterable[int]:
        """Ranks of the symbols that are blank."""

    @cached_property
    def blanks(self) -> frozenset[int]:
        first = self.num_specials - len(self._labels)
        labels = {first + place for place, label in enumerate(self._labels) if label is None}
        return frozenset(labels | {self.num_specials + rank for rank in self.blank_symbols})

    def pieces(self) -> Sequence[bytes]:
        return [b""] * self.num_specials + list(self.symbol_bytes())

    def decode(self, ids: Iterable[int]) -> str:
        decoder = self.decoder()
        return "".join([decoder.feed(int(token)) for token in ids]) + decoder.finish()

    def to_json(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "name": self.name,
            "labels": self._labels,
            "symbols": self.symbols_to_json(),
        }


class CharTokenizer(SpecialTokens):
    """One token a code point."""

    kind = "char"

    def __init__(
        self, symbols: Iterable[str | None], *, labels: Sequence[str | None], name: str
    ) -> None:
        super().__init__(labels=labels, name=name)
        self._symbols = list(symbols)
        # In order, but for those that are blank: they keep their places.
        places = [place for place, symbol in enumerate(self._symbols) if symbol is not None]
        known = sorted(symbol for symbol in self._symbols if symbol is not None)
        for place, symbol in zip(places, known, strict=True):
            self._symbols[place] = symbol
        self._codes = np.array([ord(symbol) for symbol in known], dtype=np.uint32)
        self._ids = np.array(places, dtype=np.uint32) + np.uint32(self.num_specials)

    @property
    def num_symbols(self) -> int:
        return len(self._symbols)

    def encode(self, text: str) -> Encoding:
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        ranks = np.minimum(np.searchsorted(self._codes, codes), max(0, len(self._codes) - 1))
        ids = np.full(len(codes), self.unknown, dtype=np.uint32)
        if len(self._codes):
            is_known = self._codes[ranks] == codes
            ids[is_known] = self._ids[ranks[is_known]]
        return Encoding(ids, np.arange(len(codes), dtype=np.int64))

    def decoder(self) -> TextDecoder:
        return _StringDecoder(self.num_specials, self.unknown, self.symbols_to_json())

    def symbols_to_json(self) -> list[str | None]:
        return self._symbols

    def symbol_bytes(self) -> Sequence[bytes]:
        return _encoded(self._symbols)

    @property
    def blank_symbols(self) -> Iterable[int]:
        return _places_of_none(self._symbols)


class ByteTokenizer(SpecialTokens):
    """One token a byte of UTF-8: nothing is ever unknown."""

    kind = "byte"
    has_unknown = False

    @property
    def num_symbols(self) -> int:
        return 256

    def encode(self, text: str) -> Encoding:
        data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
        is_first = (data & 0xC0) != 0x80  # not a continuation byte
        return Encoding(
            data.astype(np.uint32) + self.num_specials, np.cumsum(is_first, dtype=np.int64) - 1
        )

    def decoder(self) -> TextDecoder:
        return _BytesDecoder(self.num_specials, self.symbol_bytes())

    def symbols_to_json(self) -> None:
        return None

    def symbol_bytes(self) -> Sequence[bytes]:
        return [bytes([value]) for value in range(256)]

    @property
    def blank_symbols(self) -> Iterable[int]:
        return ()  # a byte is no text


class _StringTokenizer(SpecialTokens):
    """Looks pieces of text up in a table. Abstract."""

    def __init__(
        self, symbols: Iterable[str | None], *, labels: Sequence[str | None], name: str
    ) -> None:
        super().__init__(labels=labels, name=name)
        self._symbols = list(symbols)
        self._ids = {
            text: self.num_specials + rank
            for rank, text in enumerate(self._symbols)
            if text is not None
        }

    @property
    def num_symbols(self) -> int:
        return len(self._symbols)

    def symbols_to_json(self) -> list[str | None]:
        return self._symbols

    def symbol_bytes(self) -> Sequence[bytes]:
        return _encoded(self._symbols)

    @property
    def blank_symbols(self) -> Iterable[int]:
        return _places_of_none(self._symbols)

    def _look_up(self, pieces: Iterable[str]) -> npt.NDArray[np.uint32]:
        unknown = self.unknown
        return np.fromiter((self._ids.get(piece, unknown) for piece in pieces), dtype=np.uint32)


class WordTokenizer(_StringTokenizer):
    """One token a word of English or Chinese; see `words.py` for what a word is."""

    kind = "word"

    def encode(self, text: str) -> Encoding:
        pieces = list(split_words(text))
        lengths = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
        return Encoding(self._look_up(pieces), np.cumsum(lengths) - lengths)

    def decoder(self) -> TextDecoder:
        return _StringDecoder(self.num_specials, self.unknown, self._symbols)


class WhitespaceTokenizer(_StringTokenizer):
    """One token a run of visible characters, and one a line end: text that is cut already."""

    kind = "whitespace"
    is_spaced = True

    def encode(self, text: str) -> Encoding:
        matches = list(_VISIBLE_OR_LINE_END.finditer(text))
        starts = np.fromiter((m.start() for m in matches), dtype=np.int64, count=len(matches))
        return Encoding(self._look_up(match.group() for match in matches), starts)

    def decoder(self) -> TextDecoder:
        return _SpacedDecoder(self.num_specials, self.unknown, self._symbols)


def split_whitespace(text: str) -> Iterator[str]:
    """Yield what a `WhitespaceTokenizer` takes for a token."""
    for match in _VISIBLE_OR_LINE_END.finditer(text):
        yield match.group()


class BpeTokenizer(SpecialTokens):
    """Byte-level byte-pair encoding, by the library `tokenizers`: nothing is ever unknown.

    `gigatoken` cuts the same tokens twenty times as fast; it is used where it is installed and has
    just shown, on the text itself, that its ids are the same.
    """

    kind = "bpe"
    has_unknown = False

    def __init__(self, model: str, *, labels: Sequence[str | None], name: str) -> None:
        super().__init__(labels=labels, name=name)
        require_package("tokenizers", extra="fast")
        from tokenizers import Tokenizer as LibraryTokenizer

        self._library = LibraryTokenizer.from_str(model)
        self._fast = _fast_encoder(model)
        self._proofs_owed = _PROOFS if self._fast else 0

    @property
    def num_symbols(self) -> int:
        return int(self._library.get_vocab_size())

    def encode(self, text: str) -> Encoding:
        if self._fast is not None:
            found = self._encode_fast(text)
            if found is not None:
                return found
        return self._encode_slowly(text)

    def decoder(self) -> TextDecoder:
        return _BytesDecoder(self.num_specials, self.symbol_bytes())

    def symbols_to_json(self) -> Any:  # Any: the library's own JSON
        return json.loads(self._library.to_str())

    @property
    def blank_symbols(self) -> Iterable[int]:
        vocabulary: dict[str, int] = self._library.get_vocab()
        return (rank for piece, rank in vocabulary.items() if piece.startswith(BLANK_PIECE))

    def _encode_slowly(self, text: str) -> Encoding:
        found = self._library.encode(text, add_special_tokens=False)
        ids = np.asarray(found.ids, dtype=np.uint32) + np.uint32(self.num_specials)
        starts = np.asarray([start for start, _ in found.offsets], dtype=np.int64)
        return Encoding(ids, starts)

    def _encode_fast(self, text: str) -> Encoding | None:
        """Return the tokens as the fast encoder has them; None once it has been wrong."""
        ids = np.asarray(self._fast.encode(text), dtype=np.uint32)
        ends = np.cumsum(self._lengths[ids], dtype=np.int64)
        data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
        if len(data) != (ends[-1] if len(ends) else 0):
            self._fast = None
            return None
        # A token that begins inside a character is said to begin where the character does.
        character = np.cumsum((data & 0xC0) != 0x80, dtype=np.int64) - 1
        starts = character[np.concatenate([[0], ends[:-1]])] if len(ends) else ends
        found = Encoding(ids + np.uint32(self.num_specials), starts)
        if self._proofs_owed and len(text) > _PROOF_CHARACTERS:
            self._proofs_owed -= 1
            slow = self._encode_slowly(text)
            if not (
                np.array_equal(slow.ids, found.ids) and np.array_equal(slow.starts, found.starts)
            ):
                self._fast = None
                return slow
        return found

    def symbol_bytes(self) -> Sequence[bytes]:
        return self._pieces

    @cached_property
    def _pieces(self) -> list[bytes]:
        to_byte = {character: value for value, character in enumerate(byte_alphabet())}
        tokens = (str(self._library.id_to_token(rank)) for rank in range(self.num_symbols))
        return [
            UNKNOWN_TEXT.encode("utf-8")
            if token.startswith(BLANK_PIECE)
            else bytes(to_byte[character] for character in token)
            for token in tokens
        ]

    @cached_property
    def _lengths(self) -> npt.NDArray[np.int64]:
        return np.fromiter(map(len, self._pieces), dtype=np.int64)


def _encoded(symbols: Iterable[str | None]) -> list[bytes]:
    return [(UNKNOWN_TEXT if symbol is None else symbol).encode("utf-8") for symbol in symbols]


def _places_of_none(symbols: Sequence[str | None]) -> Iterator[int]:
    return (place for place, symbol in enumerate(symbols) if symbol is None)


def _fast_encoder(model: str) -> Any:  # Any: gigatoken has no types
    if not is_installed("gigatoken"):
        return None
    import gigatoken

    try:
        return gigatoken.Tokenizer.from_json(model)
    except Exception:  # it knows fewer kinds than `tokenizers` and says so in many ways
        return None


class _StringDecoder:
    def __init__(
        self, num_specials: int, unknown: int | None, symbols: Sequence[str | None]
    ) -> None:
        self._first, self._unknown, self._symbols = num_specials, unknown, symbols

    def feed(self, token: int) -> str:
        if token >= self._first:
            symbol = self._symbols[token - self._first]
            return UNKNOWN_TEXT if symbol is None else symbol
        return UNKNOWN_TEXT if token == self._unknown else ""

    def finish(self) -> str:
        return ""


class _SpacedDecoder:
    def __init__(
        self, num_specials: int, unknown: int | None, symbols: Sequence[str | None]
    ) -> None:
        self._words = _StringDecoder(num_specials, unknown, symbols)
        self._at_line_start = True

    def feed(self, token: int) -> str:
        word = self._words.feed(token)
        glue = "" if self._at_line_start or word in ("", "\n") else " "
        self._at_line_start = word == "\n" or (self._at_line_start and not word)
        return glue + word

    def finish(self) -> str:
        return ""


class _BytesDecoder:
    def __init__(self, num_specials: int, pieces: Sequence[bytes]) -> None:
        self._first, self._pieces = num_specials, pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        if token < self._first:
            return ""
        return self._decoder.decode(self._pieces[token - self._first])

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


_IS_GIVEN = re.compile(r"-[0-9a-f]{8}$")
_UNFIT_FOR_NAME = re.compile(r"[^\w.-]+")
_PROBE = "A word, 一个词 😀\n\tand\u00a0more"
DEFAULT_BPE_SIZE = 4096
BY_KIND: dict[str, Callable[..., Tokenizer]] = {
    "char": CharTokenizer,
    "word": WordTokenizer,
    "whitespace": WhitespaceTokenizer,
}


def tokenizer_name(kind: str, size: int | None) -> str:
    """Return the name of a tokenizer of this kind and size, which its folder carries."""
    if kind.endswith(".json"):
        return _file_name(Path(kind).expanduser())
    if kind == "byte":
        return kind
    size = size or (DEFAULT_BPE_SIZE if kind == "bpe" else None)
    return kind if size is None else f"{kind}-{size}"


def load_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer that a `tokenizer.json` of ours describes."""
    found = read_json(path)
    if isinstance(found, dict) and found.get("kind") in ("bpe", FOREIGN):
        require_package("tokenizers", extra="fast")  # its absence is no damage
    try:
        labels, name = found["labels"], found["name"]
        if found["kind"] == "byte":
            return ByteTokenizer(labels=labels, name=name)
        if found["kind"] == FOREIGN:
            return ForeignTokenizer(found["symbols"], name=name)
        if found["kind"] == "bpe":
            return BpeTokenizer(json.dumps(found["symbols"]), labels=labels, name=name)
        return BY_KIND[found["kind"]](found["symbols"], labels=labels, name=name)
    except Exception as error:  # the library `tokenizers` raises nothing narrower
        raise CorruptArtefactError("artefact_unreadable", path=path) from error


def _file_name(path: Path) -> str:
    """Return the name of the tokens that a tokenizer's file makes: its own, and some of its hash.

    A file that got such a name before, when it was first given, keeps it.
    """
    found = read_json(path)
    stem = path.parent.name if path.stem == "tokenizer" else path.stem
    if _is_ours(found):
        stem = str(found["name"])
        if _IS_GIVEN.search(stem):
            return stem
    return f"{_UNFIT_FOR_NAME.sub('-', stem) or 'file'}-{hash_file(path)[:8]}"


def read_tokenizer_file(path: Path, *, labels: Sequence[str]) -> Tokenizer:
    """Return the tokenizer of a `tokenizer.json`: one of ours, or a byte-level BPE of `tokenizers`.

    Labels are those of the documents at hand, whatever the file has.
    """
    found, name = read_json(path), _file_name(path)
    if _is_ours(found) and found["kind"] == "byte":
        return ByteTokenizer(labels=labels, name=name)
    if _is_ours(found) and found["kind"] in BY_KIND:
        return BY_KIND[found["kind"]](found["symbols"], labels=labels, name=name)
    require_package("tokenizers", extra="fast")
    if _is_ours(found) and found["kind"] == FOREIGN:  # which has a token for no label
        return ForeignTokenizer(found["symbols"], name=name)
    try:
        model = json.dumps(found["symbols"] if _is_ours(found) else found)
        tokenizer = BpeTokenizer(model, labels=labels, name=name)
        is_lossless = tokenizer.decode(tokenizer.encode(_PROBE).ids) == _PROBE
    except Exception as error:  # the library `tokenizers` raises nothing narrower
        raise InputError("tokenizer_file", path=path.name) from error
    if not is_lossless:
        raise InputError("tokenizer_file", path=path.name)
    return tokenizer


def _is_ours(found: Any) -> bool:  # Any: JSON
    return isinstance(found, dict) and {"kind", "name", "symbols"} <= found.keys()
