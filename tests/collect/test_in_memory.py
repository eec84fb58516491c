"""Texts from Python are read as rows of a table are."""

from __future__ import annotations

import numpy as np
import pytest

from memlm.collect.in_memory import texts_from_memory
from memlm.records import SourceProblem, SourceText


class Table:
    """Stands for a DataFrame."""

    def to_dict(self, kind: str) -> list[dict[str, object]]:
        assert kind == "records"
        return [{"text": "a", "label": "x", "n": 1}, {"text": "b", "label": float("nan")}]


class NA:
    """Stands for pandas.NA, of which nothing can be asked."""

    def __ne__(self, other: object) -> NA:  # type: ignore[override]
        return self

    def __bool__(self) -> bool:
        raise TypeError

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("a", SourceText(text="a", position=1)),
        (("a", "x"), SourceText(text="a", position=1, label="x")),
        ({"text": "a", "label": 3}, SourceText(text="a", position=1, label="3")),
        ({"text": "a", "label": np.int64(3)}, SourceText(text="a", position=1, label="3")),
        ({"text": "a", "label": " x "}, SourceText(text="a", position=1, label="x")),
        ({"text": "a", "label": ""}, SourceText(text="a", position=1)),
        ({"text": "a", "label": NA()}, SourceText(text="a", position=1)),
        ({"text": "a", "id": 7}, SourceText(text="a", position=1, key="7")),
        ({"text": "a", "id": float("nan")}, SourceText(text="a", position=1)),
        (
            {"text": "a", "label": ["x"]},
            SourceProblem(
                code="label_is_no_word", values={"column": "label", "kind": "list"}, position=1
            ),
        ),
        ({"text": "a", "by": "me"}, SourceText(text="a", position=1, fields={"by": "me"})),
        ({"text": ""}, SourceProblem(code="text_empty", values={}, position=1)),
        (
            {"body": "a"},
            SourceProblem(
                code="text_is_no_string",
                values={"column": "text", "kind": "—"},
                position=1,
            ),
        ),
        ("\ud800", SourceProblem(code="lone_surrogate", values={"offset": 0}, position=1)),
    ],
    ids=[
        "string",
        "pair",
        "number",
        "number of numpy",
        "spaces",
        "empty label",
        "NA",
        "id",
        "missing id",
        "list",
        "field",
        "empty",
        "no text",
        "lone surrogate",
    ],
)
def test_text_from_python_becomes(item: object, expected: object) -> None:
    assert list(texts_from_memory([item])) == [expected]  # type: ignore[list-item]


def test_rows_of_a_data_frame_are_texts() -> None:
    found = list(texts_from_memory(Table()))  # type: ignore[arg-type]
    assert [(item.text, item.label) for item in found if isinstance(item, SourceText)] == [
        ("a", "x"),
        ("b", None),
    ]
    assert isinstance(found[0], SourceText)
    assert found[0].fields == {"n": 1}
