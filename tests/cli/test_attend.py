"""`memlm attend`: on the terminal, from standard input, as a page, and its mistakes."""

from __future__ import annotations

import pytest

from memlm.cli.attend import _print_found, _shaded


def test_page_lies_in_the_workspace(memlm, trained):
    found = memlm("attend", trained, "the cat", "--json").json
    assert found["page"] == str(trained / "attention.html")
    page = (trained / "attention.html").read_text("utf-8")
    assert "This network has no attention" in page


def test_page_lies_where_it_is_told(memlm, trained, tmp_path):
    found = memlm("attend", trained, "the cat", "--to", tmp_path / "page.html")
    assert found.code == 0
    assert str(tmp_path / "page.html") in found.out
    assert (tmp_path / "page.html").exists()
    assert not (trained / "attention.html").exists()


@pytest.mark.parametrize("words", [[], ["-"]], ids=["nothing", "-"])
def test_text_comes_from_standard_input(memlm, trained, say, words):
    say("the cat\n")
    found = memlm("attend", trained, *words, "--json").json
    assert "".join(token["text"] for token in found["tokens"]) == "the cat"


def test_people_are_shown_the_text_the_largest_weights_and_the_page(memlm, trained):
    found = memlm("attend", trained, "the cat")
    assert found.out.startswith("the cat\n")
    assert "saliency: this network has no attention" in found.out
    assert "Saliency: " in found.out
    assert str(trained / "attention.html") in found.out


def test_transformer_shows_its_layers(memlm, collected, fast):
    options = ("--network", "transformer", "--layers", "2", *fast)
    found = memlm("attend", collected, "the cat", *options)
    assert found.code == 0, found.err
    assert "Layer 1 (transformer): " in found.out
    assert "Layer 2 (transformer): " in found.out
    assert "no model yet" in found.err.lower()


def test_long_text_is_cut_and_that_is_said(memlm, trained):
    found = memlm("attend", trained, "the cat sees the moon", "--tokens", "7", "--json")
    assert [token["text"] for token in found.json["tokens"]] == ["", *"the cat"]
    assert "21 tokens" in found.err
    assert "first 7" in found.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["WS", ""], "text_without_tokens", id="empty"),
        pytest.param(["WS"], "text_without_tokens", id="nothing on standard input"),
        pytest.param(["WS", "a", "--tokens", "0"], "value_outside", id="no tokens"),
        pytest.param(["WS", "a", "--tokens", "1001"], "value_outside", id="too many tokens"),
        pytest.param(["WS", "a", "--model", "x"], "model_missing", id="model"),
        pytest.param(["WS", "a", "--steps", "0"], "value_too_small", id="unused"),
        pytest.param(["nowhere", "a"], "workspace_missing", id="no workspace"),
    ],
)
def test_mistake_of_the_user_is_named(memlm, trained, words, code):
    found = memlm("attend", *(trained if word == "WS" else word for word in words), "--json")
    assert (found.code, found.error["code"]) == (2, code)


def test_damaged_model_ends_with_3(memlm, trained):
    (trained / "models" / "lstm-1" / "model.safetensors").write_bytes(b"no weights")
    assert memlm("attend", trained, "the cat", "--json").code == 3


@pytest.mark.parametrize("place", ["folder", "file/page.html"])
def test_place_where_no_file_can_lie_is_named_before_a_model_is_trained(
    memlm, collected, tmp_path, place
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("a file where a folder must be")
    found = memlm("attend", collected, "the cat", "--to", tmp_path / place, "--json")
    assert (found.code, found.error["code"]) == (2, "place_taken")
    assert not (collected / "models").exists()


def found_of(pieces, row):
    tokens = [{"text": text, "start": at, "end": at + 1} for at, text in enumerate(["", *pieces])]
    layer = {"layer": 2, "block": "transformer", "heads": [[row]]}
    return {"kind": "attention", "tokens": tokens, "layers": [layer]}


def test_text_cannot_steer_the_terminal(capsys):
    _print_found(found_of(["\x1b[2J", "b"], [0.2, 0.7, 0.1]))
    assert "\x1b[2J" not in capsys.readouterr().out


def test_the_larger_weight_is_coloured_more_strongly():
    shown = _shaded(found_of(["a", "b", "c"], [0.04, 0.6, 0.35, 0.01]))
    assert shown.plain == "abc"
    assert [(span.start, "160" in str(span.style)) for span in shown.spans] == [
        (0, True), (1, False)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("language", "said"), [("en", "Read at most so many tokens"), ("zh", "最多读取这么多词元")]
)
def test_help_explains_the_options_as_this_command_means_them(memlm, language, said):
    shown = " ".join(memlm("attend", "--help", "--language", language).out.split())
    assert said in shown
    other = " ".join(memlm("generate", "--help", "--language", language).out.split())
    assert said not in other
