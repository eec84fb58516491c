"""What a model looks at: tokens with their places, weights for each layer and head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from memlm import attend_text
from memlm.errors import ConfigError, InputError
from memlm.models.config import describe_network
from memlm.models.network import build_network
from memlm.models.network_model import NetworkModel
from memlm.prepare.tokenizer import ByteTokenizer, CharTokenizer, WhitespaceTokenizer
from memlm.workflow import Listener, Model, score_text, write_attention_page
from memlm.workspace import Workspace

TEXT = "a月b 亮"
TOKENIZERS = {
    "char": CharTokenizer("ab 月亮", labels=[], name="char"),
    "byte": ByteTokenizer(labels=[], name="byte"),
    "whitespace": WhitespaceTokenizer(["a月b", "亮"], labels=[], name="whitespace"),
}


class Notes(Listener):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, object]]] = []

    def note(self, code: str, **values: object) -> None:
        self.said.append((code, values))


def model(kind: str = "transformer", tokenizer: str = "char", **more: int) -> Model:
    cutter = TOKENIZERS[tokenizer]
    sizes = {"embedding_width": 8, "hidden_width": 8, "layers": 2, "heads": 2} | more
    config = describe_network(kind, vocabulary_size=cutter.vocabulary_size, **sizes)
    predictor = NetworkModel(build_network(config, seed=2))
    return Model("m-1", predictor, cutter, {}, "", Workspace(Path("nowhere")))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        ("transformer", [(1, "transformer", 2), (2, "transformer", 2)]),
        ("lstm-attention", [(3, "attention", 2)]),
        ("mixed", [(2, "transformer", 2)]),
        ("lstm", [(0, "embedding", 1)]),
        ("gru", [(0, "embedding", 1)]),
    ],
)
def test_layers_that_attend_are_given_and_saliency_where_none_does(kind, layers):
    found = attend_text("nowhere", TEXT, model=model(kind))
    assert found.kind == ("saliency" if kind in ("lstm", "gru") else "attention")
    assert [(one.layer, one.block, len(one.heads)) for one in found.layers] == layers


@pytest.mark.parametrize("kind", ["transformer", "lstm-attention", "lstm"])
@pytest.mark.parametrize("tokenizer", list(TOKENIZERS))
def test_rows_sum_to_one_over_what_was_read(kind, tokenizer):
    found = attend_text("nowhere", TEXT, model=model(kind, tokenizer))
    for layer in found.layers:
        assert layer.heads.shape[1:] == (len(found.tokens),) * 2
        assert layer.heads.sum(axis=2) == pytest.approx(1, abs=1e-5)
        assert not np.triu(layer.heads, 1).any()
    for layer in found.to_json()["layers"]:
        for head in layer["heads"]:
            assert [len(row) for row in head] == list(range(1, len(found.tokens) + 1))
            assert [sum(row) for row in head] == pytest.approx([1] * len(head), abs=1e-4)


def test_weights_are_those_of_the_network():
    asked = model()
    found = attend_text("nowhere", TEXT, model=asked)
    network = asked.predictor.network
    ids = torch.tensor([[0, *asked.tokenizer.encode(TEXT).ids.tolist()]])
    expected = network.attention_weights(ids, network.start(1))
    for layer, weights in zip(found.layers, expected, strict=True):
        assert np.array_equal(layer.heads, weights[0].numpy())


def test_window_sees_no_further():
    found = attend_text("nowhere", TEXT, model=model(window=3))
    for layer in found.layers:
        assert not np.tril(layer.heads, -3).any()


@pytest.mark.parametrize("tokenizer", list(TOKENIZERS))
def test_log_probabilities_are_what_score_adds_up(tokenizer):
    asked = model("lstm", tokenizer)
    found = attend_text("nowhere", TEXT, model=asked)
    assert found.tokens[0].log_probability is None
    nats = -sum(token.log_probability for token in found.tokens[1:])
    assert nats / len(TEXT) == pytest.approx(
        score_text(asked, TEXT, memories=()).nats_per_character, rel=1e-5
    )


@pytest.mark.parametrize("tokenizer", list(TOKENIZERS))
def test_pieces_put_together_are_the_text(tokenizer):
    found = attend_text("nowhere", TEXT, model=model("gru", tokenizer))
    assert found.tokens[0].text == ""
    assert "".join(token.text for token in found.tokens if token.part == 1) == TEXT
    assert all(TEXT[token.start : token.end] == token.text for token in found.tokens)


def test_bytes_of_a_character_have_its_place_and_are_counted():
    found = attend_text("nowhere", "a月\ufffd", model=model("gru", "byte"))
    places = [(token.text, token.part, token.parts) for token in found.tokens[1:]]
    assert places == [
        ("a", 1, 1),
        *(("月", part, 3) for part in (1, 2, 3)),
        *(("\ufffd", part, 3) for part in (1, 2, 3)),
    ]


def test_an_unknown_symbol_is_a_piece_of_its_own():
    found = attend_text("nowhere", "a?!b", model=model("gru"))
    assert [token.text for token in found.tokens] == ["", "a", "?", "!", "b"]


@pytest.mark.parametrize(("tokens", "kept"), [(3, "a"), (4, "a月"), (5, "a月b"), (9, TEXT)])
def test_a_longer_text_is_cut_between_characters_and_that_is_said(tokens, kept):
    notes = Notes()
    asked = model("gru", "byte")
    found = attend_text("nowhere", TEXT, model=asked, tokens=tokens, listener=notes)
    assert found.text == kept
    assert "".join(token.text for token in found.tokens if token.part == 1) == kept
    said = {"tokens": len(kept.encode()), "of": 9, "most": 1000}
    assert notes.said == ([] if kept == TEXT else [("text_cut", said)])


def test_one_token_of_a_character_is_read_where_no_more_may_be():
    found = attend_text("nowhere", "月", model=model("gru", "byte"), tokens=1)
    assert len(found.tokens) == 2


@pytest.mark.parametrize(("tokenizer", "text"), [("char", ""), ("whitespace", "  ")])
def test_a_text_without_tokens_is_refused(tokenizer, text):
    with pytest.raises(InputError) as caught:
        attend_text("nowhere", text, model=model("gru", tokenizer))
    assert caught.value.code == "text_without_tokens"


@pytest.mark.parametrize("tokens", [0, -1, 1001])
def test_a_number_of_tokens_that_no_page_shows_is_refused(tokens):
    with pytest.raises(ConfigError):
        attend_text("nowhere", TEXT, model=model("gru"), tokens=tokens)


def test_page_is_written_where_it_is_told(tmp_path: Path):
    found = attend_text("nowhere", TEXT, model=model("gru"))
    path = write_attention_page("nowhere", found, to=tmp_path / "deep" / "page.html")
    assert "月" in path.read_text("utf-8")
