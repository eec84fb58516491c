"""The shapes of networks that can be asked for: which are built, refused, and explained."""

from __future__ import annotations

import json
import re

import pytest


def _plan(workspace, name):
    return json.loads((workspace / "models" / name / "run.json").read_text("utf-8"))["plan"]


@pytest.mark.parametrize(
    ("network", "name"),
    [("lstm+attention", "lstm-attention-1"), ("+".join(["gru"] * 80), "-".join(["gru"] * 25)[:99])],
    ids=["two blocks", "eighty blocks"],
)
def test_blocks_joined_by_a_plus_need_no_name(memlm, trained, fast, network, name):
    found = memlm("train", trained, *fast, "--network", network, "--json")
    assert found.code == 0, found.err
    assert found.json["model"].startswith(name)


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        pytest.param(
            ["--network", "transformer", "--heads", "7", "--hidden-width", "128"],
            "heads_unfitting", "--heads 8", id="heads of a transformer",
        ),
        pytest.param(
            ["--network", "lstm-attention", "--heads", "9", "--hidden-width", "8"],
            "heads_unfitting", "--heads 4", id="more heads than units",
        ),
        pytest.param(
            ["--network", "transformer", "--hidden-width", "33"],
            "width_odd", "--hidden-width 32", id="odd transformer",
        ),
        pytest.param(
            ["--network", "lstm+attention", "--hidden-width", "1"],
            "width_odd", "--hidden-width 2", id="odd attention",
        ),
        pytest.param(
            ["--network", "lstm+attention", "--layers", "3"],
            "option_idle", "--layers", id="layers of named blocks",
        ),
        pytest.param(
            ["--network", "mixed", "--layers", "1"],
            "value_too_small", "at least 2", id="half of a mixture",
        ),
        pytest.param(
            ["--network", "lstm", "--heads", "2"], "option_idle", "--heads", id="heads of an LSTM"
        ),
        pytest.param(
            ["--network", "gru", "--attention-window", "9"],
            "option_idle", "--attention-window", id="window of a GRU",
        ),
        pytest.param(
            ["--network", "transformer", "--weight-dropout", "0.1"],
            "option_idle", "--weight-dropout", id="no recurrent weights",
        ),
        pytest.param(
            ["--network", "transformer", "--residual", "on"],
            "option_idle", "--residual", id="no recurrent layers",
        ),
        pytest.param(
            ["--network", "lstm", "--residual", "on"],
            "option_idle", "--network lstm --layers 1", id="one layer to add to",
        ),
        pytest.param(
            ["--adaptive-softmax", "--hidden-width", "3"],
            "option_idle", "--hidden-width 3", id="clusters without a unit",
        ),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_refused_before_there_is_a_folder(
    memlm, corpus, tmp_path, words, code, named
):
    found = memlm("train", tmp_path / "ws", corpus, "--language", "en", "--json", *words)
    assert (found.code, found.error["code"]) == (2, code)
    assert named in f"{found.error['message']} {found.error['hint']}"
    assert not (tmp_path / "ws").exists()


def test_heads_that_do_not_fit_a_width_chosen_for_them_are_refused_before_there_is_a_model(
    memlm, collected
):
    words = ("--network", "transformer", "--heads", "7", "--steps", "1", "--json")
    found = memlm("train", collected, *words)
    assert (found.code, found.error["code"]) == (2, "heads_unfitting")
    assert not (collected / "models").exists()


def test_phases_that_the_text_is_too_small_for_are_said(memlm, trained):
    words = ("--hidden-width", "8", "--steps", "2", "--threads", "1", "--language", "en")
    found = memlm("train", trained, *words, "--phases", "0.5:2000x16,0.5:4x8")
    said = " ".join(found.err.split())
    assert found.code == 0
    assert re.search(r"--phases 2000x16 became \d+x16: there are only", said)
    assert "--phases 4x8" not in said


def test_an_option_that_means_nothing_to_what_auto_chose_is_said(memlm, trained, fast):
    found = memlm("train", trained, *fast, "--heads", "2", "--language", "en")
    assert found.code == 0
    assert "--heads does nothing with what was chosen: --network lstm" in " ".join(
        found.err.split()
    )


@pytest.mark.parametrize(
    ("words", "residual"),
    [
        (["--layers", "2"], [False, False]),
        (["--layers", "2", "--residual", "on"], [False, True]),
        (["--layers", "3"], [False, True, True]),
        (["--layers", "3", "--residual", "off"], [False, False, False]),
    ],
)
def test_recurrent_layers_add_to_their_input_where_there_are_three_or_it_is_said(
    memlm, trained, fast, words, residual
):
    found = memlm("train", trained, *fast, "--network", "lstm", *words, "--name", "mine")
    assert found.code == 0, found.err
    blocks = _plan(trained, "mine")["network"]["blocks"]
    assert [block["is_residual"] for block in blocks] == residual
    assert memlm("generate", trained, "the", "--model", "mine", "--tokens", "4").code == 0
