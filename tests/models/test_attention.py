"""Attention and transformer blocks against plain twins that look at one position at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from memlm.models.config import LONGEST_PAST, describe_network
from memlm.models.network import Network, build_network

TEXTS = torch.tensor([[0, 2, 5, 6, 7, 0, 8, 9, 1, 1], [5, 5, 0, 3, 10, 2, 6, 4, 4, 9]])
LABELS = (2, 3)
SHAPES = [
    pytest.param({"kind": kind, "window": window, **more}, id=f"{kind} window {window} {name}")
    for kind in ("transformer", "lstm-attention", "gru-attention", "mixed", "lstm+attention+gru")
    for window in (0, 4)
    for name, more in {
        "plain": {},
        "tied": {"embedding_width": 12, "is_tied": True},
        "labelled": {"label_tokens": LABELS},
    }.items()
]


@pytest.fixture
def network(request) -> Network:
    sizes = {"vocabulary_size": 11, "embedding_width": 6, "hidden_width": 12, "layers": 2}
    config = describe_network(**{"heads": 2, **sizes, **request.param})
    network = build_network(config, seed=3)
    generator = torch.Generator().manual_seed(1)
    for name, weights in network.named_parameters():
        # Zero or one at first, which would hide a mistake.
        if "norm" in name or name.endswith(("output.weight", "down.weight", "label_bias")):
            torch.nn.init.normal_(weights, std=0.5, generator=generator)
    return network


def norm(x: Tensor, scale: Tensor) -> Tensor:
    """Zhang and Sennrich 2019."""
    return x / torch.sqrt((x**2).mean() + 1e-6) * scale


def turned(x: Tensor, position: int) -> Tensor:
    """Su et al. 2021, pairs (i, i + half), as a complex number times a unit one."""
    half = len(x) // 2
    angle = position * torch.tensor([10_000.0 ** (-i / half) for i in range(half)])
    both = torch.complex(x[:half], x[half:]) * torch.polar(torch.ones(half), angle)
    return torch.cat([both.real, both.imag])


def attend(xs: list[Tensor], w: dict[str, Tensor], heads: int, window: int) -> list[Tensor]:
    """Return what attention adds at each position."""
    added = []
    for t in range(len(xs)):
        first = max(0, t - window + 1) if window else 0
        parts = []
        for head in range(heads):
            width = len(xs[0]) // heads
            rows = slice(head * width, (head + 1) * width)
            q = turned(norm(w["query.weight"][rows] @ xs[t], w["query_norm.weight"]), t)
            seen = range(first, t + 1)
            keys = [
                turned(norm(w["key.weight"][rows] @ xs[s], w["key_norm.weight"]), s) for s in seen
            ]
            scores = torch.stack([q @ key / math.sqrt(width) for key in keys])
            shares = torch.exp(scores) / torch.exp(scores).sum()
            values = [w["value.weight"][rows] @ xs[s] for s in seen]
            parts.append(sum(share * value for share, value in zip(shares, values, strict=True)))
        added.append(w["output.weight"] @ torch.cat(parts))
    return added


def recur(xs: list[Tensor], layer: torch.nn.Module, width: int) -> list[Tensor]:
    """Read position by position with PyTorch's cell, which has a twin of its own elsewhere."""
    state = torch.zeros(1, 1, width)
    given = (state, state) if isinstance(layer, torch.nn.LSTM) else state
    found = []
    for x in xs:
        y, given = layer(x[None, None], given)
        found.append(y[0, 0])
    return found


def part(named: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): w for name, w in named.items() if name.startswith(prefix)}


def plain_logits(network: Network, tokens: list[int]) -> Tensor:
    config, named = network.config, dict(network.named_parameters())
    label, labels, xs = 0, [], []
    for token in tokens:
        label = 0 if token == 0 else label
        label = LABELS.index(token) + 1 if token in config.label_tokens else label
        labels.append(label)
        x = named["embed.weight"][token]
        if config.label_tokens:
            x = torch.cat([x, named["embed_label.weight"][label]])
        xs.append(named["enter.weight"] @ x if config.has_entrance else x)
    for number, block in enumerate(config.blocks):
        w = part(named, f"blocks.{number}.")
        if not block.attends:
            xs = recur(xs, network.stack[number].layer, block.width)
            continue
        w |= part(w, "attend.")
        added = attend(
            [norm(x, w["attention_norm.weight"]) for x in xs],
            part(w, "attention."),
            block.heads,
            block.window,
        )
        xs = [x + y for x, y in zip(xs, added, strict=True)]
        if block.kind == "transformer":
            for t, x in enumerate(xs):
                y = norm(x, w["feed_forward_norm.weight"])
                gate = w["gate.weight"] @ y
                xs[t] = x + w["down.weight"] @ (gate * torch.sigmoid(gate) * (w["up.weight"] @ y))
    output = named["embed.weight"] if config.is_tied else named["output.weight"]
    logits = []
    for x, in_force in zip(xs, labels, strict=True):
        y = norm(x, named["last_norm.weight"]) if config.has_last_norm else x
        shown = named["label_bias"][:, in_force] if config.label_tokens else 0.0
        logits.append(output @ y + named.get("output.bias", 0.0) + shown)
    return torch.stack(logits)


