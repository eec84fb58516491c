"""Whether texts that a model is measured on are documents that it learned from.

Whole texts are compared by their hashes, white space at both ends left out; the ids of what a model
learned lie beside it. Nothing is indexed, and what cannot be read spoils no measurement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from memlm.documents import DocumentStore
from memlm.errors import MemlmError
from memlm.records import Document, Split
from memlm.workflow.left_behind import is_near, same_text
from memlm.workflow.listener import Listener
from memlm.workflow.models import Model
from memlm.workflow.opening import AnyWorkspace, as_workspace, documents_of
from memlm.workspace import Workspace


def count_collected(
    workspace: AnyWorkspace,
    texts: Iterable[str],
    *,
    model: Model | None = None,
    is_remembered: bool = False,
    listener: Listener | None = None,
) -> int:
    """Return how many of these texts are whole documents that `model` learned from.

    Without a model: that any model here would; with `is_remembered`: that a memory holds, which is
    all but the sealed. Where that cannot be told it is noted, and 0.
    """
    asked, lengths = Counter[bytes](), set()
    for text in texts:
        asked[same_text(text)] += 1
        lengths.add(len(text.strip()))
    try:
        opened = as_workspace(workspace)
        if not opened.documents_file.exists():
            return 0
        learned = None if model is None or is_remembered else learned_ids(opened, model.name)
        splits: tuple[Split | None, ...] = (None, "train")
        if is_remembered:
            splits = (None, "train", "held_out")
        with documents_of(opened) as store:
            candidates = _candidates(store, sorted(lengths), learned, splits)
            found = {same_text(one.text) for one in candidates}
    except MemlmError as error:
        (listener or Listener()).note("learned_unknown", reason=error.message)
        return 0
    return sum(count for content, count in asked.items() if content in found)


def say_of_missing(workspace: AnyWorkspace, model: Model, listener: Listener) -> None:
    """Say where a model learned from documents that are not here: a trace cannot find them."""
    opened, learned = as_workspace(workspace), learned_ids(model.workspace, model.name)
    if learned is None or not len(learned) or not opened.documents_file.exists():
        return
    with documents_of(opened) as store:
        numbers = (int(identity, 16) for identity in store.ids())
        here = np.fromiter(numbers, dtype="<u8")
    missing = int((~np.isin(learned, here)).sum())
    if missing:
        listener.note("learned_not_here", model=model.name, count=missing, n=len(learned))


def _candidates(
    store: DocumentStore,
    lengths: list[int],
    learned: npt.NDArray[np.uint64] | None,
    splits: tuple[Split | None, ...],
) -> Iterator[Document]:
    """Yield the documents that were learned and are about as long as a text that is asked about."""
    numbers = [
        number
        for number, identity, _, characters in store.contents()
        if is_near(characters, lengths) and (learned is None or _is_in(learned, identity))
    ]
    for _, document in store.read_numbers(numbers):
        if learned is not None or document.split in splits:
            yield document


def _is_in(learned: npt.NDArray[np.uint64], identity: str) -> bool:
    wanted = np.uint64(int(identity, 16))
    place = int(np.searchsorted(learned, wanted))
    return place < len(learned) and bool(learned[place] == wanted)


def learned_ids(workspace: Workspace, model: str) -> npt.NDArray[np.uint64] | None:
    """Return the sorted ids of what a model learned from; None if an older memlm trained it."""
    path = workspace.model(model) / "documents.bin"
    return np.fromfile(path, dtype="<u8") if path.exists() else None
