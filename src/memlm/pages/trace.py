"""The page `trace.html`: texts coloured by where their words come from, and the sources of each.

It is given rows of `Trace.to_rows` or `Generation.to_rows` and nothing else. The text, the shares
and the documents stand on the page as it is written; its script, the only one that its policy lets
run, shows the sources of a span in their documents, from the data that lie beside it as JSON.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memlm.messages import find, render
from memlm.pages.page import page_data, page_script, render_page
from memlm.pages.pieces import cut, paragraph_ends, paragraphs, spans_to_show

KINDS = ("recited", "recombined", "new")
_MOST_DOCUMENTS = 50
_MOST_TEXTS = 200
"""Texts that a page shows whole; the table lists them all."""

Found = Mapping[str, Any]  # Any: JSON


def trace_page(texts: Sequence[Found]) -> str:
    """Return the whole page about these texts, in their order."""
    shown = texts[:_MOST_TEXTS]
    documents, ranked = _Documents(shown), _ranked(texts)
    prepared = [_prepared(found, documents) for found in shown]
    is_traced = any(found["is_traced"] for found in texts)
    return render_page(
        "trace.html",
        title=_title(texts),
        script=page_script("trace.js"),
        texts=prepared,
        rows=[_row(found, number) for number, found in enumerate(texts)],
        total=_total(texts),
        kinds=KINDS,
        meanings=[
            (kind, render(f"kind.{kind}"), render(f"trace_page.means_{kind}")) for kind in KINDS
        ],
        is_traced=is_traced,
        experts=[find(f"expert.{name}") or name for name in documents.experts],
        documents=ranked[:_MOST_DOCUMENTS],
        more_documents=max(0, len(ranked) - _MOST_DOCUMENTS),
        more_texts=max(0, len(texts) - _MOST_TEXTS),
        folded=said_folds([fold for found in texts for fold in found["folded"]]),
        left_out=sum(text["left_out"] for text in prepared),
        data=page_data({"texts": [one["data"] for one in prepared], **documents.to_json()}),
    )


class _Documents:
    """Gives the documents, and the experts, the numbers by which the page's data name them."""

    def __init__(self, texts: Sequence[Found]) -> None:
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        excerpts: dict[str, set[tuple[int, str]]] = defaultdict(set)
        for found in texts:
            for one in found["excerpts"]:
                excerpts[one["document_id"]].add((one["start"], one["text"]))
        self._excerpts = excerpts
        self.experts = list(
            dict.fromkeys(
                name for found in texts for token in found["shares"] for name in token["shares"]
            )
        )

    def source(self, source: Found) -> list[object]:
        """Return a place as the data have it: document, start, end, and what was masked."""
        identity = source["document_id"]
        if identity not in self._numbers:
            self._numbers[identity] = len(self._names)
            self._names.append(source["source"])
        place = [self._numbers[identity], source["start"], source["end"]]
        return [*place, _masked(source)] if source["masked"] else place

    def to_json(self) -> dict[str, object]:
        """Return the documents that were named: what they are called, and what is cut out."""
        excerpts = [
            [[start, len(text), text] for start, text in sorted(self._excerpts[identity])]
            for identity in self._numbers
        ]
        return {"documents": self._names, "excerpts": excerpts, "experts": self.experts}


def _prepared(found: Found, documents: _Documents) -> dict[str, Any]:
    """Return a text as the template has it, and as the script has it."""
    text, tokens = found["text"], found["shares"]
    spans = spans_to_show(found["spans"])
    borders = [
        *paragraph_ends(text),
        *(token[side] for token in tokens for side in ("start", "end")),
    ]
    pieces = list(cut(len(text), spans, borders))
    data = {
        "starts": [piece.start for piece in pieces],
        "length": len(text),
        "owners": [-1 if piece.span is None else piece.span for piece in pieces],
        "spans": [_span(span, documents) for span in spans],
        "tokens": [_token(token, documents) for token in tokens],
    }
    return {
        "name": found["name"],
        "prompt": found.get("prompt", ""),
        "is_traced": found["is_traced"],
        "characters": len(text),
        "left_out": len(found["spans"]) - len(spans),
        "paragraphs": [
            [
                (number, text[piece.start : piece.end], _kind(spans, piece.span), bool(tokens))
                for number, piece in part
            ]
            for part in paragraphs(text, pieces)
        ],
        "data": data,
    }


