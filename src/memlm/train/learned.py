"""What a training needs to know of the text that it learns, and keeps of it beside the model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memlm.prepare import TokenStore
from memlm.records import Split
from memlm.storage import hash_json, read_manifest
from memlm.train.answers import example_tokens
from memlm.train.plan import DataFacts
from memlm.train.stretches import Stretches

_COUNTED_AT_ONCE = 1 << 20  # tokens
_LABEL_PRIOR = 10_000.0  # tokens; chosen on a part of the training texts, see benchmarks/LOG.md


def data_facts(store: TokenStore, *, has_task: bool = False) -> DataFacts:
    """Return what a plan needs to know of a token store, which may hold examples of a task."""
    learned, held_out = store.units_of("train"), store.units_of("held_out")
    return DataFacts(
        train_tokens=int((learned["token_end"] - learned["token_start"]).sum()),
        held_out_tokens=int((held_out["token_end"] - held_out["token_start"]).sum()),
        train_characters=int(learned["characters"].sum()),
        train_units=len(learned),
        vocabulary_size=store.tokenizer.vocabulary_size,
        label_tokens=tuple(store.tokenizer.labels.values()),
        example_tokens=example_tokens(store) if has_task else None,
    )


def count_labels(store: TokenStore) -> dict[str, int]:
    """Return how many learned documents carry each label: its token opens them."""
    first = store.tokens[store.units_of("train")["token_start"]]
    return {label: int((first == token).sum()) for label, token in store.tokenizer.labels.items()}


def labels_of_units(store: TokenStore, split: Split = "train") -> npt.NDArray[np.int64]:
    """Return which label the document of each unit carries, counted from 1; 0 is none.

    A unit that begins inside its document has no label's token; the document's first unit has it,
    on whatever side of the split.
    """
    first = np.searchsorted(store.units["document"], store.units_of(split)["document"])
    tokens = store.tokens[store.units["token_start"][first]]
    return _label_numbers(store)[tokens]


def _label_numbers(store: TokenStore) -> npt.NDArray[np.int64]:
    """Return for every token which label it is, counted from 1; 0 is none."""
    labels = list(store.tokenizer.labels.values())
    numbers = np.zeros(store.tokenizer.vocabulary_size, dtype=np.int64)
    numbers[labels] = np.arange(1, len(labels) + 1)
    return numbers


def label_bias(store: TokenStore) -> npt.NDArray[np.float32]:
    """Return log p(token | label) / p(token), (V, labels + 1): where the labels' bias begins.

    From the counts of the learned tokens, each label's smoothed towards all (MacKay and Peto 1995).
    Gradients alone would need many readings to tell one rare word from another.
    """
    counts = _counts_by_label(store).astype(np.float64)
    overall = counts.sum(axis=1, keepdims=True) / counts.sum()
    smoothed = (counts + _LABEL_PRIOR * overall) / (counts.sum(axis=0) + _LABEL_PRIOR)
    bias = np.log(np.divide(smoothed, overall, out=np.ones_like(smoothed), where=overall > 0))
    bias[:, 0] = 0.0  # no label: nothing is known
    return bias.astype(np.float32)


def _counts_by_label(store: TokenStore) -> npt.NDArray[np.int64]:
    """Return how often each token occurs under each label, (V, labels + 1); 0 is none."""
    size, num_labels = store.tokenizer.vocabulary_size, len(store.tokenizer.labels) + 1
    units = Stretches.of_units(store.units_of("train"))
    labels = labels_of_units(store)
    opens = _label_numbers(store)[store.tokens[units.starts]] > 0
    has_label = opens.astype(np.int64)  # whose token is none of the text
    text = Stretches(units.starts + has_label, units.lengths - has_label, units.units)
    counts = np.zeros(num_labels * size, dtype=np.int64)
    # The text may be larger than memory; small blocks would add up large counts too often.
    block = max(_COUNTED_AT_ONCE, len(counts) // 4)
    for start in range(0, len(text), block):
        where, of_unit = text.find(np.arange(start, min(start + block, len(text))))
        found = store.tokens[where].astype(np.int64)
        counts += np.bincount(labels[of_unit] * size + found, minlength=len(counts))
    return counts.reshape(num_labels, size).T


def learned_documents(store: TokenStore) -> npt.NDArray[np.uint64]:
    """Return the ids (8 bytes each, sorted) of all documents that a training learns from."""
    numbers = np.unique(store.units_of("train")["document"])
    return np.sort(np.array([int(store.document_ids[n], 16) for n in numbers], dtype="<u8"))


def tokens_hash(store: TokenStore) -> str:
    """Return a hash of the tokens and what made them."""
    return hash_json(read_manifest(store.folder)["files"])
