"""The page `trace.html`."""

import base64
import hashlib
import json
import re
from html import unescape

import pytest

from memlm.messages import in_language
from memlm.pages.page import page_script
from memlm.pages.pieces import MOST_SPANS
from memlm.pages.trace import trace_page
from memlm.records import Excerpt, Generation, Span, SpanSource, TokenShare, Trace

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>\u202e&</script><!--'
TEXT = f"old words, {EVIL} new"


def source(name="d", start=5, *, size=9, identity=None, masked=()):
    return SpanSource(
        document_id=identity or name, source=name, start=start, end=start + size, masked=masked
    )


def span(start, end, *sources, kind="recited", text=TEXT, count=1):
    return Span(
        start=start,
        end=end,
        text=text[start:end],
        kind=kind,
        count=count,
        expected_by_chance=1.23e-7,
        sources=sources or (source(size=end - start),),
    )


def trace(*spans, text=TEXT, **fields):
    shares = {"recited_share": 0.25, "recombined_share": 0.5, "new_share": 0.25}
    return Trace(text=text, characters=len(text), spans=spans, **shares, **fields)


def page_of(*traces):
    return trace_page([one.to_rows() for one in traces])


def data_of(page):
    """Return what the script is given: the text of the element, as a browser hands it over."""
    (found,) = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(found)


def text_of(page):
    """Return the traced texts as a browser shows them."""
    boxes = re.findall(r'<div class="text" dir="auto">(.*?)</div></div>', page, re.DOTALL)
    return [unescape(re.sub(r"<[^>]+>", "", box)) for box in boxes]


HOSTILE = trace(
    span(0, 9, source(EVIL, identity=EVIL)),
    name=EVIL,
    excerpts=(Excerpt(document_id=EVIL, start=0, text=f"its {EVIL}"),),
    shares=(TokenShare(start=0, end=3, shares={EVIL: 1.0}, sources=(source(EVIL),)),),
)


@pytest.fixture(params=["en", "zh"])
def page(request):
    with in_language(request.param):
        yield page_of(HOSTILE)


def test_texts_names_and_documents_are_escaped(page):
    assert "<img" not in page
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "<!--" not in page
    assert "\u202e" not in page


def test_hostile_words_reach_the_script_as_words(page):
    data = data_of(page)
    drawn = EVIL.replace("\u202e", "\ufffd")
    assert data["documents"] == [drawn]
    assert data["excerpts"] == [[[0, len(f"its {EVIL}"), f"its {drawn}"]]]


def test_policy_lets_the_script_of_the_page_run_and_no_other(page):
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_script_writes_words_as_words_and_fetches_nothing():
    script = page_script("trace.js")
    for way in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval", "fetch(",
                "XMLHttpRequest", "import(", "Function("):  # fmt: skip
        assert way not in script


def test_page_names_no_address(page):
    bare = re.sub(r"src=x", "", page)
    assert not re.search(r"https?://|url\(|@import|\bsrc=", bare)


def test_whole_text_stands_on_the_page_once():
    text = "一行字\n" * 3000 + "  <end>\n\n"
    shown = page_of(trace(span(2, 9, text=text), span(5, 20, text=text), text=text))
    assert text_of(shown) == [text]


def test_every_span_is_on_the_page_with_its_places_count_and_chance():
    spans = [span(0, 9, source("a", 5), source("b", 7), count=12), span(4, 12, kind="recombined")]
    (text,) = data_of(page_of(trace(*spans)))["texts"]
    assert text["spans"] == [
        [0, 9, 0, 12, 1.2e-07, [[0, 5, 14], [1, 7, 16]]],
        [4, 12, 1, 1, 1.2e-07, [[2, 5, 13]]],
    ]


def test_pieces_are_of_the_strongest_span_that_covers_them():
    page = page_of(trace(span(0, 9), span(4, 12, kind="recombined")))
    pieces = re.findall(r'<span class="piece (\w+)" data-n="(\d+)">(.*?)</span>', page)
    assert [(kind, unescape(words)) for kind, _, words in pieces] == [
        ("recited", "old "), ("recited", "words"), ("recombined", ", <"),
    ]  # fmt: skip
    (text,) = data_of(page)["texts"]
    assert [text["owners"][int(number)] for _, number, _ in pieces] == [0, 0, 1]
    assert [text["starts"][int(number)] for _, number, _ in pieces] == [0, 4, 9]