def _kind(spans: Sequence[Found], number: int | None) -> str:
    return "" if number is None else str(spans[number]["kind"])


def _span(span: Found, documents: _Documents) -> list[object]:
    kind = KINDS.index(span["kind"])
    sources = [documents.source(source) for source in span["sources"]]
    chance = float(f"{span['expected_by_chance']:.2g}")
    return [span["start"], span["end"], kind, span["count"], chance, sources]


def _token(token: Found, documents: _Documents) -> list[object]:
    shares = [round(token["shares"].get(name, 0.0), 4) for name in documents.experts]
    sources = [documents.source(source) for source in token["sources"]]
    return [token["start"], token["end"], shares, sources]


def _masked(source: Found) -> str:
    return render("list.comma").join(render(f"personal.{kind}") for kind in source["masked"])


# -- figures --------------------------------------------------------------------------------------


def _title(texts: Sequence[Found]) -> str:
    if len(texts) == 1 and texts[0]["name"]:
        return render("trace_page.title_of", name=texts[0]["name"])
    return render("trace_page.title")


def _row(found: Found, number: int) -> dict[str, Any]:
    name = found["name"] or render("trace_page.text_number", number=number + 1)
    shares = {kind: found[f"{kind}_share"] for kind in KINDS}
    return {"name": name, "characters": found["characters"], **shares}


def _total(texts: Sequence[Found]) -> dict[str, float]:
    """Return the characters of all texts, and the share of each kind in them."""
    total = sum(found["characters"] for found in texts)
    shares = {
        kind: sum(found[f"{kind}_share"] * found["characters"] for found in texts) / max(1, total)
        for kind in KINDS
    }
    return {"characters": total, **shares}


def said_folds(folds: Sequence[str]) -> str:
    """Return the sentence that says what was not told apart; empty where everything was."""
    named = (find(f"fold.{fold}") or fold for fold in dict.fromkeys(folds))
    return render("trace_page.folded", folds=render("list.comma").join(named)) if folds else ""


def _ranked(texts: Sequence[Found]) -> list[dict[str, Any]]:
    """Return the documents by how much of the texts they hold: recited first, then recombined.

    Only places that a span lists are known; a span that stands in more documents is left with its
    first.
    """
    covered: dict[str, dict[str, int]] = {}
    names: dict[str, str] = {}
    for found in texts:
        for identity, kind, places in _places_by_document(found, names):
            own = covered.setdefault(identity, dict.fromkeys(KINDS[:2], 0))
            own[kind] += places
    total = max(1, sum(found["characters"] for found in texts))
    ranked = sorted(covered.items(), key=lambda pair: [-pair[1][kind] for kind in KINDS[:2]])
    return [
        {"name": names[identity]}
        | {kind: own[kind] for kind in KINDS[:2]}
        | {f"{kind}_share": own[kind] / total for kind in KINDS[:2]}
        for identity, own in ranked
    ]


def _places_by_document(found: Found, names: dict[str, str]) -> Iterator[tuple[str, str, int]]:
    """Yield (document, kind, characters of the text that are of this kind and stand in it)."""
    held: dict[str, list[tuple[int, int, str]]] = {}
    for span in found["spans"]:
        for source in span["sources"]:
            names.setdefault(source["document_id"], source["source"])
            stretch = (span["start"], span["end"], span["kind"])
            own = held.setdefault(source["document_id"], [])
            if not own or own[-1] != stretch:
                own.append(stretch)
    for identity, stretches in held.items():
        recited = _length(stretch for stretch in stretches if stretch[2] == "recited")
        yield identity, "recited", recited
        yield identity, "recombined", _length(iter(stretches)) - recited


def _length(stretches: Iterator[tuple[int, int, str]]) -> int:
    """Return the characters of stretches that are in order and may overlap, each once."""
    total = reached = 0
    for start, end, _ in stretches:
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
