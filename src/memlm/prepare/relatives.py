"""Which documents are copies, or nearly, of these? As it was found when they were last cleaned."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from memlm.prepare.cleaned import COPY, CleanedDocuments
from memlm.prepare.fates import Fates


def relatives(
    cleaned: CleanedDocuments, document_ids: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield (another document, one of `document_ids` that copies join it to).

    Every byte is checked first: CorruptArtefactError if one has changed.
    """
    fates = Fates([cleaned.folder / part.name for part in cleaned.parts()])
    copies = np.fromfile(cleaned.folder / "copies.bin", dtype=COPY)
    is_asked = np.isin(fates.column("id"), np.array(sorted(document_ids), dtype="S32"))
    # Where copies go they are joined by the one that stands for them, where they stay by a group.
    for keys in (1 + copies["kept"], copies["group"]):
        asked = np.flatnonzero(is_asked & (keys != 0))
        first_of = dict(zip(keys[asked][::-1].tolist(), asked[::-1].tolist(), strict=True))
        is_other = ~is_asked & (keys != 0) & np.isin(keys, keys[asked])
        for row in np.flatnonzero(is_other).tolist():
            yield fates.id_of(row), fates.id_of(first_of[keys[row].item()])
