"""Trace: which spans of a text occur in the documents, where, and a page that shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from memlm.documents import DocumentStore
from memlm.index import SuffixIndex, open_index
from memlm.memory import FoldedText, cut_excerpts, fold_text, in_order, trace_spans
from memlm.records import (
    Excerpt,
    Fold,
    Generation,
    PersonalPlace,
    SpanSource,
    TokenShare,
    Trace,
)
from memlm.workflow.listener import Listener
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of, ensure_index
from memlm.workflow.preparing import masked_places
from memlm.workflow.showing import write_page

_FOLDED_CHARACTERS = 1 << 24
"""Of the documents whose folding is kept while texts are traced; one takes 12 bytes."""
_EXCERPTS_PER_SPAN = 2
"""Of a recombined span; of a recited one, all places that it lists are shown in their documents."""
_MANY_SPANS = 10_000


def trace_text(
    workspace: AnyWorkspace,
    text: str,
    *,
    folds: Sequence[Fold] = (),
    listener: Listener | None = None,
) -> Trace:
    """Trace a text against all documents: which spans are recited or recombined, and from where.

    A trace shows the text as it was collected; what preparing masked in it is marked as such. With
    `folds` ("case", "width", "space") these make no difference. It shows itself in a notebook.
    """
    return trace_texts(workspace, [text], folds=folds, listener=listener)[0]


def trace_texts(
    workspace: AnyWorkspace,
    texts: Iterable[str],
    *,
    folds: Sequence[Fold] = (),
    names: Sequence[str] = (),
    shares: Sequence[tuple[TokenShare, ...]] = (),
    with_excerpts: bool = True,
    index: SuffixIndex | None = None,
    listener: Listener | None = None,
) -> list[Trace]:
    """Trace several texts; the index is opened, and every byte of it checked, once for all.

    `names` and `shares` are what the traces are to say of each text beside its spans. Without
    `with_excerpts` the documents around the sources are not read, and no page can show them. Who
    has the `index` open already, in step with the documents, hands it in.
    """
    opened, hears = as_workspace(workspace), listener or Listener()
    folds = in_order(folds)
    if index is None:
        ensure_index(opened, hears, folds)
        index = open_index(opened.folded_index(folds) if folds else opened.character_index)
    with documents_of(opened) as store:
        sources: dict[str, str] = {}

        def source_of(identity: str) -> str:
            if identity not in sources:
                sources[identity] = store.source_of(identity) or identity
            return sources[identity]

        unfold = _Unfolder(store, folds).unfold if folds else list
        traces = []
        for number, text in enumerate(texts):
            found = trace_spans(index, text, source_of=source_of, folds=folds, unfold=unfold)
            found = replace(
                found,
                name=names[number] if names else "",
                shares=shares[number] if shares else (),
            )
            traces.append(
                replace(found, excerpts=_excerpts(store, found)) if with_excerpts else found
            )
    named = {one.document_id for own in shares for token in own for one in token.sources}
    masked = masked_places(opened, named.union(sources), hears)
    return [_with_marks(trace, masked) for trace in traces] if masked else traces


def write_trace_page(
    workspace: AnyWorkspace, texts: Sequence[Trace | Generation], *, to: Path | str | None = None
) -> Path:
    """Write the page about texts, traced or written; `trace.html` of the workspace by default.

    Returns its path. Raises InputError where no file can lie, MissingExtraError without jinja2.
    """
    from memlm.pages.trace import trace_page

    return write_page(
        lambda: trace_page([text.to_rows() for text in texts]),
        to,
        otherwise=lambda: as_workspace(workspace).trace_page,
    )


class _Unfolder:
    """Says where places of folded documents lie in the documents; keeps a few of them at hand."""

    def __init__(self, store: DocumentStore, folds: Sequence[Fold]) -> None:
        self._store, self._folds = store, folds
        self._kept: dict[str, FoldedText] = {}

    def unfold(self, places: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
        """Return the same places, in the same order, as the documents were collected."""
        found: list[tuple[str, int, int]] = [("", 0, 0)] * len(places)
        # Document by document, so that each is folded once however few are kept.
        for number in sorted(range(len(places)), key=lambda number: places[number][0]):
            identity, start, end = places[number]
            found[number] = (identity, *self._folded(identity).unfold(start, end))
        return found

    def _folded(self, identity: str) -> FoldedText:
        if identity not in self._kept:
            folded = fold_text(_text_of(self._store, identity), self._folds)
            held = sum(len(kept.text) for kept in self._kept.values())
            if held + len(folded.text) > _FOLDED_CHARACTERS:
                self._kept.clear()
            self._kept[identity] = folded
        return self._kept[identity]


def _text_of(store: DocumentStore, identity: str) -> str:
    document = store.get(identity)
    return document.text if document is not None else ""


def _excerpts(store: DocumentStore, trace: Trace) -> tuple[Excerpt, ...]:
    """Return the documents around the first sources of each span, all of those of a recited."""
    most = 1 if len(trace.spans) > _MANY_SPANS else _EXCERPTS_PER_SPAN
    shown = chain(
        (
            source
            for span in trace.spans
            for source in span.sources[: None if span.kind == "recited" else most]
        ),
        (source for token in trace.shares for source in token.sources),
    )
    return cut_excerpts(shown, lambda identity: _text_of(store, identity))


def _with_marks(trace: Trace, masked: Mapping[str, list[PersonalPlace]]) -> Trace:
    def marked(sources: Sequence[SpanSource]) -> tuple[SpanSource, ...]:
        return tuple(mark_masked(source, masked) for source in sources)

    spans = (replace(span, sources=marked(span.sources)) for span in trace.spans)
    shares = (replace(token, sources=marked(token.sources)) for token in trace.shares)
    return replace(trace, spans=tuple(spans), shares=tuple(shares))


def mark_masked(source: SpanSource, masked: Mapping[str, list[PersonalPlace]]) -> SpanSource:
    """Return a source that says which kinds of personal data in it were masked."""
    kinds = [
        place.kind
        for place in masked.get(source.document_id, ())
        if place.start < source.end and source.start < place.end
    ]
    return replace(source, masked=tuple(dict.fromkeys(kinds)))
