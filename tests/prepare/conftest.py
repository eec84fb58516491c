"""What the tests of preparing share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from memlm.prepare import Draft, PartInMemory
from memlm.prepare.clean import clean_text
from memlm.records import Document

AsParts = Callable[[Sequence[Document]], list[PartInMemory]]


@pytest.fixture(scope="session")
def as_parts() -> AsParts:
    """Return what makes cleaned parts of documents without a workspace; blank ones are left out."""

    def make(documents: Sequence[Document]) -> list[PartInMemory]:
        drafts = []
        for document in documents:
            text, origin = clean_text(document.text)
            if text.strip():
                drafts.append(Draft(document=document, text=text, origin=origin))
        return [PartInMemory("0", drafts[:7]), PartInMemory("1", drafts[7:])]

    return make
