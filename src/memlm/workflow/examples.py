"""The training examples that are nearest to what a task is asked: an answer's sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from memlm.documents import DocumentStore
from memlm.index import SuffixIndex, open_index
from memlm.memory.nearest import nearest_documents
from memlm.records import NearExample
from memlm.tasks import read_example
from memlm.workflow.learned import learned_ids
from memlm.workflow.listener import Listener
from memlm.workflow.models import MEMORY, Model
from memlm.workflow.opening import ensure_index
from memlm.workflow.preparing import open_tokens
from memlm.workspace import Workspace


class NearExamples:
    """Finds examples that a model learned from, by the words that their sources share."""

    def __init__(self, model: Model, store: DocumentStore, listener: Listener) -> None:
        ensure_index(model.workspace, listener)
        self._index: SuffixIndex = open_index(model.workspace.character_index)
        self._store, self._documents = store, store.count()
        is_memory = model.name == MEMORY
        self._learned = (
            _remembered_ids(model.workspace)
            if is_memory
            else learned_ids(model.workspace, model.name)
        )

    def nearest(self, source: str, *, limit: int) -> list[NearExample]:
        """Return the nearest examples, the nearest first."""
        kept: dict[str, tuple[str, str]] = {}

        def sources_of(identities: Sequence[str]) -> Mapping[str, str]:
            for identity in identities:
                example = self._example(identity)
                if example is not None:
                    kept[identity] = example
            return {identity: example[0] for identity, example in kept.items()}

        found = nearest_documents(
            self._index, source, texts_of=sources_of, documents=self._documents, limit=limit
        )
        return [
            NearExample(
                document_id=near.document_id,
                source=self._store.source_of(near.document_id) or near.document_id,
                asked=kept[near.document_id][0],
                answer=kept[near.document_id][1],
                score=near.score,
            )
            for near in found
        ]

    def examples(self) -> Iterator[tuple[str, str]]:
        """Yield source and target of every example that the model learned from."""
        for document in self._store:
            if self._is_learned(document.id):
                example = read_example(document.text)
                if example is not None:
                    yield example

    def text_of(self, identity: str) -> str | None:
        """Return the text of a document."""
        document = self._store.get(identity)
        return None if document is None else document.text

    def _example(self, identity: str) -> tuple[str, str] | None:
        if not self._is_learned(identity):
            return None
        text = self.text_of(identity)
        return None if text is None else read_example(text)

    def _is_learned(self, identity: str) -> bool:
        if self._learned is None:
            return True
        number = np.uint64(int(identity, 16))
        place = int(np.searchsorted(self._learned, number))
        return place < len(self._learned) and bool(self._learned[place] == number)


def _remembered_ids(workspace: Workspace) -> npt.NDArray[np.uint64]:
    """Return the sorted ids of the documents that a memory holds: all but the sealed."""
    tokens = open_tokens(workspace.prepared(str(workspace.settings()["tokenizer"])))
    held, sealed = tokens.units["document"], tokens.units_of("sealed")["document"]
    numbers = np.setdiff1d(held, sealed).tolist()
    return np.sort(np.array([int(tokens.document_ids[one], 16) for one in numbers], dtype="<u8"))
