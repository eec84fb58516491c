"""The held-out loss: the same figure as `score`, and only for what is text."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from memlm.models import describe_network
from memlm.models.config import LONGEST_PAST
from memlm.models.foreign_shape import ForeignShape
from memlm.models.network import build_network
from memlm.models.network_model import NetworkModel
from memlm.predict import score_text
from memlm.prepare.vocabulary import learn_tokenizer
from memlm.train.batches import TokenStream
from memlm.train.loop import train_steps
from memlm.train.training import Training
from memlm.train.validation import HeldOutText

KNOWN = "the cat sat on a mat 床前明月光"
TEXT = "the fat cat on the mat 明月 sat?"


@pytest.fixture
def tokenizer():
    return learn_tokenizer("char", [KNOWN], size=None, labels=["bad", "good"])


@pytest.fixture
def network(tokenizer):
    config = describe_network(
        kind="gru",
        vocabulary_size=tokenizer.vocabulary_size,
        embedding_width=8,
        hidden_width=9,
        layers=1,
        label_tokens=tuple(tokenizer.labels.values()),
    )
    return build_network(config, seed=2)


@pytest.fixture
def make_held_out(tokenizer, make_units):
    """Return what lays texts down as units, each with its end token."""

    def make(*texts: str, most: int = 10**6, opening: tuple[int, ...] = ()) -> HeldOutText:
        rows = [[*opening, *tokenizer.encode(text).ids.tolist(), tokenizer.end] for text in texts]
        units = make_units(*map(len, rows))
        units["characters"] = [len(text) for text in texts]
        units["bytes"] = [len(text.encode()) for text in texts]
        units["unknown_bytes"] = [
            sum(len(c.encode()) for c in text if c not in KNOWN) for text in texts
        ]
        return HeldOutText(
            np.concatenate(rows),
            units,
            most_tokens=most,
            special=(tokenizer.end, *tokenizer.labels.values()),
            end=tokenizer.end,
        )

    return make


def test_the_held_out_loss_equals_the_score_of_the_same_text(network, tokenizer, make_held_out):
    found = make_held_out(TEXT).loss(network)
    expected = score_text(NetworkModel(network), tokenizer, TEXT)
    assert expected.unknown > 0
    assert found.nats_per_character == pytest.approx(expected.nats_per_character, rel=1e-5)
    assert found.bits_per_byte == pytest.approx(expected.bits_per_byte, rel=1e-5)


def test_labels_and_ends_are_read_but_not_counted(network, tokenizer, make_held_out):
    label = tokenizer.labels["good"]
    model = NetworkModel(network)
    text = "cat mat"
    ids = tokenizer.encode(text).ids.astype(np.int64)
    found, _ = model.read(model.start(1), np.array([[tokenizer.end, label, *ids]]))
    expected = -sum(found[0, 1 + place, token] for place, token in enumerate(ids))
    held_out = make_held_out(text, opening=(label,))
    assert held_out.loss(network).nats == pytest.approx(expected, rel=1e-5)


def test_an_unknown_symbol_costs_eight_bits_for_each_byte_too(network, make_held_out):
    charged = make_held_out("cat 雪").loss(network)
    free = make_held_out("cat 雪")
    free._unknown_nats = 0.0
    assert charged.nats - free.loss(network).nats == pytest.approx(3 * 8 * math.log(2))


def test_many_lanes_count_every_token_once(network, make_held_out):
    held_out = make_held_out(*["the cat sat on a mat"] * 100)
    lanes = held_out._inputs.shape[0]
    assert lanes > 1
    assert (held_out._targets >= 0).sum() == 100 * 20


def test_only_so_many_tokens_are_read_and_their_share_is_counted(network, make_held_out):
    held_out = make_held_out("the cat sat on a mat " * 10, most=50)
    found = held_out.loss(network)
    assert held_out.num_tokens == 50
    assert found.characters == pytest.approx(50, abs=1)


def test_the_network_is_left_in_the_mode_that_it_was_in(network, make_held_out):
    network.train()
    make_held_out(TEXT).loss(network)
    assert network.training


def test_held_out_text_far_longer_than_a_stretch_is_read_with_the_past_that_is_learned_from(
    make_plan_of, make_units, monkeypatch
):
    shape = describe_network(
        "transformer", vocabulary_size=12, embedding_width=8, hidden_width=16, layers=1
    )
    plan = make_plan_of(network=shape, batch_size=1, sequence_length=64, steps=20)
    tokens = np.arange(32 * 1024) % 11 + 1
    stream = TokenStream(tokens, make_units(4096), batch_size=1, sequence_length=64, seed=0)
    training = Training(plan, device=torch.device("cpu"))
    for _ in train_steps(training, stream, None):
        pass
    sizes, losses = [], training.network.losses

    def watched(inputs, targets, state, **told):
        sizes.append(state[0].shape[3])
        return losses(inputs, targets, state, **told)

    monkeypatch.setattr(training.network, "losses", watched)
    how = {"special": (0,), "end": 0}
    HeldOutText(tokens, make_units(len(tokens)), most_tokens=10**6, **how).loss(training.network)
    assert sum(sizes) > 0
    assert max(sizes) == training.carried[0].shape[3] == LONGEST_PAST - 1


class _ReadsItsPast:
    """Stands for a network of somebody else's: notes what it is given."""

    training, device = True, torch.device("cpu")

    def __init__(self, vocabulary_size: int) -> None:
        self.config = ForeignShape(
            kind="gpt2", vocabulary_size=vocabulary_size, hidden_width=1, layers=1,
            num_parameters=1, context=1024,
        )  # fmt: skip
        self.blocks: list[tuple[int, ...]] = []

    def start(self, batch):
        return (torch.zeros(1, batch, 0),)

    def losses(self, tokens, targets, state, *, labels=None):
        assert state[0].shape[1] == len(tokens)
        self.blocks.append(tuple(tokens.shape))
        return torch.where(targets == -100, 0.0, targets.float()), state

    def eval(self):
        return self

    def train(self, mode):
        return self


@pytest.mark.parametrize(("vocabulary_size", "blocks"), [(300, 4), (60_000, 32)])
def test_a_network_that_reads_its_past_again_is_given_long_blocks(
    make_units, vocabulary_size, blocks
):
    length = 16 * 1024
    text = HeldOutText(np.arange(length), make_units(length), most_tokens=length, special=(), end=0)
    network = _ReadsItsPast(vocabulary_size)
    assert text.loss(network).nats == np.arange(length).sum()
    assert len(network.blocks) == blocks
    assert {width for _, width in network.blocks} == {256}