@pytest.mark.parametrize("network", SHAPES, indirect=True)
def test_logits_equal_those_of_the_plain_twin(network):
    logits, _ = network(TEXTS, network.start(2))
    expected = torch.stack([plain_logits(network, text) for text in TEXTS.tolist()])
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("network", SHAPES, indirect=True)
def test_gradients_equal_those_of_the_plain_twin(network):
    weights = torch.linspace(-1, 1, TEXTS.numel() * 11).reshape(*TEXTS.shape, 11)
    names, parameters = zip(*network.named_parameters(), strict=True)
    fast = torch.autograd.grad((network(TEXTS, network.start(2))[0] * weights).sum(), parameters)
    plain = torch.stack([plain_logits(network, text) for text in TEXTS.tolist()])
    slow = torch.autograd.grad((plain * weights).sum(), parameters)
    for name, found, expected in zip(names, fast, slow, strict=True):
        torch.testing.assert_close(
            found, expected, atol=2e-3, rtol=2e-3, msg=lambda text, name=name: f"{name} {text}"
        )


@pytest.mark.parametrize("network", SHAPES, indirect=True)
def test_a_past_carried_from_piece_to_piece_equals_one_pass(network):
    whole, last = network(TEXTS, network.start(2))
    state, pieces = network.start(2), []
    for start, stop in ((0, 1), (1, 3), (3, 9), (9, 10)):
        logits, state = network(TEXTS[:, start:stop], state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-5, rtol=1e-4)
    for found, expected in zip(state, last, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("network", SHAPES, indirect=True)
def test_the_past_that_is_kept_is_no_longer_than_the_window(network):
    _, state = network(TEXTS, network.start(2))
    pasts = [tensor for tensor in state if tensor.dim() == 5]
    window = max(block.window for block in network.config.blocks)
    assert pasts
    assert {past.shape[3] for past in pasts} == {window - 1 if window else TEXTS.shape[1]}


@pytest.mark.parametrize("network", SHAPES, indirect=True)
def test_attention_weights_sum_to_one_and_see_only_the_window(network):
    found = network.attention_weights(TEXTS, network.start(2))
    assert len(found) == len(network.config.blocks)
    for block, weights in zip(network.config.blocks, found, strict=True):
        assert (weights is not None) == block.attends
        if weights is None:
            continue
        assert weights.shape == (2, block.heads, 10, 10)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, block.heads, 10))
        distance = torch.arange(10)[:, None] - torch.arange(10)
        hidden = (distance < 0) | (distance >= (block.window or 10))
        assert (weights[:, :, hidden] == 0).all()


@pytest.mark.parametrize("network", SHAPES[:2], indirect=True)
def test_attention_weights_are_those_that_the_output_is_made_of(network):
    attention = network.stack[0].attend.attention
    inputs = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(0))
    state = attention.start(2, inputs.device)
    shares = attention.weights(inputs, state)
    values = attention.value(inputs).view(2, 6, 2, 6).transpose(1, 2)
    gathered = (shares @ values).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(inputs, state)[0], attention.output(gathered))


@pytest.mark.parametrize("network", SHAPES, indirect=True)
def test_a_training_carries_the_past_that_is_kept_and_no_gradient(network):
    _, state = network(TEXTS, network.start(2))
    carried = network.carried(state)
    assert not any(part.requires_grad for part in carried)
    for found, expected in zip(carried, state, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("network", SHAPES[::3], indirect=True)
def test_a_text_far_longer_than_the_past_is_read_in_bounded_memory(network):
    long = torch.randint(11, (1, 5_000), generator=torch.Generator().manual_seed(0))
    window = max(block.window for block in network.config.blocks) or LONGEST_PAST
    state, sizes = network.start(1), set()
    with torch.no_grad():
        for piece in long.split(500, dim=1):
            _, state = network(piece, state)
            sizes |= {part.shape[3] for part in state if part.dim() == 5}
    assert max(sizes) == window - 1


@pytest.mark.parametrize("network", SHAPES[:1], indirect=True)
def test_what_is_beyond_the_longest_past_is_seen_the_same_however_a_text_is_cut(network):
    long = torch.randint(11, (1, LONGEST_PAST + 300), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, _ = network(long, network.start(1))
        state, pieces = network.start(1), []
        for piece in long.split(400, dim=1):
            logits, state = network(piece, state)
            pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("network", SHAPES, indirect=True)
def test_a_new_block_with_attention_adds_nothing_yet(network):
    fresh = build_network(network.config)
    for block, config in zip(fresh.stack, network.config.blocks, strict=True):
        if config.attends:
            stream = torch.randn(1, 4, 12)
            after, _ = block(stream, block.start(1, stream.device))
            assert torch.equal(after, stream)
