"""Allowed words: nothing else is written, but for what joins them.

A text is then made of the words, in any order and number, and of joiners: white space and
punctuation. Two words that meet in letters or digits need a joiner between them, so that *cat* and
*dog* do not become *catdog*; hanzi and kana need none, and join others freely. A document ends
only where a word does.

All words and joiners lie in a trie of bytes (Fredkin 1960). While a text is written it is known
which of them may be under way: a set of the trie's nodes. A token may come if its bytes lead on
from one of them, and if more tokens can then bring the word to its end.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from memlm.errors import InputError
from memlm.generate.pieces import AT_LINE_START, Pieces
from memlm.generate.transforms import LogWeights
from memlm.language_model import Tokens
from memlm.prepare.character_classes import HAN

_Ids = npt.NDArray[np.int64]
_Nodes = frozenset[int]
_ANYTHING, _NO_LETTER = 0, 1
"""The two roots: what may come next, and what may come next to a letter."""
_JOINS_FREELY = re.compile(rf"[{HAN}\u3005-\u3007\u3040-\u30ff]")


class Trie:
    """Byte strings by their beginnings, each with the values that were added under it."""

    def __init__(self, roots: int = 1) -> None:
        self.children: list[dict[int, int]] = [{} for _ in range(roots)]
        self.values: list[list[int]] = [[] for _ in range(roots)]

    def add(self, string: bytes, value: int, *, root: int = 0) -> None:
        """Add a string with its value, below one of the roots."""
        node = root
        for byte in string:
            if byte not in self.children[node]:
                self.children[node][byte] = len(self.children)
                self.children.append({})
                self.values.append([])
            node = self.children[node][byte]
        self.values[node].append(value)


class Grammar:
    """What may be written, byte by byte: words and joiners."""

    def __init__(self, words: Sequence[str]) -> None:
        self._trie = Trie(roots=2)
        self._next_root: dict[int, int] = {}
        for number, text in enumerate([*words, *_joiners()]):
            is_word = number < len(words)
            self._next_root[number] = _root_after(text) if is_word else _ANYTHING
            self._trie.add(text.encode("utf-8"), number, root=_ANYTHING)
            if not (is_word and _is_bound_letter(text[0])):
                self._trie.add(text.encode("utf-8"), number, root=_NO_LETTER)

    def start(self, prompt: str, begun: str = "") -> _Nodes:
        """Return where a text goes on that has begun behind a prompt, be it within a word.

        What was not written by these words is nothing but more of the prompt.
        """
        nodes = frozenset([_root_after(prompt)])
        for byte in begun.encode("utf-8"):
            nodes = self.step(nodes, byte)
        return nodes or frozenset([_root_after(prompt + begun)])

    def step(self, nodes: _Nodes, byte: int) -> _Nodes:
        """Return where one more byte leads; nowhere if it may not come."""
        found = set()
        for node in nodes:
            child = self._trie.children[node].get(byte)
            if child is not None:
                found.add(child)
                found.update(self._next_root[number] for number in self._trie.values[child])
        return frozenset(found)

    def is_between_words(self, nodes: _Nodes) -> bool:
        """Say whether a text may end here."""
        return _ANYTHING in nodes or _NO_LETTER in nodes

    def ended(self, nodes: _Nodes) -> Iterator[int]:
        """Yield the numbers of the words, and more, that end here."""
        for node in nodes:
            yield from self._trie.values[node]


class AllowWords:
    """A transform that forbids every token that leads out of the allowed words.

    What is written begins after `begin` tokens, those of the prompt and of what has `begun`. The
    end-of-document token is allowed where a text may end.
    """

    def __init__(
        self,
        words: Sequence[str],
        pieces: Pieces,
        *,
        end: int,
        prompt: str = "",
        begun: str = "",
        begin: int = 0,
    ) -> None:
        self._words, self._pieces, self._end, self._begin = words, pieces, end, begin
        self._grammar = Grammar(words)
        self._start = self._grammar.start(prompt, begun)
        self._tries = tuple(map(_trie_of, pieces.at))
        self._allowed = cache(self._find_allowed)
        self._ends_somewhere = cache(self._finds_end)
        self._reached: dict[bytes, _Nodes] = {}

    def check(self) -> None:
        """Raise InputError if the tokenizer has no tokens for one of the words."""
        ended: set[int] = set()
        for nodes in self._walk(self._start, AT_LINE_START):
            ended.update(self._grammar.ended(nodes))
        missing = [word for number, word in enumerate(self._words) if number not in ended]
        if missing:
            raise InputError("allow_unwritable", words=", ".join(missing))

    def __call__(self, log_weights: LogWeights, so_far: Tokens) -> LogWeights:
        changed = np.full_like(log_weights, -np.inf)
        reached = {}
        for row, tokens in enumerate(so_far):
            written = tokens[self._begin :]
            nodes = reached[written.tobytes()] = self._nodes_after(tokens)
            allowed = self._allowed(nodes, self._pieces.place(tokens))
            changed[row, allowed] = log_weights[row, allowed]
        self._reached = reached  # so that the next call has one token of each row to follow
        return changed

    def _nodes_after(self, tokens: Tokens) -> _Nodes:
        """Return where the tokens (T,) lead."""
        written = tokens[self._begin :]
        known = self._reached.get(written.tobytes()) if len(written) else self._start
        if known is not None:
            return known
        before = self._reached.get(written[:-1].tobytes())
        nodes, first = (self._start, self._begin) if before is None else (before, len(tokens) - 1)
        place = self._pieces.place(tokens[:first])
        for token in tokens[first:].tolist():
            for byte in self._pieces.at[place][token]:
                nodes = self._grammar.step(nodes, byte)
            place = self._pieces.place_after(token)
        return nodes

    def _find_allowed(self, nodes: _Nodes, place: int) -> _Ids:
        found = [
            token
            for token, after, next_place in self._leads(nodes, place)
            if self._ends_somewhere(after, next_place)
        ]
        if self._grammar.is_between_words(nodes):
            found.append(self._end)
        return np.array(found, dtype=np.int64)

    def _finds_end(self, nodes: _Nodes, place: int) -> bool:
        """Say whether tokens lead from here to the end of a word."""
        return any(self._grammar.is_between_words(found) for found in self._walk(nodes, place))

    def _walk(self, nodes: _Nodes, place: int) -> Iterator[_Nodes]:
        """Yield all that tokens lead to from here, and this, depth first."""
        seen, ahead = set(), [(nodes, place)]
        while ahead:
            here = ahead.pop()
            if here not in seen:
                seen.add(here)
                yield here[0]
                ahead += [(after, next_place) for _, after, next_place in self._leads(*here)]

    def _leads(self, nodes: _Nodes, place: int) -> Iterator[tuple[int, _Nodes, int]]:
        """Yield the tokens that may come by their bytes, where they lead, and the next place."""
        trie, ahead = self._tries[place], [(nodes, 0)]
        while ahead:
            here, node = ahead.pop()
            for token in trie.values[node]:
                yield token, here, self._pieces.place_after(token)
            for byte, child in trie.children[node].items():
                after = self._grammar.step(here, byte)
                if after:
                    ahead.append((after, child))


def _trie_of(pieces: Iterable[bytes]) -> Trie:
    trie = Trie()
    for token, piece in enumerate(pieces):
        if piece:  # special tokens write nothing
            trie.add(piece, token)
    return trie


@cache
def _joiners() -> list[str]:
    """Return white space and punctuation, as Unicode has them in its first 65,536 code points."""
    classes = ("Zs", "Zl", "Zp", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po")
    characters = map(chr, range(0x10000))
    return ["\n", "\t", *(one for one in characters if unicodedata.category(one) in classes)]


def _is_bound_letter(character: str) -> bool:
    """Say whether a letter (a digit, a mark) needs a joiner between it and another one."""
    is_letter = unicodedata.category(character)[0] in "LMN"
    return is_letter and not _JOINS_FREELY.match(character)


def _root_after(text: str) -> int:
    return _NO_LETTER if text and _is_bound_letter(text[-1]) else _ANYTHING
