"""The adaptive softmax against its definition, and what both output layers charge."""

from __future__ import annotations

import pytest
import torch

from memlm.models.network import Network, build_network


@pytest.fixture
def network(make_config) -> Network:
    return build_network(make_config(vocabulary_size=40, hidden_width=16, cutoffs=(5, 12)), seed=2)


def plain_log_probabilities(network: Network, hidden: torch.Tensor) -> torch.Tensor:
    """Grave et al. 2017: log p(cluster) + log p(word | cluster), one position."""
    layer = network.output
    head = torch.log_softmax(layer.head.weight @ hidden, dim=0)
    found = [head[:5]]
    for number, tail in enumerate(layer.tail):
        inside = torch.log_softmax(tail[1].weight @ (tail[0].weight @ hidden), dim=0)
        found.append(head[5 + number] + inside)
    return torch.cat(found)


def test_an_adaptive_softmax_equals_its_definition(network):
    tokens = torch.tensor([[1, 20, 39, 7]])
    logits, _ = network(tokens, network.start(1))
    hidden, _, _ = network._read(tokens, network.start(1))
    expected = torch.stack([plain_log_probabilities(network, one) for one in hidden[0]])
    torch.testing.assert_close(logits[0], expected)
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(1, 4))


@pytest.mark.parametrize("cutoffs", [(), (5, 12)], ids=["full", "adaptive"])
def test_losses_are_what_the_logits_say_and_nothing_where_nothing_is_asked(make_config, cutoffs):
    network = build_network(make_config(vocabulary_size=40, hidden_width=16, cutoffs=cutoffs))
    tokens = torch.tensor([[1, 20, 39, 7]])
    logits, _ = network(tokens, network.start(1))
    for targets in ([20, -100, 7, 0], [-100, -100, 7, -100]):
        losses, _ = network.losses(tokens, torch.tensor([targets]), network.start(1))
        for place, target in enumerate(targets):
            asked = -torch.log_softmax(logits, -1)[0, place, target] if target >= 0 else 0.0
            torch.testing.assert_close(losses[0, place], torch.as_tensor(asked))


@pytest.mark.parametrize("cutoffs", [(), (5, 12)], ids=["full", "adaptive"])
@pytest.mark.parametrize("targets", [(20, 39, 7, 0), (-100, -100, 7, -100)], ids=["all", "one"])
def test_losses_in_bf16_are_near_those_in_float32(make_config, cutoffs, targets):
    network = build_network(make_config(vocabulary_size=40, hidden_width=16, cutoffs=cutoffs))
    tokens, targets = torch.tensor([[1, 20, 39, 7]]), torch.tensor([targets])
    expected, _ = network.losses(tokens, targets, network.start(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = network.losses(tokens, targets, network.start(1))
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.02)


@pytest.mark.parametrize("kind", ["lstm", "lstm-attention", "transformer"])
@pytest.mark.parametrize("cutoffs", [(), (5, 12)], ids=["full", "adaptive"])
@pytest.mark.parametrize("ignored", [0, 100], ids=["all", "some"])
def test_losses_in_bf16_are_told_apart_as_those_in_float32_are(make_config, kind, cutoffs, ignored):
    sizes = {"vocabulary_size": 40, "hidden_width": 16, "layers": 1, "cutoffs": cutoffs}
    network = build_network(make_config(kind=kind, **sizes))
    draw = torch.Generator().manual_seed(1)
    tokens, targets = torch.randint(40, (2, 1, 128), generator=draw)
    targets[:, :ignored] = -100
    expected, _ = network.losses(tokens, targets, network.start(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = network.losses(tokens, targets, network.start(1))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0.01)
    asked = found[targets != -100]
    assert len(asked.unique()) > 0.9 * len(asked)


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_log_probabilities_of_clusters_in_bf16_are_in_float32(make_config, kind):
    sizes = {"vocabulary_size": 40, "hidden_width": 16, "cutoffs": (5, 12)}
    network = build_network(make_config(kind=kind, **sizes))
    tokens = torch.tensor([[1, 20, 39, 7]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = network(tokens, network.start(1))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(1, 4), atol=1e-5, rtol=1e-5)


def test_labels_are_charged_for_as_the_logits_say(make_config):
    network = build_network(make_config(label_tokens=(1, 2)))
    torch.nn.init.normal_(network.label_bias)
    tokens, targets = torch.tensor([[0, 2, 5, 6]]), torch.tensor([[2, 5, 6, -100]])
    logits, _ = network(tokens, network.start(1))
    losses, _ = network.losses(tokens, targets, network.start(1))
    expected = -torch.log_softmax(logits, -1)[0, [0, 1, 2], [2, 5, 6]]
    torch.testing.assert_close(losses[0, :3], expected)
    assert losses[0, 3] == 0


@pytest.mark.parametrize("cutoffs", [(), (5, 12)], ids=["full", "adaptive"])
def test_targets_that_are_all_ignored_cost_nothing(make_config, cutoffs):
    network = build_network(make_config(vocabulary_size=40, hidden_width=16, cutoffs=cutoffs))
    tokens = torch.tensor([[1, 2]])
    losses, _ = network.losses(tokens, torch.full((1, 2), -100), network.start(1))
    assert losses.sum() == 0
