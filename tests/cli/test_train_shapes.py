"""The shapes of networks that can be asked for: which are built, refused, and explained."""

from __future__ import annotations

import json

import pytest


def _plan(workspace, name):
    return json.loads((workspace / "models" / name / "run.json").read_text("utf-8"))["plan"]


@pytest.mark.parametrize(
    ("network", "name"),
    [("lstm+attention", "lstm-attention-1"), ("+".join(["gru"] * 80), "-".join(["gru"] * 25)[:99])],
    ids=["two blocks", "eighty blocks"],
)
def test_blocks_joined_by_a_plus_need_no_name(memlm, trained, fast, network, name):
    found = memlm("train", trained, *fast, "--steps", "1", "--network", network, "--json")
    assert found.code == 0, found.err
    assert found.json["model"].startswith(name)
