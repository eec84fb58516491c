"""Every token is learned under the label of its document, wherever a lane or a unit begins."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from memlm.prepare import Draft, PartInMemory, PrepareConfig, TokenStore, write_token_store
from memlm.records import Document
from memlm.storage import new_folder
from memlm.train.run import start_run

MADE_FROM = {"documents": "0" * 32, "tokenizer": "char"}
LABELS = ("bad", None, "good")


def _letter(document: int) -> str:
    return chr(0x4E00 + document)


@pytest.fixture
def make_store(tmp_path) -> Callable[..., TokenStore]:
    """Return what prepares documents that repeat one letter each: every token tells its own."""

    def make(documents: int, characters: int) -> TokenStore:
        drafts = []
        for number in range(documents):
            text = _letter(number) * characters
            label = LABELS[number % len(LABELS)]
            document = Document(id=f"{number:03}", text=text, label=label)
            drafts.append(Draft(document=document, text=text))
        with new_folder(tmp_path / "tokens", made_from={}) as temporary:
            config = PrepareConfig(tokenizer="char", held_out_share=0.2)
            write_token_store(temporary, [PartInMemory("0", drafts)], config)
        return TokenStore(tmp_path / "tokens")

    return make


def _label_of_token(store: TokenStore, documents: int) -> torch.Tensor:
    """Return the label of each token's document, as the network counts them."""
    numbers = {label: place for place, label in enumerate(store.tokenizer.labels, start=1)}
    found = torch.zeros(store.tokenizer.vocabulary_size, dtype=torch.long)
    for label, token in store.tokenizer.labels.items():
        found[token] = numbers[label]
    for document in range(documents):
        (token,) = store.tokenizer.encode(_letter(document)).ids.tolist()
        if token != store.tokenizer.unknown:  # it is held out
            found[token] = numbers.get(LABELS[document % len(LABELS)], 0)
    return found


STORES = [
    pytest.param(40, 2_500, id="texts longer than a piece"),
    pytest.param(300, 90, id="short texts"),
    pytest.param(4, 12_000, id="texts of which blocks are held out"),
]
SIZES = [
    pytest.param({"batch_size": 8, "sequence_length": 64}, id="one phase"),
    pytest.param(
        {"batch_size": None, "sequence_length": None, "phases": "0.3:8x16,0.3:16x32,0.4:6x64"},
        id="lanes cut anew",
    ),
    pytest.param({"batch_size": 6, "sequence_length": 64, "accumulate": 2}, id="groups of lanes"),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("documents", "characters"), STORES)
def test_every_token_is_learned_and_measured_under_the_label_of_its_document(
    make_store, small, tmp_path, documents, characters, size
):
    store = make_store(documents, characters)
    config = small(steps=None, epochs=2, hidden_width=4, embedding_width=4, **size)
    run = start_run(tmp_path / "model", store, config, made_from=MADE_FROM)
    seen: dict[str, list[torch.Tensor]] = {"embed": [], "embed_label": []}
    for name, found in seen.items():
        getattr(run.training.network, name).register_forward_hook(
            lambda module, given, shown, found=found: found.append(given[0].flatten())
        )
    for _ in run.steps():
        pass
    tokens, in_force = (torch.cat(found) for found in seen.values())
    assert len(tokens) > documents * characters
    right = in_force == _label_of_token(store, documents)[tokens]
    right |= tokens == store.tokenizer.unknown  # a document that is held out: nobody knows whose
    assert right.all(), f"{right.float().mean():.3f} of {len(tokens)} tokens"
