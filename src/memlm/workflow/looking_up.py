"""Look up: what the memory holds for a text, how it would go on, and where that comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from memlm.documents import DocumentStore
from memlm.errors import ConfigError, InputError
from memlm.language_model import Encoding, Tokenizer
from memlm.records import Continuation, ContinuationKind, Lookup, SpanSource
from memlm.workflow.blending import memory_of
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, Model, load_model
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of
from memlm.workflow.preparing import masked_places
from memlm.workflow.remembering import CountsMemory, open_memory
from memlm.workflow.tracing import mark_masked
from memlm.workspace import Workspace

DEFAULT_CONTINUATIONS = 10
LONGEST_CONTEXT = 64
"""Tokens of the text that are looked for."""
_FOLLOWING = 16  # tokens: enough to see which word it is
_LONGEST_SPELLING = 33  # code points that cleaning makes one of (`&CounterClockwise...;`)

Ids = npt.NDArray[np.int64]


def lookup_text(
    workspace: AnyWorkspace,
    text: str,
    *,
    model: Model | str | None = None,
    limit: int = DEFAULT_CONTINUATIONS,
    sources_per_continuation: int = 3,
    listener: Listener | None = None,
) -> Lookup:
    """Return how a text would go on by the memory alone, and which documents say so.

    The tokens are those of `model`, or those prepared last. No text asks how documents begin. A
    symbol that the vocabulary lacks cuts off what is before it. Raises InputError where it is the
    last one, NotFoundError where there are no documents.

    >>> import tempfile
    >>> from memlm import collect_documents, open_workspace
    >>> ws = open_workspace(tempfile.mkdtemp(), create=True)
    >>> report = collect_documents(ws, texts=["to be or not to be", "to be sure", "to bed"])
    >>> found = lookup_text(ws, "or not to b")
    >>> found.context, found.continuations[0].text, found.continuations[0].context
    ('or not to b', 'e', 'or not to b')
    """
    check_lookup(limit)
    opened, hears = as_workspace(workspace), listener or Listener()
    memory = _memory(opened, model, hears)
    asked = _asked(memory.store.tokenizer, text, hears)
    counts = memory.model()
    reach = max(LONGEST_CONTEXT, *counts.smoothing.orders) + 1
    read = asked.ids[-reach:]
    log_p = counts.read(counts.start(1), read[None])[0][0, -1].astype(np.float64)
    tokens = _likeliest(log_p, limit, memory.store.tokenizer.blanks)
    with documents_of(opened) as store:
        finder = _Finder(memory, store, asked, sources_per_continuation)
        found = [finder.continuation(token, float(np.exp(log_p[token]))) for token in tokens]
        order, count = finder.longest()
    named = {source.document_id for one in found for source in one.sources}
    masked = masked_places(opened, named, hears)
    return Lookup(
        text=text,
        tokenizer=memory.store.tokenizer.name,
        tokens=len(asked.starts),
        context=asked.end_of(order),
        order=order,
        count=count,
        continuations=tuple(
            replace(one, sources=tuple(mark_masked(source, masked) for source in one.sources))
            for one in found
        ),
    )


def _memory(workspace: Workspace, model: Model | str | None, listener: Listener) -> CountsMemory:
    if isinstance(model, str) and model != MEMORY:
        model = load_model(workspace, model, listener=listener)
    if isinstance(model, Model) and model.name != MEMORY:
        return memory_of(model, listener)
    return open_memory(workspace, listener=listener)


def check_lookup(limit: int) -> None:
    """Raise ConfigError where so many continuations cannot be shown."""
    if limit < 1:
        raise ConfigError("value_too_small", option="--limit", value=limit, least=1)


@dataclass(frozen=True)
class _Asked:
    """The tokens that are looked for, and where in the text they begin."""

    text: str
    ids: Ids
    """That of the end alone where the text has none: so do documents begin."""
    starts: Ids

    def end_of(self, length: int) -> str:
        """Return the last `length` tokens, as text."""
        return self.text[self.starts[-length] :] if 0 < length <= len(self.starts) else ""


def _asked(tokenizer: Tokenizer, text: str, listener: Listener) -> _Asked:
    encoding = tokenizer.encode(text)
    first = 0
    unknown = np.flatnonzero(encoding.ids == tokenizer.unknown)
    if len(unknown):
        symbols = _symbols(text, encoding, unknown)
        first = int(unknown[-1]) + 1
        if first == len(encoding.ids):
            raise InputError("lookup_unknown", symbol=symbols[-1])
        listener.note("lookup_unknown", symbols=" ".join(dict.fromkeys(symbols)))
    ids, starts = encoding.ids[first:].astype(np.int64), encoding.starts[first:]
    if not len(ids):
        ids = np.array([tokenizer.end], dtype=np.int64)
    return _Asked(text, ids, starts)


def _symbols(text: str, encoding: Encoding, places: npt.NDArray[np.intp]) -> list[str]:
    ends = np.append(encoding.starts[1:], len(text))
    return [_visible(text[encoding.starts[place] : ends[place]]) for place in places]


def _visible(symbol: str) -> str:
    """Return a symbol as a message can show it: white space and controls by their number."""
    shown = symbol.strip()
    if shown and shown.isprintable():
        return shown
    return " ".join(f"U+{ord(character):04X}" for character in symbol)


def _likeliest(log_p: npt.NDArray[np.float64], limit: int, blanks: frozenset[int]) -> list[int]:
    """Return the likeliest tokens, without those that stand for nothing; ties by id."""
    order = np.argsort(-log_p, kind="stable")[: limit + len(blanks)].tolist()
    return [token for token in order if token not in blanks][:limit]


class _Finder:
    """Finds what came after a text, and where."""

    def __init__(
        self, memory: CountsMemory, store: DocumentStore, asked: _Asked, most_sources: int
    ) -> None:
        self._memory, self._store, self._asked = memory, store, asked
        self._most_sources = most_sources
        self._tokenizer = memory.store.tokenizer
        self._index = memory.index()
        self._ends = [
            asked.ids[len(asked.ids) - length :]
            for length in range(min(len(asked.ids), LONGEST_CONTEXT) + 1)
        ]
        self._labels = {token: label for label, token in self._tokenizer.labels.items()}
        self._texts: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def longest(self) -> tuple[int, int]:
        """Return how many tokens the longest end of the text has that occurs, and how often."""
        if not len(self._asked.starts):
            return 0, self._num_beginnings()
        counts = self._index.counts(self._ends)
        length = int(np.flatnonzero(counts)[-1]) if counts.any() else 0
        return length, int(counts[length])

    def continuation(self, token: int, probability: float) -> Continuation:
        """Return what is known of one token."""
        patterns = [np.append(end, token) for end in self._ends]
        counts = self._index.counts(patterns)
        if token == self._tokenizer.end:  # that in front of a document follows nothing
            counts[0] -= self._num_beginnings()
        length = int(np.flatnonzero(counts)[-1]) if counts.any() else 0
        kind, text = self._said(token)
        places = self._places(patterns[length]) if counts[length] else []
        return Continuation(
            kind=kind,
            text=text,
            token=token,
            probability=probability,
            context=self._asked.end_of(length),
            order=length,
            count=int(counts[length]),
            following=self._following(*places[0], length + 1) if places else "",
            sources=tuple(self._source(*place, patterns[length], kind) for place in places),
        )

    def _num_beginnings(self) -> int:
        return int(self._index.next_counts([np.array([self._tokenizer.end])]).counts.sum())

    def _said(self, token: int) -> tuple[ContinuationKind, str]:
        """Return what a token stands for, and its text."""
        if token == self._tokenizer.end:
            return "end", ""
        if token == self._tokenizer.unknown:
            return "unknown", ""
        if token in self._labels:
            return "label", self._labels[token]
        decoder = self._tokenizer.decoder()
        for before in self._ends[-1].tolist():  # what glue comes next depends on what came before
            decoder.feed(before)
        certain, held_back = decoder.feed(token), decoder.finish()
        return "part" if held_back else "text", certain + held_back

    def _places(self, pattern: Ids) -> list[tuple[str, int]]:
        """Return the first places of some tokens: entry, and offset in it."""
        most = self._most_sources
        if pattern.tolist() != [self._tokenizer.end]:
            return self._index.places(pattern, limit=most)[1]
        # Ends in front of documents are among the places, as many as those behind.
        places = self._index.places(pattern, limit=most + self._num_beginnings())[1]
        return [place for place in places if place[1] or not place[0].endswith(":0")][:most]

    def _following(self, key: str, offset: int, length: int) -> str:
        """Return the text behind some tokens of an entry."""
        before = self._memory.tokens_from(key, offset, length).tolist()
        after = self._memory.tokens_from(key, offset + length, _FOLLOWING).tolist()
        decoder = self._tokenizer.decoder()
        for token in before:  # whose glue, and half characters, are not what follows
            decoder.feed(token)
        return "".join(map(decoder.feed, after))

    def _source(self, key: str, offset: int, pattern: Ids, kind: ContinuationKind) -> SpanSource:
        length = len(pattern)
        if kind == "end" and length > 1:  # which has no text: what stands before it ends the place
            length -= 1
        identity, start, _ = self._memory.place_of(key, offset, length)
        _, last, following = self._memory.place_of(key, offset + length - 1, 1)
        end = self._end(identity, last, following, int(pattern[length - 1]))
        return SpanSource(
            document_id=identity, source=self._name_of(identity), start=start, end=max(start, end)
        )

    def _end(self, identity: str, last: int, following: int, token: int) -> int:
        """Return where a token ends that begins at `last`, if the next one begins at `following`.

        Cleaning may have left out what stood between, or have spelled the token in another way.
        """
        own = self._tokenizer.decode([token])
        if not own:  # the token of a label
            return last
        if following - last == len(own):
            return following
        if self._text_of(identity).startswith(own, last) and own != "&":
            return last + len(own)
        return max(last + 1, min(following, last + len(own) + _LONGEST_SPELLING))

    def _text_of(self, identity: str) -> str:
        if identity not in self._texts:
            document = self._store.get(identity)
            self._texts = {identity: document.text if document is not None else ""}
        return self._texts[identity]

    def _name_of(self, identity: str) -> str:
        if identity not in self._names:
            self._names[identity] = self._store.source_of(identity) or identity
        return self._names[identity]
