"""How a traced text is cut: nothing is lost, and each character is of its strongest span."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memlm.pages.pieces import cut, paragraph_ends, paragraphs, spans_to_show


@st.composite
def spans(draw, length=60):
    """Spans in order: each begins and ends after the one before."""
    starts = draw(st.lists(st.integers(0, length - 1), unique=True, max_size=25).map(sorted))
    found, reached = [], 0
    for start in starts:
        least = max(start, reached) + 1
        if least > length:
            break
        end = reached = draw(st.integers(least, min(least + 8, length)))
        kind = draw(st.sampled_from(["recited", "recombined"]))
        found.append({"start": start, "end": end, "kind": kind})
    return found


def kinds(length, found):
    """Return the kind of every character, the stronger over the weaker."""
    result = ["new"] * length
    for kind in ("recombined", "recited"):
        for span in found:
            if span["kind"] == kind:
                result[span["start"] : span["end"]] = [kind] * (span["end"] - span["start"])
    return result


@given(spans())
def test_few_spans_cover_what_all_cover(found):
    fewer = spans_to_show(found, most=0)
    assert kinds(60, fewer) == kinds(60, found)
    assert [span for span in fewer if span["kind"] == "recited"] == [
        span for span in found if span["kind"] == "recited"
    ]


def test_needless_spans_are_left_out_only_where_there_are_too_many():
    found = [{"start": n, "end": n + 4, "kind": "recombined"} for n in range(20)]
    assert spans_to_show(found, most=20) == found
    assert len(spans_to_show(found, most=19)) <= 8


@given(spans(), st.lists(st.integers(0, 60), max_size=5))
def test_pieces_are_the_whole_text_and_of_the_strongest_span(found, borders):
    pieces = list(cut(60, found, borders))
    assert [at for piece in pieces for at in range(piece.start, piece.end)] == list(range(60))
    owned = [
        "new" if piece.span is None else found[piece.span]["kind"]
        for piece in pieces
        for _ in range(piece.start, piece.end)
    ]
    assert owned == kinds(60, found)
    starts = {piece.start for piece in pieces} | {60}
    assert {span[side] for span in found for side in ("start", "end")} | set(borders) <= starts
    for piece in pieces:
        covering = [
            span["end"] - span["start"]
            for span in found
            if span["start"] <= piece.start < span["end"]
            and span["kind"] == (piece.span is not None and found[piece.span]["kind"])
        ]
        if piece.span is not None:
            own = found[piece.span]
            assert own["end"] - own["start"] == max(covering)


@given(st.integers(0, 3).flatmap(lambda n: st.lists(st.integers(0, 9000), max_size=n)))
def test_parts_end_with_lines_where_there_are_lines(lengths):
    text = "".join("x" * size + "\n" for size in lengths)
    ends = paragraph_ends(text)
    assert ends == sorted(set(ends))
    assert not text or ends[-1] == len(text)
    assert all(text[end - 1] == "\n" for end in ends)
    parts = list(paragraphs(text, list(cut(len(text), [], ends))))
    assert [part[-1][1].end for part in parts] == ends
    assert "".join(text[p.start : p.end] for part in parts for _, p in part) == text


def test_endless_line_is_cut_all_the_same():
    ends = paragraph_ends("x" * 50_000)
    assert ends[-1] == 50_000
    assert max(b - a for a, b in zip([0, *ends], ends, strict=False)) <= 24_000
