"""What is learned from and what is held out: by hash, so that no document ever moves another."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memlm.prepare.draft import Draft
from memlm.prepare.split import BLOCK_CHARACTERS, Lengths, SplitPlan, Splitter, plan_split
from memlm.records import Document, Split


def document(number: int, text: str = "text", split: Split | None = None) -> Document:
    return Document(id=f"{number:016x}", text=text, split=split)


def side(plan: SplitPlan, number: int) -> str:
    (piece,) = plan.pieces(document(number), "text")
    return piece.split


MANY = plan_split(Lengths.of([100] * 1000), share=0.1, seed=0)


def test_adding_a_document_moves_no_other() -> None:
    larger = plan_split(Lengths.of([100] * 1001), share=0.1, seed=0)
    assert [side(MANY, n) for n in range(1000)] == [side(larger, n) for n in range(1000)]


def test_share_is_kept_about() -> None:
    held_out = sum(side(MANY, number) == "held_out" for number in range(1000))
    assert 70 < held_out < 130


def test_other_seed_holds_out_others() -> None:
    other = plan_split(Lengths.of([100] * 1000), share=0.1, seed=1)
    assert [side(MANY, n) for n in range(1000)] != [side(other, n) for n in range(1000)]


def test_larger_share_keeps_what_was_held_out() -> None:
    larger = plan_split(Lengths.of([100] * 1000), share=0.3, seed=0)
    held_out = {n for n in range(1000) if side(MANY, n) == "held_out"}
    assert held_out <= {n for n in range(1000) if side(larger, n) == "held_out"}


@pytest.mark.parametrize("split", ["train", "held_out"])
@pytest.mark.parametrize("block", [None, 64], ids=["documents", "blocks"])
def test_side_that_was_asked_for_is_taken(split: Split, block: int | None) -> None:
    plan = SplitPlan(0.5, 0, block)
    text = "word " * 500
    pieces = plan.pieces(document(1, text, split), text)
    assert [(piece.split, piece.start, piece.end) for piece in pieces] == [(split, 0, len(text))]


def test_share_of_nothing_holds_nothing_out() -> None:
    plan = plan_split(Lengths.of([10_000]), share=0, seed=0)
    assert {piece.split for piece in plan.pieces(document(1), "word " * 2000)} == {"train"}


@pytest.mark.parametrize(
    ("sizes", "has_blocks"),
    [
        ([1000], True),
        ([100] * 19, True),
        ([100] * 20, False),
        ([1_000_000, *[100] * 50], True),
        ([], False),
    ],
    ids=["one document", "too few", "enough", "one outweighs all", "none"],
)
def test_text_is_cut_into_blocks_where_documents_are_too_few(
    sizes: list[int], has_blocks: bool
) -> None:
    assert (
        plan_split(Lengths.of(sizes), share=0.1, seed=0).block_characters is not None
    ) == has_blocks


def test_long_document_has_blocks_on_both_sides() -> None:
    text = "A line of a long book.\n" * 20_000
    pieces = plan_split(Lengths.of([len(text)]), share=0.1, seed=0).pieces(document(1), text)
    held_out = sum(piece.end - piece.start for piece in pieces if piece.split == "held_out")
    assert 0.03 < held_out / len(text) < 0.2


def test_block_ends_with_a_line() -> None:
    text = "A line of a long book.\n" * 20_000
    pieces = plan_split(Lengths.of([len(text)]), share=0.1, seed=0).pieces(document(1), text)
    assert all(text[piece.end - 1] == "\n" for piece in pieces)


def test_text_appended_to_a_long_document_moves_no_earlier_block() -> None:
    text = "A line of a long book.\n" * 20_000
    plan = SplitPlan(0.3, 0, BLOCK_CHARACTERS)

    def sides(text: str) -> list[str]:
        pieces = plan.pieces(document(1), text)
        return [piece.split for piece in pieces for _ in range(piece.start, piece.end)]

    end = len(text) - 2 * BLOCK_CHARACTERS
    assert sides(text + "More of it.\n" * 3000)[:end] == sides(text)[:end]


@given(text=st.text("ab\n", max_size=3000), block=st.integers(8, 200), share=st.floats(0.05, 0.95))
def test_pieces_make_the_text_and_neighbours_differ(text: str, block: int, share: float) -> None:
    pieces = SplitPlan(share, 0, block).pieces(document(1), text)
    assert "".join(text[piece.start : piece.end] for piece in pieces) == text
    assert all(piece.end > piece.start for piece in pieces)
    assert all(a.split != b.split for a, b in pairwise(pieces))


def test_copies_join_the_groups_of_a_column() -> None:
    plan = SplitPlan(0.5, 0, None)
    drafts = [
        Draft(
            document=Document(id=f"{n:x}", text="t", fields={"author": f"author {n}"}, source="a"),
            text="t",
            group=f"copies of {n // 2}" if n < 40 else None,
        )
        for n in range(60)
    ]
    splitter = Splitter(plan, group_column="author").joining(
        draft for draft in drafts if draft.group is not None
    )
    sides = [splitter.pieces(draft)[0].split for draft in drafts]
    assert sides[0:40:2] == sides[1:40:2]
    assert len(set(sides)) == 2
    assert Splitter.from_json(splitter.to_json()) == splitter
