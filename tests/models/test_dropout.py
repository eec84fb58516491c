"""Dropout: what is dropped, and when nothing is."""

from __future__ import annotations

import torch

from memlm.models.dropout import LockedDropout
from memlm.models.network import build_network


def test_dropped_units_are_the_same_at_every_position():
    values = LockedDropout(0.5).train()(torch.ones(3, 20, 50))
    assert (values == values[:, :1]).all()


def test_dropped_units_differ_from_text_to_text():
    values = LockedDropout(0.5).train()(torch.ones(2, 3, 100))
    assert not torch.equal(values[0], values[1])


def test_kept_units_are_scaled_so_that_the_mean_stays():
    values = LockedDropout(0.25).train()(torch.ones(1, 1, 100))
    kept = values[values > 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / 0.75))


def test_nothing_is_dropped_outside_training():
    values = torch.ones(2, 3, 4)
    assert torch.equal(LockedDropout(0.9).eval()(values), values)


def test_dropped_weights_change_what_is_learned_from_and_not_what_is_asked(make_config):
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6]])
    network = build_network(make_config(weight_dropout=0.5))
    asked, _ = network.eval()(tokens, network.start(1))
    learned, again = (network.train()(tokens, network.start(1))[0] for _ in range(2))
    assert torch.equal(asked[:, 0], learned[:, 0])  # the zero state meets no recurrent weight
    assert not torch.allclose(asked, learned)
    assert not torch.allclose(learned, again)


def test_a_layer_with_a_share_of_weights_dropped_is_that_layer_with_zeros(make_config):
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6]])
    for kind in ("lstm", "gru"):
        network = build_network(make_config(kind=kind, weight_dropout=0.5)).train()
        torch.manual_seed(3)
        found, _ = network(tokens, network.start(1))
        torch.manual_seed(3)
        layer = network.stack[0].layer
        dropped = torch.nn.functional.dropout(layer.weight_hh_l0, 0.5)
        with torch.no_grad():
            layer.weight_hh_l0.copy_(dropped)
        expected, _ = network.eval()(tokens, network.start(1))
        torch.testing.assert_close(found, expected)