def test_masked_data_is_named(page):
    with in_language("en"):
        page = page_of(trace(span(0, 9, source(masked=("email", "iban")))))
    (text,) = data_of(page)["texts"]
    assert text["spans"][0][5] == [[0, 5, 14, "e-mail address, IBAN"]]


def test_documents_are_ranked_by_what_they_hold_of_the_texts():
    spans = (
        span(0, 4, source("little"), source("most")),
        span(2, 9, source("most")),
        span(9, 40, source("recombined only"), kind="recombined"),
    )
    with in_language("en"):
        page = page_of(trace(*spans), trace(span(0, 2, source("little"))))
    ranked = page.partition("Documents, by how much")[2]
    names = re.findall(r'<td class="name" dir="auto">(.*?)</td>', ranked)
    numbers = re.findall(r"recited (\d+), recombined (\d+) characters", ranked)
    assert names == ["most", "little", "recombined only"]
    assert numbers == [("9", "0"), ("6", "0"), ("0", "31")]


def test_several_texts_stand_in_a_table_that_leads_to_each():
    page = page_of(trace(name="one.txt"), trace(name="two.txt"))
    assert re.findall(r'href="#(text-\d)">(.*?)<', page) == [
        ("text-1", "one.txt"), ("text-2", "two.txt")
    ]  # fmt: skip
    assert re.findall(r'id="(text-\d)"', page) == ["text-1", "text-2"]


def test_what_was_folded_is_said():
    with in_language("en"):
        page = page_of(trace(folded=("case", "space")))
    assert "Not told apart: small and capital letters, kinds and lengths of white space." in page


def test_tokens_carry_the_shares_of_each_expert():
    shares = (
        TokenShare(start=0, end=3, shares={"weights": 0.25, "counts": 0.75}, sources=(source(),)),
        TokenShare(start=3, end=9, shares={"weights": 1.0}),
    )
    with in_language("en"):
        page = page_of(trace(shares=shares))
    data = data_of(page)
    assert data["experts"] == ["weights", "counts"]
    (text,) = data["texts"]
    assert text["tokens"] == [[0, 3, [0.25, 0.75], [[0, 5, 14]]], [3, 9, [1.0, 0.0], []]]
    assert {0, 3, 9} <= set(text["starts"])
    assert '<option value="1" data-name="counts">' in page


def test_page_without_shares_offers_none():
    assert "<select>" not in page_of(trace())


def test_text_with_very_many_spans_is_shown_with_those_that_cover_it():
    text = "x" * (MOST_SPANS + 20)
    spans = [span(n, n + 8, source(), kind="recombined", text=text) for n in range(MOST_SPANS + 10)]
    with in_language("en"):
        page = page_of(trace(*spans, text=text))
    (found,) = data_of(page)["texts"]
    assert len(found["spans"]) < MOST_SPANS / 3
    assert f"{len(spans) - len(found['spans']):,} short ones" in page
    assert text_of(page) == [text]


def test_empty_text_has_a_page():
    assert "This text is empty" in page_of(trace(text=""))


def generation(**fields):
    return Generation(
        prompt="<b>Once", text="old words", label=None, tokens=9, tokens_per_second=1.0,
        ended_by="length", **fields,
    )  # fmt: skip


@pytest.mark.parametrize(
    "shown",
    [HOSTILE, generation(trace=trace(span(0, 9, text="old words"), text="old words"))],
    ids=["trace", "generation"],
)
def test_record_shows_itself_in_a_notebook_as_a_frame_without_rights(shown):
    frame = shown._repr_html_()
    assert frame.startswith("<iframe srcdoc=")
    assert frame.count("<") == 2
    assert 'sandbox="allow-scripts"' in frame


def test_generation_that_was_not_traced_is_not_called_new():
    with in_language("en"):
        page = trace_page([generation().to_rows()])
    assert "Shares" not in page
    assert text_of(page) == ["old words"]
    assert "&lt;b&gt;Once" in page


def test_shares_of_a_generation_are_on_its_page():
    shares = (TokenShare(start=0, end=9, shares={"weights": 1.0}),)
    page = trace_page([generation(shares=shares).to_rows()])
    assert data_of(page)["texts"][0]["tokens"] == [[0, 9, [1.0], []]]


def test_notebook_shows_words_where_pages_cannot_be_made(monkeypatch):
    from memlm.errors import MissingExtraError

    def lacks(*args, **values):
        raise MissingExtraError("extra_missing", package="jinja2", extra="pages")

    monkeypatch.setattr("memlm.pages.trace.render_page", lacks)
    assert HOSTILE._repr_html_() is None
