"""Which symbols do texts have? The vocabulary of a tokenizer is learned from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from memlm.language_model import Tokenizer
from memlm.prepare.tokenizer import (
    BY_KIND,
    DEFAULT_BPE_SIZE,
    BpeTokenizer,
    ByteTokenizer,
    read_tokenizer_file,
    split_whitespace,
    tokenizer_name,
)
from memlm.prepare.word_counts import LIMIT, count_symbols
from memlm.prepare.words import split_words
from memlm.runtime import require_package

LEARNED_CHARACTERS = 20_000_000
"""BPE is learned from about so many code points: merges change little after that."""
_LONGEST_WORD_BYTES = 1000
_CUTS: dict[str, Callable[[str], Iterable[str]]] = {
    "char": iter,
    "word": split_words,
    "whitespace": split_whitespace,
}


def learn_tokenizer(
    kind: str, texts: Iterable[str], *, size: int | None, labels: Sequence[str]
) -> Tokenizer:
    """Learn the vocabulary of a tokenizer from texts, read once.

    `size` bounds the vocabulary, special tokens included; None means all, the rarest of
    millions excepted (for `bpe`: 4,096).
    """
    if kind.endswith(".json"):
        return read_tokenizer_file(Path(kind).expanduser(), labels=labels)
    if kind == "byte":
        return ByteTokenizer(labels=labels, name=tokenizer_name(kind, size))
    if kind == "bpe":
        return _learn_bpe(texts, size=size or DEFAULT_BPE_SIZE, labels=labels)
    counts = count_symbols(map(_CUTS[kind], texts), limit=LIMIT)
    most = None if size is None else max(0, size - 2 - len(labels))
    # Ties are broken by the symbol itself, so that the order of documents does not matter.
    ranked = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))[:most]
    return BY_KIND[kind](ranked, labels=labels, name=tokenizer_name(kind, size))


def _learn_bpe(texts: Iterable[str], *, size: int, labels: Sequence[str]) -> Tokenizer:
    require_package("tokenizers", extra="fast")
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import decoders, models, pre_tokenizers, trainers

    library = LibraryTokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    # Learning takes the square of the length of a word in time, and some "words" are whole files.
    bounded = pre_tokenizers.FixedLength(_LONGEST_WORD_BYTES)
    library.pre_tokenizer = pre_tokenizers.Sequence([words, bounded])
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=max(256, size - 1 - len(labels)),
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(_first(texts, LEARNED_CHARACTERS), trainer=trainer)
    library.pre_tokenizer = words
    return BpeTokenizer(library.to_str(), labels=labels, name=tokenizer_name("bpe", size))


def _first(texts: Iterable[str], most: int) -> Iterator[str]:
    """Yield texts until they have `most` code points together."""
    size = 0
    for text in texts:
        if size >= most:
            return
        yield text[: most - size]
        size += len(text)
